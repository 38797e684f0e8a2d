/** Witnesses of a running broker: asked after each head, never waited for, believed for their signature alone. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import pg from 'pg';
import { askWitnesses, HEARING_SECONDS } from '../../src/audit/ask-witnesses.ts';
import { createCosignatureStore } from '../../src/audit/cosignature-store.ts';
import { silentLog } from '../../src/errors/log.ts';
import { commandLine } from '../cli/command-line.ts';
import { createWitnessedWorld } from './witnessed-world.ts';

const folder = mkdtempSync(join(tmpdir(), 'mayfly-witnesses-'));
const world = await createWitnessedWorld();
const { one, two, said, broker, mint, until, asOwner, sizes, cosigners, disagrees, expectNothingSigned } =
  world;
let logKey = '';
after(async () => {
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});

test('a witness that does not know the log is told of once, asked again, and cosigns as soon as it does', async () => {
  await mint();
  await until('both were asked', () => one.answers.includes(404) && two.answers.includes(404));
  await until('that is said', () => said.length === 2);
  assert.deepEqual(new Set(said.map(({ level }) => level)), new Set(['warn']));
  logKey = await world.introduceLog();
  await until('both have cosigned the newest', async () => (await cosigners()).length === 2);
  assert.equal(said.length, 2);
});

test('each new head is shown with the proof from the last one that the witness saw', async () => {
  const [before, asked] = [one.latest()?.size ?? 0, one.answers.length];
  await mint();
  await until(
    'the newest is cosigned',
    async () => (one.latest()?.size ?? 0) > before && (await cosigners()).length === 2,
  );
  assert.ok(before > 0);
  assert.ok(
    one.answers.slice(asked).every((status) => status === 200),
    `${one.answers}`,
  );
});

test('a witness that forgot what it saw, or saw more than we remember, says where it is and gets the proof from there', async () => {
  one.remember(null);
  await mint();
  await until('it is asked twice', () => one.answers.includes(409));
  await until('and cosigns', async () => (await cosigners()).includes(one.key.name));
});

test('a witness that is silent delays neither tokens nor heads nor the other witness', async () => {
  const warnings = () => said.filter(({ witness }) => witness === one.key.name).length;
  const told = warnings();
  one.insist('silence');
  for (let times = 0; times < 3; times += 1) await mint();
  const before = two.latest()?.size ?? 0;
  await mint();
  await until('the other one goes on', () => (two.latest()?.size ?? 0) > before);
  one.insist(503);
  await until('that it is silent is said', () => warnings() > told);
  one.insist(null);
  await until('it catches up', async () => (await cosigners()).length === 2);
});

test('a reader gets the newest head that his witnesses cosigned, while the newest of all is not', async () => {
  one.insist(503);
  const lags = one.latest()?.size ?? 0;
  const ask = async (query: string) => {
    const answer = await fetch(`${broker().url}/v1/audit/checkpoint?${query}`);
    return { status: answer.status, size: Number((await answer.text()).split('\n')[1]) };
  };
  await until(
    'its last one is known here',
    async () => (await ask(`witnesses=${one.key.name}`)).size === lags,
  );
  await mint();
  await until('the other one is ahead', async () => (await cosigners()).join() === two.key.name);
  const names = `witnesses=${one.key.name},${two.key.name}`;
  // Usually the same; but the other one may have been asked a head later.
  const { size: both } = await ask('cosigned=2');
  assert.ok(both > 0 && both <= lags, `${both}`);
  assert.deepEqual(await ask(`witnesses=${one.key.name}`), { status: 200, size: lags });
  assert.deepEqual(await ask(names), { status: 200, size: both });
  assert.ok((await ask('cosigned=1')).size > lags);
  assert.ok((await ask(`${names}&cosigned=1`)).size > lags);
  assert.equal((await ask('cosigned=3')).status, 404);
  assert.equal((await ask('witnesses=stranger.example.com')).status, 404);
  for (const query of ['cosigned=0', 'cosigned=10', 'cosigned=x', 'witnesses=a,,b', 'cosinged=1']) {
    assert.equal((await ask(query)).status, 400, query);
  }

  const trust = join(folder, 'reader.json');
  const verify = `audit verify --live --url ${broker().url} --key ${logKey} --trust ${trust} -o json`;
  const insists = `--witness ${one.key.vkey} --witness ${two.key.vkey}`;
  const { stdout, stderr } = await commandLine({})(`${verify} ${insists}`);
  const { log_size: size, cosigned_by: by } = JSON.parse(stdout || stderr);
  assert.deepEqual([size, by.toSorted()], [both, [one.key.name, two.key.name].toSorted()]);
  one.insist(null);
});

test('a signature that is none of the witness is not kept', async () => {
  one.insist('nonsense'); // signed by another key of its name
  const before = one.answers.length;
  await mint();
  await until('it was asked', () => one.answers.length > before);
  await until('the other one cosigns', async () => (await cosigners()).includes(two.key.name));
  assert.ok(!(await cosigners()).includes(one.key.name));
  one.insist(null);
});

test('CKP-02: once a witness has seen another log nothing is signed, at any broker and after a restart, until the owner says so', async () => {
  two.remember({ size: 1_000_000, root: Buffer.alloc(32, 7) });
  await mint();
  await until('the alarm', () =>
    said.some(({ level, witness }) => level === 'error' && witness === two.key.name),
  );
  await expectNothingSigned();
  await until('readyz says it', async () =>
    /not to be believed: nothing is signed/.test(await world.readiness()),
  );
  await until('the metric says it', disagrees);
  await broker().stop();

  await world.startAnotherBroker();
  await expectNothingSigned();
  await until('it is known from the start', disagrees);
  assert.deepEqual(await asOwner('select witness from audit_doubts'), [{ witness: two.key.name }]);
  assert.deepEqual(
    await asOwner(
      "select details->>'witness' as witness from audit_entries where action = 'audit_log.doubted'",
    ),
    [{ witness: two.key.name }],
  );

  const { signed } = await sizes();
  two.remember(null);
  const mayfly = commandLine({
    MAYFLY_OWNER_DATABASE_URL: world.database.ownerUrl,
    DATABASE_URL: world.database.applicationUrl,
  });
  const resume = ['audit', 'resume', '--reason', 'the witness was confused', '--as', 'olga'];
  assert.match((await mayfly(resume)).stderr, /Say --yes/);
  assert.equal((await mayfly([...resume, '--yes'])).code, 0);
  assert.deepEqual(
    await asOwner("select actor, details from audit_entries where action = 'audit_log.trusted'"),
    [{ actor: 'olga', details: { reason: 'the witness was confused', doubts: 1 } }],
  );
  await until('it is signed again', async () => (await sizes()).signed > signed);
  await until('and cosigned', async () => (await cosigners()).length === 2);
  await until('and believed', async () => !(await disagrees()));
});

test('a broker cannot say that a doubt is settled, nor take one back', async () => {
  const application = new pg.Client({ connectionString: world.database.applicationUrl, ssl: false });
  await application.connect();
  for (const statement of [
    "select settle_audit_doubts('all is well', 'me')",
    "insert into audit_doubts_settled (number, reason) select 1, 'all is well'",
    'delete from audit_doubts',
  ]) {
    await assert.rejects(application.query(statement), { code: '42501' }, statement);
  }
  await application.end();
});

test('CKP-02: of an older copy of the tables nothing is signed, though it agrees with itself: witnesses are asked first', async () => {
  let head: Record<string, unknown> = {};
  await until('all has its head', async () => {
    const [now] = await asOwner(
      `select h.size::float8 as size, h.frontier, (select max(c.size) from audit_checkpoints c)::float8 as signed
         from audit_log_head h`,
    );
    head = now ?? {};
    return head.size === head.signed;
  });
  const signed = Number(head.signed);
  await mint();
  await until(
    'more is cosigned',
    () => (one.latest()?.size ?? 0) > signed && (two.latest()?.size ?? 0) > signed,
  );
  await broker().stop();
  const superuser = new pg.Client({ connectionString: world.database.superuserUrl, ssl: false });
  await superuser.connect();
  await superuser.query('set session_replication_role = replica');
  for (const statement of [
    `delete from audit_entries where id in (select entry_id from audit_leaves where leaf_index >= ${signed})`,
    `delete from audit_cosignatures where size > ${signed}`,
    `delete from audit_checkpoints where size > ${signed}`,
    `delete from audit_leaves where leaf_index >= ${signed}`,
  ]) {
    await superuser.query(statement);
  }
  await superuser.query('update audit_log_head set size = $1, frontier = $2', [head.size, head.frontier]);
  await superuser.end();

  one.insist(503);
  await world.startAnotherBroker();
  await expectNothingSigned();
  await until('the doubt', async () => (await asOwner('select from audit_doubts_standing')).length === 1);
  assert.equal((await sizes()).signed, signed);
  one.insist(null);
  await until(
    'the other one says it, too',
    async () => (await asOwner('select from audit_doubts_standing')).length === 2,
  );
  assert.equal((await sizes()).signed, signed);
});

test('a witness that does not answer holds up the first head of a broker, and not for ever', async () => {
  const clock = { milliseconds: () => 0, monotonicMilliseconds: () => now };
  let now = 1_000;
  const watch = askWitnesses({
    witnesses: [{ url: one.url, key: one.key }],
    hold: () => null,
    store: createCosignatureStore({} as never),
    doubts: { raise: async () => true },
    tree: { consistency: async () => [] },
    emptyHead: () => ({ size: 0, note: '' }),
    log: silentLog,
    clock,
  });
  const hold = { number: 1, sinceMilliseconds: now };
  assert.equal(watch.haveSpoken(hold), false);
  now += HEARING_SECONDS * 1_000 - 1;
  assert.equal(watch.haveSpoken(hold), false);
  now += 1;
  assert.equal(watch.haveSpoken(hold), true);
  await watch.close();
});
