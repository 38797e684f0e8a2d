/** FLT, RAC: the wrong database, one without connections, a migration under load. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import pg from 'pg';
import { migrate } from '../../src/database/migrate.ts';
import { MIGRATIONS_FOLDER } from '../../src/database/migration-file.ts';
import { type Log, silentLog } from '../../src/errors/log.ts';
import { until } from '../broker-process.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';
import { asSuperuser } from '../test-cluster.ts';

test('FLT-04: a broker does not start on a replica, and says that it wants the primary', async () => {
  const world = await createTestWorld();
  const { name, socketDirectory } = world.database;
  await asSuperuser(socketDirectory, (client) =>
    client.query(`alter database ${name} set default_transaction_read_only = on`),
  );
  await assert.rejects(world.startBroker(), (error: Error) => {
    assert.equal(error.name, 'UnfitDatabaseError');
    assert.match(error.message, /replica or read-only\. DATABASE_URL has to name the primary/);
    return true;
  });
});

test('FLT-08: where another application took every connection of the database it is 503, and passes by itself', async () => {
  const world = await createTestWorld();
  const broker = await world.startBroker();
  const agent = world.agent(broker, 'report-writer');
  const server = world.resourceServer(broker, 'https://customers.example.com');
  const { body } = await agent.token(newSessionKey());
  const introspect = () =>
    server.post('/oauth/introspect', server.authenticated({ token: body.access_token }));
  const { name, socketDirectory } = world.database;
  const asRoot = (text: string, values: unknown[] = []) =>
    asSuperuser(socketDirectory, (client) => client.query(text, values));
  // As if there were none left: those that brokers keep open are not everybody's.
  await asRoot(`alter database ${name} connection limit 0`);
  await asRoot(
    `select pg_terminate_backend(pid, 5000) from pg_stat_activity
      where datname = $1 and application_name in ('mayfly', 'mayfly mint')`,
    [name],
  );
  for (const ask of [introspect, () => agent.token(newSessionKey())]) {
    const startedAt = performance.now();
    const answer = await ask();
    const took = performance.now() - startedAt;
    assert.deepEqual([answer.status, answer.body.code], [503, 'temporarily_unavailable'], answer.text);
    assert.equal(answer.headers.get('retry-after'), '1');
    assert.ok(took < 4_000, `${took} ms`);
  }
  const killed = await world.operator(broker, 'olivia').post('/v1/kill-switch', 'mayfly:engage:kill-switch', {
    target: { kind: 'zone', id: 'support' },
    reason: 'a test',
    wait_seconds: 0,
  });
  assert.ok([200, 202].includes(killed.status), `a kill has its own: ${killed.text}`);
  assert.equal((await fetch(`${broker.url}/livez`)).status, 200);
  await asRoot(`alter database ${name} connection limit -1`);
  await until(async () => (await introspect()).status === 200, 'it connects again');
  assert.equal((await agent.token(newSessionKey())).status, 200);
});

test('RAC-16: a migration that finds a long reader lets every mint pass, and is done when the reader is', async () => {
  const world = await createTestWorld();
  const broker = await world.startBroker();
  const agent = world.agent(broker, 'report-writer');
  await agent.token(newSessionKey());
  const answers: number[] = [];
  let isOver = false;
  const lanes = Array.from({ length: 4 }, async () => {
    while (!isOver) answers.push((await agent.token(newSessionKey())).status);
  });
  const reader = new pg.Client({ connectionString: world.database.ownerUrl, ssl: false });
  await reader.connect();
  await reader.query('begin; select from audit_entries limit 1; select from tokens limit 1');

  let turnedAway = 0;
  const log: Log = {
    ...silentLog,
    warn() {
      turnedAway += 1;
    },
  };
  const folder = withMigration(
    `alter table audit_entries add column test_one text; alter table tokens add column test_two text;
     create index audit_entries_test on audit_entries (test_one) where test_one is not null;`,
  );
  const migrating = migrate({ ownerUrl: world.database.ownerUrl, folder: folder.url, log });
  await until(() => turnedAway >= 3, 'it gave way some times');
  await reader.query('commit');
  assert.equal((await migrating).length, 1);
  const enough = answers.length + 20;
  await until(() => answers.length >= enough, 'some more are minted');
  isOver = true;
  await Promise.all(lanes);
  await reader.end();
  folder.remove();
  assert.deepEqual([...new Set(answers)], [200], `of ${answers.length}`);
});

/** Those that are shipped, and one more. */
function withMigration(text: string): { url: URL; remove(): void } {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-migrations-'));
  cpSync(fileURLToPath(MIGRATIONS_FOLDER), directory, { recursive: true });
  const next = readdirSync(directory).filter((name) => name.endsWith('.sql')).length + 1;
  writeFileSync(join(directory, `${String(next).padStart(4, '0')}-test.sql`), text);
  return {
    url: pathToFileURL(`${directory}/`),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
