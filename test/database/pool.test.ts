import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { sql } from 'kysely';
import { databaseUnavailable } from '../../src/database/database-error.ts';
import { createPool, openKysely, type Pool, type PoolOptions } from '../../src/database/pool.ts';
import { transaction } from '../../src/database/transaction.ts';
import type { Log } from '../../src/errors/log.ts';
import { silentLog } from '../../src/errors/log.ts';
import { createTestDatabase } from '../test-database.ts';
import { ask } from './embedded-fixture.ts';

const database = await createTestDatabase();

const unavailable = (error: Error) => databaseUnavailable(error);

test('a connection has its limits, its name and the settings that the rules stand on', async (t) => {
  const pool = open(t, {
    applicationName: 'a name',
    statementTimeoutMilliseconds: 1_234,
    lockTimeoutMilliseconds: 567,
  });
  const { rows } = await pool.query(`select current_setting('application_name') as name,
    current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock,
    current_setting('idle_in_transaction_session_timeout') as idle,
    current_setting('default_transaction_isolation') as isolation, current_setting('search_path') as path`);
  assert.deepEqual(rows, [
    {
      name: 'a name',
      statement: '1234ms',
      lock: '567ms',
      idle: '10s',
      isolation: 'read committed',
      path: 'public',
    },
  ]);
});

test('a statement that takes too long is stopped by the server, and the next one is served', async (t) => {
  const pool = open(t, { size: 1, statementTimeoutMilliseconds: 500 });
  await assert.rejects(pool.query('select pg_sleep(60)'), unavailable);
  assert.equal((await pool.query('select 1')).rowCount, 1);
});

test('when all connections are taken, the next one waits a bounded time', async (t) => {
  const pool = open(t, { size: 1, connectTimeoutMilliseconds: 1_000 });
  const client = await pool.connect();
  await assert.rejects(pool.query('select 1'), unavailable);
  client.release();
  assert.equal((await pool.query('select 1')).rowCount, 1);
});

for (const { ending, warnings } of [
  { ending: false, warnings: ['a database connection broke'] },
  { ending: true, warnings: [] },
]) {
  test(`a connection that breaks is ${ending ? 'no news while its pool ends' : 'told'}`, async () => {
    const told: string[] = [];
    const log: Log = { ...silentLog, warn: (_, message) => void told.push(message) };
    const pool = createPool({ url: database.applicationUrl, size: 1, applicationName: 'test broken', log });
    const client = await pool.connect();
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    const ended = ending ? pool.end() : undefined;
    const broken = once(client, 'error');
    await ask(database.superuserUrl, `select pg_terminate_backend(${rows[0]?.pid})`);
    await broken;
    client.release(true);
    await (ended ?? pool.end());
    assert.deepEqual([...new Set(told)], warnings); // the driver may say it twice
  });
}

test('when the server has no connection left, that is an outage and passes', async (t) => {
  await ask(database.superuserUrl, `alter database ${database.name} connection limit 0`);
  const pool = open(t, {});
  await assert.rejects(pool.query('select 1'), (error: Error & { code?: string }) => {
    return error.code === '53300' && databaseUnavailable(error);
  });
  await ask(database.superuserUrl, `alter database ${database.name} connection limit -1`);
  assert.equal((await pool.query('select 1')).rowCount, 1);
});

test('a replica or a read-only server is refused at once', async (t) => {
  await ask(
    database.superuserUrl,
    `alter role mayfly_app in database ${database.name} set default_transaction_read_only = on`,
  );
  t.after(() => ask(database.superuserUrl, `alter role mayfly_app in database ${database.name} reset all`));
  await assert.rejects(open(t, {}).query('select 1'), (error: Error) => {
    return error.name === 'UnfitDatabaseError' && /primary/.test(error.message) && databaseUnavailable(error);
  });
});

test('a server that may forget what it acknowledged, or that takes wider snapshots, is refused', async (t) => {
  t.after(() => ask(database.superuserUrl, `alter role mayfly_app in database ${database.name} reset all`));
  for (const [setting, value] of [
    ['synchronous_commit', 'off'],
    ['default_transaction_isolation', "'repeatable read'"],
  ]) {
    const role = `alter role mayfly_app in database ${database.name}`;
    await ask(database.superuserUrl, `${role} set ${setting} = ${value}`);
    await assert.rejects(open(t, {}).query('select 1'), { name: 'UnfitDatabaseError' });
    await ask(database.superuserUrl, `${role} reset all`);
  }
});

test('a server that turned read-only under a living connection is an outage, and the connection is dropped', async (t) => {
  const pool = open(t, { size: 1, url: database.ownerUrl });
  const failed = transaction(pool, async (client) => {
    await client.query('set transaction read only');
    await client.query('create table never (one int)');
  });
  await assert.rejects(failed, unavailable);
  assert.equal(pool.totalCount, 0);
});

test('an idle connection that the server closes is logged once and replaced', async (t) => {
  const warnings: string[] = [];
  const log: Log = { ...silentLog, warn: (_, message) => warnings.push(message) };
  const pool = open(t, { log, applicationName: 'to be cut' });
  await pool.query('select 1');
  const removed = new Promise((resolve) => pool.once('remove', resolve));
  const cut = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'to be cut'";
  await ask(database.superuserUrl, cut);
  await removed;
  assert.deepEqual(warnings, ['a database connection broke']);
  assert.equal((await pool.query('select 1')).rowCount, 1);
});

test('nobody listening is an outage', async (t) => {
  const url = 'postgres://mayfly_app@127.0.0.1:1/mayfly';
  await assert.rejects(open(t, { url }).query('select 1'), unavailable);
  const socket = 'postgres://mayfly_app@%2Fnowhere%2Fat%2Fall/mayfly';
  await assert.rejects(open(t, { url: socket }).query('select 1'), unavailable);
  const name = 'postgres://mayfly_app@nowhere.invalid/mayfly?sslmode=disable&plaintext=accepted';
  await assert.rejects(open(t, { url: name }).query('select 1'), unavailable);
});

test('a server that accepts and never answers is an outage after a bounded time', async (t) => {
  const { port } = await listen(t, createServer());
  const url = `postgres://mayfly_app@127.0.0.1:${port}/mayfly`;
  await assert.rejects(open(t, { url, connectTimeoutMilliseconds: 50 }).query('select 1'), unavailable);
});

test('a server without TLS is not spoken to when the URL wants TLS', async (t) => {
  const { port, firstBytes } = await listen(t, createServer(), (socket) => socket.write('N'));
  const url = `postgres://mayfly_app:secret@127.0.0.1:${port}/mayfly?sslmode=verify-full`;
  await assert.rejects(open(t, { url }).query('select 1'), unavailable);
  assert.equal((await firstBytes).toString('latin1').includes('secret'), false);
});

test('a connection whose answer got lost does not serve the next query, not even for kysely', async (t) => {
  const pool = open(t, { size: 1, statementTimeoutMilliseconds: 1_000 });
  await pool.query('select 1');
  const kysely = openKysely(pool);
  const client = await pool.connect();
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  client.release();
  const pid = rows[0]?.pid ?? 0;
  process.kill(pid, 'SIGSTOP'); // the server neither answers nor stops the statement
  try {
    await assert.rejects(sql`select 1`.execute(kysely), unavailable);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  const answer = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(kysely);
  assert.notEqual(answer.rows[0]?.pid, pid);
});

test('the end of a kysely is the end of its pool, used or not', async () => {
  for (const questions of [0, 1]) {
    const pool = createPool({
      url: database.applicationUrl,
      size: 1,
      applicationName: 'end',
      log: silentLog,
    });
    const kysely = openKysely(pool);
    await pool.query('select 1');
    for (let asked = 0; asked < questions; asked++) await sql`select 1`.execute(kysely);
    await kysely.destroy();
    assert.ok(pool.ended);
    await kysely.destroy();
  }
});

test('a password that the URL does not hold is not taken from anywhere else', async (t) => {
  process.env.PGPASSWORD = 'from-elsewhere';
  t.after(() => delete process.env.PGPASSWORD);
  const server = createServer((socket) => {
    socket.once('data', () => {
      socket.write(CLEARTEXT_PASSWORD_PLEASE);
      socket.once('data', (bytes: Buffer) => socket.end(passwordRefused(bytes)));
    });
  });
  const { port } = await listen(t, server);
  const url = `postgres://mayfly_app@127.0.0.1:${port}/mayfly`;
  await assert.rejects(open(t, { url }).query('select 1'), { code: '28P01', message: 'it was "p\\x05"' });
});

test('PG… variables of the environment change nothing', async (t) => {
  const before = { ...process.env };
  t.after(() => {
    for (const name of Object.keys(process.env)) if (name.startsWith('PG')) delete process.env[name];
    Object.assign(process.env, before);
  });
  Object.assign(process.env, {
    PGHOST: '203.0.113.1',
    PGPORT: '1',
    PGUSER: 'postgres',
    PGDATABASE: 'postgres',
    PGPASSWORD: 'guess',
    PGSSLMODE: 'require',
  });
  const url = database.applicationUrl.replace(':5432', '');
  const { rows } = await open(t, { url }).query('select current_user as me, current_database() as here');
  assert.deepEqual(rows, [{ me: 'mayfly_app', here: database.name }]);
});

/** AuthenticationCleartextPassword; PostgreSQL manual, 54.7 Message Formats. */
const CLEARTEXT_PASSWORD_PLEASE = Buffer.from('R\0\0\0\x08\0\0\0\x03', 'latin1');

/** An ErrorResponse that repeats what the password message held. */
function passwordRefused(received: Buffer): Buffer {
  const shown = received.toString('latin1').replaceAll('\0', '').replace('\x05', '\\x05');
  const body = `SFATAL\0VFATAL\0C28P01\0Mit was "${shown}"\0\0`;
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from('E'), length, Buffer.from(body, 'latin1')]);
}

function open(t: TestContext, options: Partial<PoolOptions>): Pool {
  const pool = createPool({
    url: database.applicationUrl,
    size: 2,
    applicationName: 'pool test',
    log: silentLog,
    ...options,
  });
  t.after(() => pool.end());
  return pool;
}

/** A server that takes connections, says what it is told to say after the first bytes, and nothing else. */
async function listen(t: TestContext, server: Server, answer: (socket: Socket) => void = () => {}) {
  const sockets = new Set<Socket>();
  const firstBytes = new Promise<Buffer>((resolve) => {
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.once('data', (bytes: Buffer) => {
        resolve(bytes);
        answer(socket);
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return { port: address.port, firstBytes };
}
