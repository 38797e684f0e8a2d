import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPool } from '../../src/database/pool.ts';
import { reserveConnections } from '../../src/database/reserved-connection.ts';
import { silentLog } from '../../src/errors/log.ts';
import { beforeDrop, createTestDatabase } from '../test-database.ts';

const database = await createTestDatabase();
const connect = (size: number) =>
  createPool({
    url: database.applicationUrl,
    size,
    applicationName: 'test reserved',
    log: silentLog,
    keepOpen: true,
    connectTimeoutMilliseconds: 500,
  });
const pools = [connect(1), connect(2)];
const watcher = createPool({
  url: database.applicationUrl,
  size: 1,
  applicationName: 'test watcher',
  log: silentLog,
});
beforeDrop(async () => {
  await Promise.all([...pools, watcher].map((pool) => pool.end()));
});

async function openBackends(): Promise<number[]> {
  const { rows } = await watcher.query<{ pid: number }>(
    `select pid from pg_stat_activity where application_name = 'test reserved' order by pid`,
  );
  return rows.map(({ pid }) => pid);
}

test('reserved connections are there before they are needed, and again after they were lost', async () => {
  const reserved = reserveConnections({ pools, log: silentLog });
  assert.equal(reserved.isOpen(), false);
  await reserved.open();
  assert.equal(reserved.isOpen(), true);
  const first = await openBackends();
  assert.equal(first.length, 3);
  await reserved.open();
  assert.deepEqual(await openBackends(), first);

  await watcher.query(
    `select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'test reserved'`,
  ); // and waits until they are gone
  do await reserved.open();
  while (!reserved.isOpen());
  const second = await openBackends();
  assert.equal(second.length, 3);
  assert.deepEqual(
    second.filter((pid) => first.includes(pid)),
    [],
  );
  await reserved.close();
});

test('a connection that is at work counts as open and is not waited for', async () => {
  const reserved = reserveConnections({ pools, log: silentLog });
  const busy = await pools[0]?.connect();
  await reserved.open();
  assert.equal(reserved.isOpen(), true);
  busy?.release();
  await reserved.close();
});

test('what cannot be connected is said, and nothing rejects', async () => {
  const lines: string[] = [];
  const log = {
    ...silentLog,
    error: (_: object, message: string) => lines.push(message),
  } as typeof silentLog;
  const lost = connect(1);
  const reserved = reserveConnections({ pools: [lost], log });
  await reserved.open();
  await lost.end();
  await reserved.open();
  assert.equal(reserved.isOpen(), false);
  assert.deepEqual(lines, ['connections that are kept for the kill switch were lost']);
  await reserved.close();
});
