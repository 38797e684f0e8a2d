import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { listenTo } from '../../src/database/listen.ts';
import { silentLog } from '../../src/errors/log.ts';
import { until } from '../broker-process.ts';
import { asSuperuser } from '../test-cluster.ts';
import { createTestDatabase, type TestDatabase } from '../test-database.ts';
import { createDatabaseProxy } from '../threats/database-proxy.ts';

let database: TestDatabase;
before(async () => {
  database = await createTestDatabase();
});

function listen(overrides: { heartbeatMilliseconds?: number } = {}) {
  const heard = { wakes: 0 };
  const listening = listenTo({
    url: database.applicationUrl,
    channel: 'news',
    onWake: () => {
      heard.wakes += 1;
    },
    log: silentLog,
    retryMilliseconds: 1,
    ...overrides,
  });
  return { heard, listening };
}

const tell = () =>
  asSuperuser(database.socketDirectory, (client) => client.query('notify news'), database.name);

test('whoever listens is woken once it listens, and by each notification', async (t) => {
  const { heard, listening } = listen();
  t.after(() => listening.close());
  await until(async () => heard.wakes === 1, 'it looks after it connected');
  assert.equal(listening.isConnected(), true);
  await tell();
  await until(async () => heard.wakes === 2, 'it was told');
});

test('a connection that is ended is made anew, and what it missed is looked for', async (t) => {
  const { heard, listening } = listen();
  t.after(() => listening.close());
  await until(async () => heard.wakes === 1, 'it listens');
  await asSuperuser(database.socketDirectory, (client) =>
    client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = $1 and application_name = 'mayfly listen'`,
      [database.name],
    ),
  );
  await until(async () => heard.wakes === 2, 'it listens again');
  await tell();
  await until(async () => heard.wakes === 3, 'it was told');
});

test('FLT-14: a connection that is dead and did not say so is found out, and made anew', async (t) => {
  const proxy = await createDatabaseProxy(database);
  const heard = { wakes: 0 };
  const listening = listenTo({
    url: proxy.applicationUrl,
    channel: 'news',
    onWake: () => {
      heard.wakes += 1;
    },
    log: silentLog,
    retryMilliseconds: 1,
    heartbeatMilliseconds: 20,
  });
  t.after(() => listening.close());
  await until(() => heard.wakes === 1, 'it listens');
  proxy.become('silent');
  await until(() => !listening.isConnected(), 'it has noticed');
  proxy.become('open');
  await until(() => heard.wakes === 2, 'it listens again');
});

test('it can be stopped at any moment of its life', async () => {
  for (let turns = 0; turns < 40; turns += 1) {
    const { listening } = listen({ heartbeatMilliseconds: 1 });
    for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    await listening.close();
    assert.equal(listening.isConnected(), false);
  }
});
