import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import pg from 'pg';
import { endAbandonedWaits } from '../../src/database/abandoned-waits.ts';
import { createCommitWait } from '../../src/database/commit-wait.ts';
import { createPool } from '../../src/database/pool.ts';
import { silentLog } from '../../src/errors/log.ts';
import { standby } from '../own-cluster.ts';
import { beforeDrop, createTestDatabase } from '../test-database.ts';

const database = await createTestDatabase();
const connect = (size: number) =>
  createPool({ url: database.ownerUrl, size, applicationName: 'test', log: silentLog });
const [pool, aside, others] = [connect(1), connect(1), connect(4)];
beforeDrop(async () => {
  await standby('');
  await Promise.all([pool, aside, others].map((each) => each.end()));
});
await others.query('create table counted (one boolean primary key default true, n integer not null)');
await others.query('insert into counted (n) values (0)');
const COUNT = { text: 'update counted set n = n + 1 returning n' };

afterEach(() => standby(''));

const newCommitWait = (patienceMilliseconds?: number) =>
  createCommitWait({ pool, aside, log: silentLog, ...(patienceMilliseconds && { patienceMilliseconds }) });

async function countSeen(): Promise<number> {
  return (await others.query('select n from counted')).rows[0].n;
}

async function waitingForStandby(): Promise<number> {
  for (;;) {
    const { rows } = await others.query(
      `select count(*)::int as n from pg_stat_activity where wait_event = 'SyncRep'`,
    );
    if (rows[0].n > 0) return rows[0].n;
  }
}

test('without a standby a commit is as good as it gets', async () => {
  const commit = newCommitWait();
  const { rows, replicated } = await commit<{ n: number }>(COUNT);
  assert.equal(replicated, true);
  assert.equal(await countSeen(), rows[0]?.n);
});

test('a standby that never answers is waited for a bounded time, and the commit stands', async () => {
  const commit = newCommitWait(300);
  await standby('nobody');
  const startedAt = performance.now();
  const { rows, replicated } = await commit<{ n: number }>(COUNT);
  const waited = performance.now() - startedAt;
  assert.equal(replicated, false);
  assert.ok(waited >= 300, `${waited}`);
  assert.equal(await countSeen(), rows[0]?.n);
  const again = await commit<{ n: number }>(COUNT);
  assert.deepEqual(again, { rows: [{ n: (rows[0]?.n ?? 0) + 1 }], replicated: false });
  await standby('');
  assert.equal((await commit(COUNT)).replicated, true);
});

test('a connection whose wait was ended serves the next one, whenever the signal comes', async () => {
  const commit = newCommitWait(1);
  const pid = async () => (await pool.query('select pg_backend_pid() as pid')).rows[0].pid;
  const before = await pid();
  await standby('nobody');
  for (let round = 0; round < 5; round += 1) assert.equal((await commit(COUNT)).replicated, false);
  await standby('');
  assert.equal(await pid(), before);
  assert.equal((await commit(COUNT)).replicated, true);
});

test('whoever waits for the standby with a lock that is needed is not waited for', async () => {
  const commit = newCommitWait(60_000);
  await standby('nobody');
  const inTheWay = others.query(COUNT.text);
  await waitingForStandby();
  const counted = commit<{ n: number }>(COUNT);
  const { rows } = await inTheWay; // its wait was ended, and it is committed
  await standby('');
  assert.equal((await counted).rows[0]?.n, rows[0].n + 1);
});

test('a statement that fails says why, and the connection serves the next one', async () => {
  const commit = newCommitWait();
  await assert.rejects(commit({ text: 'select 1/0' }), { code: '22012' });
  assert.equal((await commit(COUNT)).replicated, true);
});

test('a wait whose caller has gone is ended when it is too old to be anybody’s, and no other is', async (t) => {
  await standby('nobody');
  const caller = new pg.Client({ connectionString: database.ownerUrl, ssl: false });
  caller.on('error', () => {});
  await caller.connect();
  const before = await countSeen();
  caller.query(COUNT.text).catch(() => {});
  await waitingForStandby();
  await caller.end();
  t.after(() => standby(''));
  assert.equal(await endAbandonedWaits(aside, { afterSeconds: 60 }), 0);
  assert.equal(await waitingForStandby(), 1, 'nobody there, and it waits all the same');
  assert.equal(await endAbandonedWaits(aside, { afterSeconds: 0 }), 1);
  for (;;) {
    const { rows } = await others.query(
      `select count(*)::int as n from pg_stat_activity where wait_event = 'SyncRep'`,
    );
    if (rows[0].n === 0) break;
  }
  assert.equal(await countSeen(), before + 1, 'what it did is done');
});
