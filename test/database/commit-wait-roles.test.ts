/**
 * L2, L21: the standby is gone, and somebody else's commit waits for it with the head of the ledger in its hands. A
 * broker ends that wait, also where it is another role's and where nobody is left to look after it.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { afterEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { connectDatabase } from '../../src/database/connections.ts';
import { openOwner } from '../../src/database/owner.ts';
import { silentLog } from '../../src/errors/log.ts';
import { createKillSwitchStore } from '../../src/kill-switch/kill-switch-store.ts';
import { moveHead } from '../../src/revocations/head-store.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { cleanEnvironment, until } from '../broker-process.ts';
import { standby } from '../own-cluster.ts';
import { asSuperuser } from '../test-cluster.ts';
import { beforeDrop, createTestDatabase } from '../test-database.ts';

const LAUNCHER = fileURLToPath(new URL('../../src/launch.js', import.meta.url));
const database = await createTestDatabase();
const { socketDirectory, name } = database;
const broker = connectDatabase({ url: database.applicationUrl, log: silentLog });
const store = createKillSwitchStore({
  killSwitch: broker.killSwitch,
  pool: broker.operatorPool,
  clock: systemClock,
});
await broker.reserved.open();
beforeDrop(async () => {
  await standby('');
  await broker.close();
});
afterEach(() => standby(''));

/** What a kill takes when nothing is in its way but the standby that it has to wait for is a second. */
const LONGEST_MILLISECONDS = 4_500;

async function kill(): Promise<{ replicated: boolean; milliseconds: number }> {
  const startedAt = performance.now();
  const engaged = await store.engage(
    { kind: 'all' },
    { reason: 'a test', actor: 'olivia', requestId: undefined, source: undefined, idempotency: undefined },
  );
  const milliseconds = performance.now() - startedAt;
  assert.equal(engaged.outcome, 'engaged');
  const { replicated, epoch } = engaged as { replicated: boolean; epoch: number };
  const released = `select from append_revocation($1, 'all', '', false, $2, 'over', 'omar', $3, null)`;
  await standby('');
  await asSuperuser(
    socketDirectory,
    (client) =>
      client.query(released, [newIdentifier('rev', systemClock), epoch, newIdentifier('aud', systemClock)]),
    name,
  );
  return { replicated, milliseconds };
}

async function waitingFor(event: string, role: string): Promise<number> {
  return asSuperuser(socketDirectory, async (client) => {
    const { rows } = await client.query(
      `select count(*)::int as n from pg_stat_activity
        where datname = $1 and wait_event = $2 and usename = $3 and query like '%append_revocation(%'`,
      [name, event, role],
    );
    return rows[0].n;
  });
}

type Client = { client: pg.Client; done: Promise<unknown> };

/** An entry of the ledger that nobody looks after while it commits. */
async function append(url: string): Promise<Client> {
  const client = new pg.Client({ connectionString: url, ssl: false });
  client.on('error', () => {});
  await client.connect();
  const done = client
    .query(`select from append_revocation($1, 'session', 'ses_x', false, null, 'a test', 'test', $2, null)`, [
      newIdentifier('rev', systemClock),
      newIdentifier('aud', systemClock),
    ])
    .catch((error: unknown) => error);
  return { client, done };
}

for (const [role, url] of [
  ['mayfly_owner', database.ownerUrl],
  ['mayfly_app', database.applicationUrl],
] as const) {
  test(`a kill is not kept by a commit of ${role} that waits with the head of the ledger`, async () => {
    await standby('nobody');
    const { client, done } = await append(url);
    await until(async () => (await waitingFor('SyncRep', role)) === 1, 'it waits');
    const { replicated, milliseconds } = await kill();
    assert.equal(replicated, false);
    assert.ok(milliseconds < LONGEST_MILLISECONDS, `${milliseconds} ms`);
    await done;
    await client.end();
  });
}

test('nor by several of the owner in a queue', async () => {
  await standby('nobody');
  const first = await append(database.ownerUrl);
  await until(async () => (await waitingFor('SyncRep', 'mayfly_owner')) === 1, 'one waits for the standby');
  const others = [await append(database.ownerUrl), await append(database.ownerUrl)];
  await until(
    async () => (await waitingFor('transactionid', 'mayfly_owner')) === 1,
    'one waits for the first',
  );
  await until(async () => (await waitingFor('tuple', 'mayfly_owner')) === 1, 'one waits for the second');
  const { milliseconds } = await kill();
  assert.ok(milliseconds < LONGEST_MILLISECONDS, `${milliseconds} ms`);
  for (const { client, done } of [first, ...others]) {
    await done;
    await client.end();
  }
});

test('nor by what is left of a command of the owner that was killed', async () => {
  await standby('nobody');
  const { client, done } = await append(database.ownerUrl);
  await until(async () => (await waitingFor('SyncRep', 'mayfly_owner')) === 1, 'it waits');
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  await done;
  assert.equal(await waitingFor('SyncRep', 'mayfly_owner'), 1, 'nobody is there, and it waits on');
  const { milliseconds } = await kill();
  assert.ok(milliseconds < LONGEST_MILLISECONDS, `${milliseconds} ms`);
});

test("a command of the owner's waits for the standby a bounded time, and says that it did not answer", async () => {
  const log = silentLog;
  const owner = openOwner({ url: database.ownerUrl, applicationName: 'test owner', log });
  await standby('nobody');
  const move = { above: 0, reason: 'a test', actor: 'test', clock: systemClock };
  const { generation } = await moveHead({ owner: owner.kysely, ...move });
  assert.equal(owner.isReplicated(), false);
  await standby('');
  const again = await moveHead({ owner: owner.kysely, ...move });
  assert.ok(again.generation > generation);
  await owner.close();
});

/** `mayfly ledger move-head`, as a person runs it. */
function moveByCommand(): { child: ChildProcess; done: Promise<{ code: number; stderr: string }> } {
  const given = ['--database-url', database.ownerUrl, '--reason', 'a test', '--yes'];
  const child = spawn(process.execPath, [LAUNCHER, 'ledger', 'move-head', ...given], {
    env: cleanEnvironment({}),
  });
  let stderr = '';
  child.stderr?.on('data', (text) => {
    stderr += text;
  });
  const done = new Promise<{ code: number; stderr: string }>((resolve) => {
    child.once('close', (code) => resolve({ code: code ?? -1, stderr }));
  });
  return { child, done };
}

test('the command says so on its own, and is no failure', async () => {
  await standby('nobody');
  const { code, stderr } = await moveByCommand().done;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^The standby did not confirm it: a failover now could lose it\.\n$/);
});

test('killed while it waits it keeps no kill', async () => {
  await standby('nobody');
  const waits = () =>
    asSuperuser(socketDirectory, async (client) => {
      const { rowCount } = await client.query(
        `select from pg_stat_activity where wait_event = 'SyncRep' and application_name = 'mayfly ledger move-head'`,
      );
      return rowCount === 1;
    });
  let isLeft = false;
  while (!isLeft) {
    const { child, done } = moveByCommand();
    let isOver = false;
    void done.then(() => {
      isOver = true;
    });
    await until(async () => isOver || (await waits()), 'it waits');
    child.kill('SIGKILL');
    await done;
    isLeft = await waits();
  }
  const { milliseconds } = await kill();
  assert.ok(milliseconds < LONGEST_MILLISECONDS, `${milliseconds} ms`);
});

test("a command of the owner's is not kept by what a killed broker left waiting", async () => {
  const owner = openOwner({ url: database.ownerUrl, applicationName: 'test owner', log: silentLog });
  await standby('nobody');
  const { client } = await append(database.applicationUrl);
  await until(async () => (await waitingFor('SyncRep', 'mayfly_app')) === 1, 'it waits');
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  await moveHead({ owner: owner.kysely, above: 0, reason: 'a test', actor: 'test', clock: systemClock });
  await owner.close();
});

test('whoever reads or polls beside the kill switch does not delay the end of its wait', async () => {
  const readers = await Promise.all(
    [broker.killSwitchPool, broker.operatorPool].map((pool) => pool.connect()),
  );
  await standby('nobody');
  const startedAt = performance.now();
  const { replicated } = await broker.killSwitch({
    text: `select pg_logical_emit_message(true, 'test', '')`,
  });
  assert.equal(replicated, false);
  assert.ok(performance.now() - startedAt < LONGEST_MILLISECONDS);
  for (const reader of readers) reader.release();
});

test('a broker ends no wait of the owner that stands in nobody’s way, nor for a statement that is not its own', async () => {
  await standby('nobody');
  const { client, done } = await append(database.ownerUrl);
  await until(async () => (await waitingFor('SyncRep', 'mayfly_owner')) === 1, 'it waits');
  const [pid] = (await broker.pool.query('select pg_backend_pid() as pid')).rows.map((row) => row.pid);
  for (const before of [pid, (client as unknown as { processID: number }).processID, 0]) {
    assert.deepEqual((await broker.pool.query('select * from end_owners_waits($1)', [before])).rows, []);
  }
  assert.equal(await waitingFor('SyncRep', 'mayfly_owner'), 1);
  await standby('');
  await done;
  await client.end();
});
