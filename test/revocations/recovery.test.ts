/* Giving back what a failover lost is many statements: a kill comes in between, and whoever is cut off goes on later. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { before, test } from 'node:test';
import { createPool, openKysely } from '../../src/database/pool.ts';
import { silentLog } from '../../src/errors/log.ts';
import { moveHead } from '../../src/revocations/head-store.ts';
import { LEDGER_PAGE_TYPE, signMessage } from '../../src/revocations/ledger-message.ts';
import { type Recovery, recoverRevocations } from '../../src/revocations/recovery-store.ts';
import { createRevocationStore } from '../../src/revocations/revocation-store.ts';
import { systemClock } from '../../src/time/clock.ts';
import { beforeDrop, createTestDatabase } from '../test-database.ts';

const ISSUER = 'https://broker.example.com';
const LOST = 950;
const KID = 'k'.repeat(43);
const database = await createTestDatabase();
const pool = createPool({ url: database.ownerUrl, size: 4, applicationName: 'test owner', log: silentLog });
const owner = openKysely<unknown>(pool);
const ledger = createRevocationStore(owner, systemClock);
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
beforeDrop(() => owner.destroy());

before(async () => {
  const bytes = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  await pool.query(
    `insert into signing_keys (kid, purpose, algorithm, generation, public_key, sealed_by, active_from)
     values ($1, 'ledger', 'Ed25519', 1, $2, 'nobody', now())`,
    [KID, bytes],
  );
  await moveHead({ owner, above: LOST, reason: 'a test', actor: 'test', clock: systemClock });
});

/** A page of the generation before: sessions that were ended, none of which this database has. */
function evidenceOf(name: string): string {
  const digest = (epoch: number) => `${name}${epoch}`.padStart(43, '0');
  const entries = Array.from({ length: LOST }, (_, index) => ({
    epoch: index + 1,
    digest: digest(index + 1),
    kind: 'session',
    target: `ses_${name}${index}`,
    standing: false,
    releases: null,
    released_epoch: null,
  }));
  const head = { epoch: LOST, digest: digest(LOST) };
  const page = {
    generation: 1,
    snapshot: false,
    floor: 0,
    since: 0,
    since_digest: null,
    through: LOST,
    head,
    entries,
  };
  const payload = { iss: ISSUER, iat: Math.floor(Date.now() / 1_000), page };
  return signMessage(LEDGER_PAGE_TYPE, payload, { kid: KID, privateKey });
}

const recover = (name: string): Promise<Recovery> =>
  recoverRevocations({
    owner,
    evidence: evidenceOf(name),
    issuer: ISSUER,
    actor: 'restorer',
    dryRun: false,
    clock: systemClock,
  });

async function revokedAgain(name: string): Promise<{ n: number; keys: number; last: number }> {
  const { rows } = await pool.query(
    `select count(*)::int as n, count(distinct key)::int as keys, max(epoch)::float8 as last from revocations
      where target like $1 and reason = 'recovered'`,
    [`ses_${name}%`],
  );
  return rows[0];
}

/** Something happens to each entry that is recovered. */
async function withTrigger(body: string, work: () => Promise<void>): Promise<void> {
  await pool.query(
    `create function bother() returns trigger language plpgsql as $$ begin ${body}; return new; end $$`,
  );
  await pool.query(
    `create trigger bother before insert on revocations for each row when (new.reason = 'recovered')
     execute function bother()`,
  );
  try {
    await work();
  } finally {
    await pool.query('drop trigger bother on revocations; drop function bother()');
  }
}

test('a kill that comes while much is recovered waits for a part of it, not for all', async () => {
  await withTrigger('perform pg_sleep(0.002)', async () => {
    const recovering = recover('a');
    let held = 0;
    while (held === 0) {
      const { rows } = await pool.query(
        `select count(*)::int as n from pg_locks l join pg_class c on c.oid = l.relation
          where c.relname = 'revocations' and l.mode = 'RowExclusiveLock'`,
      );
      held = rows[0].n;
    }
    const { epoch } = await ledger.append({
      target: { kind: 'all' },
      standing: true,
      reason: 'a test',
      actor: 'olivia',
      requestId: undefined,
    });
    assert.equal((await recovering).recovered.length, LOST);
    const { n, last } = await revokedAgain('a');
    assert.equal(n, LOST);
    assert.ok(epoch < last, 'it came in between');
  });
});

test('whoever is cut off in the middle does the same again, and each is revoked once', async () => {
  await withTrigger(`if new.target = 'ses_b250' then raise exception 'cut off'; end if`, async () => {
    await assert.rejects(recover('b'), /cut off/);
  });
  const { n } = await revokedAgain('b');
  assert.ok(n > 0 && n < LOST, `${n}`);
  const { recovered } = await recover('b');
  assert.equal(recovered.length, LOST - n);
  const all = await revokedAgain('b');
  assert.deepEqual([all.n, all.keys], [LOST, LOST]);
  assert.equal((await recover('b')).recovered.length, 0);
});

test('two who recover the same at once revoke each of it once', async () => {
  const both = await Promise.all([recover('c'), recover('c')]);
  assert.equal(both[0].recovered.length + both[1].recovered.length, LOST);
  const { n, keys } = await revokedAgain('c');
  assert.deepEqual([n, keys], [LOST, LOST]);
});

test('a head that is moved meanwhile stops it', async () => {
  await withTrigger('perform pg_sleep(0.002)', async () => {
    const recovering = recover('d');
    recovering.catch(() => {});
    while ((await revokedAgain('d')).n === 0);
    await moveHead({ owner, above: 0, reason: 'a test', actor: 'test', clock: systemClock });
    await assert.rejects(recovering, /moved meanwhile/);
  });
});
