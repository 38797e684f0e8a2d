import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { postgresPidsIn } from '../../src/database/embedded/pid.ts';
import { waitUntil } from '../../src/database/embedded/wait-until.ts';
import { attachEmbeddedPostgres } from '../../src/database/embedded-postgres.ts';
import { ask, clusterOf, makeDataDirectory, start, startProgram } from './embedded-fixture.ts';

test('the first start makes a database and a later one finds what was written', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  const first = await start(t, { dataDirectory, durable: true });
  await ask(first.ownerUrl, 'create table kept (word text)');
  await ask(first.ownerUrl, "insert into kept values ('still here')");
  await first.stop();
  const second = await start(t, { dataDirectory, durable: true });
  assert.deepEqual(await ask(second.ownerUrl, 'select word from kept'), [{ word: 'still here' }]);
});

/** For the questions below that leave it as it is. */
const sharedDirectory = makeDataDirectory({ after });
const shared = await start({ after }, { dataDirectory: sharedDirectory, durable: true });

test('the database is set up for a credential broker', async () => {
  const { superuserUrl } = shared;
  const settings = await ask<{ name: string; setting: string }>(
    superuserUrl,
    `select name, setting from pg_settings where name in
      ('data_checksums', 'fsync', 'synchronous_commit', 'listen_addresses', 'server_encoding', 'TimeZone',
       'log_min_error_statement') order by name collate "C"`,
  );
  assert.deepEqual(Object.fromEntries(settings.map(({ name, setting }) => [name, setting])), {
    TimeZone: 'UTC',
    data_checksums: 'on',
    fsync: 'on',
    listen_addresses: '',
    log_min_error_statement: 'panic',
    server_encoding: 'UTF8',
    synchronous_commit: 'on',
  });
  const [locale] = await ask(
    superuserUrl,
    'select datlocprovider, datlocale from pg_database where datname = current_database()',
  );
  assert.deepEqual(locale, { datlocprovider: 'b', datlocale: 'C.UTF-8' });
});

test('nobody else can reach the database or its files', () => {
  const { socketDirectory } = shared;
  const dataDirectory = sharedDirectory;
  const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);
  assert.equal(modeOf(join(dataDirectory, 'postgres')), '700');
  assert.equal(modeOf(socketDirectory), '700');
  assert.equal(modeOf(join(socketDirectory, '.s.PGSQL.5432')), '700');
  assert.equal(modeOf(clusterOf(dataDirectory)), '700');
  assert.equal(modeOf(join(dataDirectory, 'postgres', 'postgres.log')), '600');
});

test('the application role can neither create nor change nor become anything', async () => {
  const { ownerUrl, applicationUrl } = shared;
  await ask(ownerUrl, 'create table facts (one int)');
  await ask(ownerUrl, 'create function upkeep() returns int language sql security definer return 1');
  for (const statement of [
    'create table mine (one int)',
    'create temporary table mine (one int)',
    'create schema mine',
    'create role mine',
    'create database mine',
    'select * from facts',
    'drop table facts',
    'select upkeep()',
    'set role mayfly_owner',
    "copy (select 1) to program 'true'",
    "select pg_read_file('postgresql.conf')",
  ]) {
    await assert.rejects(ask(applicationUrl, statement), { code: '42501' }, statement);
  }
});

test('each role has limits of its own', async () => {
  const { ownerUrl, applicationUrl } = shared;
  const question = `select current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock,
    current_setting('idle_in_transaction_session_timeout') as idle`;
  assert.deepEqual(await ask(applicationUrl, question), [{ statement: '10s', lock: '3s', idle: '10s' }]);
  assert.deepEqual(await ask(ownerUrl, question), [{ statement: '0', lock: '10s', idle: '1min' }]);
});

test('stopping leaves no program, no socket and no lock, even with clients inside', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  const postgres = await start(t, { dataDirectory });
  const sleeper = ask(postgres.superuserUrl, 'select pg_sleep(600)');
  const isAsleep = assert.rejects(sleeper, { code: '57P01' });
  const asleep = "select from pg_stat_activity where wait_event = 'PgSleep'";
  assert.ok(await waitUntil(async () => (await ask(postgres.superuserUrl, asleep)).length === 1, 10_000));
  await Promise.all([postgres.stop(), postgres.stop(), isAsleep, postgres.ended]);
  assert.deepEqual(postgresPidsIn(clusterOf(dataDirectory)), []);
  assert.equal(existsSync(postgres.socketDirectory), false);
  assert.equal(existsSync(join(dataDirectory, 'postgres', 'lock')), false);
  assert.equal(existsSync(join(clusterOf(dataDirectory), 'postmaster.pid')), false);
});

test('a database that is killed under the broker is noticed', async (t) => {
  const messages: string[] = [];
  const log = {
    debug() {},
    info() {},
    warn() {},
    error: (_: object, message: string) => messages.push(message),
  };
  const postgres = await start(t, { dataDirectory: makeDataDirectory(t), log });
  process.kill(postgres.pid, 'SIGKILL');
  await postgres.ended;
  assert.deepEqual(messages, ['the embedded Postgres ended by itself']);
  await postgres.stop();
});

test('Ctrl-C reaches the broker and not its database, which answers until the broker has drained', async (t) => {
  const program = startProgram(t, { dataDirectory: makeDataDirectory(t) });
  const { pid } = await program.line();
  assert.ok(pid !== undefined && program.child.pid !== undefined);
  process.kill(-program.child.pid, 'SIGINT'); // to the whole group, as a terminal does
  assert.deepEqual(await program.line(), { drained: true });
  assert.deepEqual(await program.exited, [0, null]);
});

test('two databases in two folders run side by side', async (t) => {
  const other = await start(t, { dataDirectory: makeDataDirectory(t) });
  await ask(shared.ownerUrl, 'create table here (one int)');
  assert.deepEqual(await ask(other.ownerUrl, "select to_regclass('here') as found"), [{ found: null }]);
});

test('a second broker on the same folder is refused, with the pid of the first', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  const program = startProgram(t, { dataDirectory });
  await program.line();
  await assert.rejects(start(t, { dataDirectory }), {
    name: 'DirectoryLockedError',
    message: new RegExp(`\\(pid ${program.child.pid}\\) uses this data folder: .*MAYFLY_DATA_DIR`),
  });
});

test('a data folder whose path is too long for a socket gets a private one elsewhere', async (t) => {
  const dataDirectory = join(makeDataDirectory(t), 'deep'.repeat(20), 'd e\u00e9p%"er');
  const postgres = await start(t, { dataDirectory });
  assert.equal(postgres.socketDirectory.startsWith(dataDirectory), false);
  assert.equal(statSync(postgres.socketDirectory).mode & 0o777, 0o700);
  assert.deepEqual(await ask(postgres.applicationUrl, 'select 1 as one'), [{ one: 1 }]);
  await postgres.stop();
  assert.equal(existsSync(postgres.socketDirectory), false);
});

test('a data folder with odd characters in its name works', async (t) => {
  const postgres = await start(t, { dataDirectory: makeDataDirectory(t, 'a b,"\u00e9%2F') });
  assert.deepEqual(await ask(postgres.applicationUrl, 'select 1 as one'), [{ one: 1 }]);
});

test('a database of another major version is refused and left alone', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  await (await start(t, { dataDirectory })).stop();
  writeFileSync(join(clusterOf(dataDirectory), 'PG_VERSION'), '17\n');
  await assert.rejects(start(t, { dataDirectory }), /made by Postgres 17; this mayfly brings Postgres 18/);
  assert.equal(readFileSync(join(clusterOf(dataDirectory), 'PG_VERSION'), 'utf8'), '17\n');
});

test('when Postgres does not come up, the error shows the end of its log and the folder can be used again', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  const settings = { shared_buffers: 'nonsense' };
  await assert.rejects(
    start(t, { dataDirectory, settings }),
    /did not start[\s\S]*invalid value for parameter/,
  );
  await start(t, { dataDirectory });
});

test('a command beside the broker finds its database, and nothing where none runs', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  assert.equal(attachEmbeddedPostgres({ dataDirectory }), null);
  const program = startProgram(t, { dataDirectory });
  await program.line();
  const urls = attachEmbeddedPostgres({ dataDirectory });
  assert.ok(urls !== null);
  assert.deepEqual(await ask(urls.applicationUrl, 'select current_user as me'), [{ me: 'mayfly_app' }]);
  program.child.kill('SIGTERM');
  await program.exited;
  assert.equal(attachEmbeddedPostgres({ dataDirectory }), null);
});
