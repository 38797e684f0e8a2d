/** The log of a running broker, verified as a whole: what was changed in the database, or on its way, shows. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { createAuditWorld } from './audit-world.ts';

const audit = await createAuditWorld();
after(() => audit.close());
const { mayfly, file } = audit;
await audit.addEntries(600);
const vkey = await audit.vkey();

async function json(line: string): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await mayfly(`${line} -o json`);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

async function refused(line: string, message: RegExp): Promise<void> {
  const { code, stdout, stderr } = await mayfly(line);
  assert.deepEqual([code, stdout], [7, ''], stderr);
  assert.match(stderr, message);
}

/** Of somebody who has seen nothing yet. */
let newcomers = 0;
const fresh = () => {
  newcomers += 1;
  return `--trust ${file(`newcomer-${newcomers}.json`)}`;
};

describe('A live log', () => {
  const memory = file('live.json');
  const live = `audit verify --live --key ${vkey} --trust ${memory}`;

  test('is verified as a whole, by its hashes or with its entries', async () => {
    const facts = await json(live);
    assert.deepEqual([facts.verified, facts.seen_before], [true, null]);
    const again = await json(`${live} --entries`);
    assert.deepEqual([again.seen_before, again.texts_past_retention], [facts.log_size, 0]);
    assert.equal((await mayfly('audit verify')).code, 1);
    assert.equal((await mayfly('audit verify a-pack --live')).code, 1);
    assert.equal((await mayfly(`${live} --url http://127.0.0.1:9`)).code, 4);
  });

  test('whose head does not move any more while entries come is not kept by anybody', async () => {
    const { own_entry: own, log_size: size } = await json(`${live} --entries`);
    assert.ok(Number(own) >= Number(size), 'the reading itself is in the record');
    const old = Buffer.from(await (await fetch(`${audit.issuer}/v1/audit/checkpoint`)).text());
    audit.meddleWith((path) => (path === '/v1/audit/checkpoint' ? old : null));
    try {
      await refused(`${live} --entries`, /has waited for 10 s without a place/);
    } finally {
      audit.meddleWith(() => null);
    }
  });

  test('of which the tail was cut off below its head, or together with it, names the first that is missing', async () => {
    const trust = file('before-the-cut.json');
    const verify = `audit verify --live --trust ${trust}`;
    const { log_size: size } = await json(`${verify} --key ${vkey}`);
    await audit.tamper('create table kept_leaves as select * from audit_leaves where leaf_index >= 570');
    await audit.tamper('delete from audit_leaves where leaf_index >= 570');
    try {
      await refused(verify, /first bad entry is 570, missing/);
      await refused(`audit verify --live --key ${vkey} ${fresh()}`, /first bad entry is 570, missing/);
    } finally {
      await audit.tamper('insert into audit_leaves select * from kept_leaves');
      await audit.tamper('drop table kept_leaves');
    }
    const gone = { code: 'checkpoint_missing', title: 'nothing is signed' };
    audit.meddleWith((path) => (path.endsWith('/checkpoint') ? { status: 404, body: gone } : null));
    try {
      await refused(verify, new RegExp(`no signed head, and one of ${size} entries.*Entry 0,.* is missing`));
      assert.equal(
        (await mayfly(`audit verify --live --key ${vkey} ${fresh()}`)).code,
        1,
        'nothing was seen',
      );
    } finally {
      audit.meddleWith(() => null);
    }
    assert.equal((await mayfly(verify)).code, 0, 'it is there again');
  });

  test('AUD-18: in which an entry was changed names it', async () => {
    await audit.tamper(
      `update audit_entries set actor = 'x' where id = (select entry_id from audit_leaves where leaf_index = 300)`,
    );
    await refused(`${live} --entries`, /entry is 300, entry-changed/);
    const { code, stderr } = await mayfly('audit export --from 290');
    assert.equal(code, 7);
    assert.match(stderr, /Entry 300 is not what was signed/);
    assert.equal((await mayfly(live)).code, 0, 'hashes alone do not tell');
    const [{ id } = { id: '' }] = await audit.world.query<{ id: string }>(
      'select entry_id as id from audit_leaves where leaf_index = 300',
    );
    await refused(`audit show ${id} --trust ${memory}`, /Not verified/);
  });

  test('AUD-18: of which a hash was changed on its way, or in the database, says where', async () => {
    audit.meddleWith((path) => (path.includes('/tile/0/001') ? Buffer.alloc(256 * 32) : null));
    try {
      await refused(`audit verify --live --key ${vkey} ${fresh()}`, /one of 256 to 511/);
    } finally {
      audit.meddleWith(() => null);
    }
    await audit.tamper(
      `update audit_leaves set hash = decode(repeat('00', 32), 'hex') where leaf_index = 530`,
    );
    await refused(`audit verify --live --key ${vkey} ${fresh()}`, /one of 0 to|one of 512 to/);
  });
});
