/** Whatever was killed, and however, the next start puts it right by itself. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { isRunning, postgresPidsIn } from '../../src/database/embedded/pid.ts';
import { readPostmasterFile } from '../../src/database/embedded/postmaster-file.ts';
import { waitUntil } from '../../src/database/embedded/wait-until.ts';
import { ask, clusterOf, makeDataDirectory, start, startProgram } from './embedded-fixture.ts';

const SOON_MILLISECONDS = 10_000;
const onLinux = { skip: process.platform === 'linux' ? false : 'needs /proc' };

test('when only the broker is killed, its database ends by itself', onLinux, async (t) => {
  const program = startProgram(t, { dataDirectory: makeDataDirectory(t) });
  const { pid = 0 } = await program.line();
  await program.kill();
  assert.ok(await waitUntil(() => !isRunning(pid), SOON_MILLISECONDS));
});

test('a database that survived its broker is stopped and started anew, with everything in it', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  const program = startProgram(t, { dataDirectory, endsWithParent: false });
  const { pid = 0, superuserUrl = '' } = await program.line();
  await ask(superuserUrl, 'create table kept as select 7 as number');
  await program.kill();
  assert.ok(isRunning(pid));
  const postgres = await start(t, { dataDirectory });
  assert.notEqual(postgres.pid, pid);
  assert.equal(isRunning(pid), false);
  assert.deepEqual(await ask(postgres.superuserUrl, 'select number from kept'), [{ number: 7 }]);
});

test('a survivor with a busy client does not hold up the next start', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  const program = startProgram(t, { dataDirectory, endsWithParent: false });
  const { superuserUrl = '' } = await program.line();
  const sleeper = assert.rejects(ask(superuserUrl, 'select pg_sleep(600)'));
  const asleep = "select from pg_stat_activity where wait_event = 'PgSleep'";
  assert.ok(await waitUntil(async () => (await ask(superuserUrl, asleep)).length === 1, SOON_MILLISECONDS));
  await program.kill();
  await start(t, { dataDirectory });
  await sleeper;
});

test('after broker and database were killed together, the next start recovers', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  const program = startProgram(t, { dataDirectory, endsWithParent: false });
  const { superuserUrl = '', socketDirectory = '' } = await program.line();
  await ask(superuserUrl, 'create table kept as select 7 as number');
  program.child.kill('SIGSTOP'); // so that it cannot do anything about what comes now
  for (const pid of postgresPidsIn(clusterOf(dataDirectory))) process.kill(pid, 'SIGKILL');
  await program.kill();
  assert.ok(existsSync(join(clusterOf(dataDirectory), 'postmaster.pid')));
  assert.ok(existsSync(join(socketDirectory, '.s.PGSQL.5432')));
  const postgres = await start(t, { dataDirectory });
  assert.deepEqual(await ask(postgres.superuserUrl, 'select number from kept'), [{ number: 7 }]);
});

test('a child of Postgres that outlived it is ended before the next start', onLinux, async (t) => {
  const dataDirectory = makeDataDirectory(t);
  const program = startProgram(t, { dataDirectory, endsWithParent: false });
  const { pid = 0, superuserUrl = '' } = await program.line();
  const lost = assert.rejects(
    ask(superuserUrl, 'do $$ begin loop perform 1; end loop; end $$'), // never looks whether its parent lives
  );
  const workers = async () =>
    ask<{ pid: number }>(superuserUrl, "select pid from pg_stat_activity where query like 'do %'");
  assert.ok(await waitUntil(async () => (await workers()).length === 1, SOON_MILLISECONDS));
  const [worker] = await workers();
  process.kill(pid, 'SIGKILL');
  await program.kill();
  assert.ok(isRunning(worker?.pid ?? 0));
  await start(t, { dataDirectory });
  assert.equal(isRunning(worker?.pid ?? 0), false);
  await lost;
});

test('a stale postmaster.pid whose pid somebody else has now is not believed, and nobody is signalled', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  await (await start(t, { dataDirectory })).stop();
  const bystander = spawn('sleep', ['600'], { cwd: clusterOf(dataDirectory), stdio: 'ignore' });
  t.after(() => bystander.kill());
  const lines = [bystander.pid, clusterOf(dataDirectory), 1, 5432, '/nowhere', '', '  1  1', 'ready   '];
  writeFileSync(join(clusterOf(dataDirectory), 'postmaster.pid'), `${lines.join('\n')}\n`);
  await start(t, { dataDirectory });
  assert.equal(bystander.exitCode ?? bystander.signalCode, null);
});

test('an empty postmaster.pid, as a full disk leaves it, does not stand in the way', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  await (await start(t, { dataDirectory })).stop();
  writeFileSync(join(clusterOf(dataDirectory), 'postmaster.pid'), '');
  await start(t, { dataDirectory });
});

test('a database that is served from somewhere we cannot see is not touched', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  const running = await start(t, { dataDirectory });
  const file = join(clusterOf(dataDirectory), 'postmaster.pid');
  const lines = readFileSync(file, 'utf8').split('\n');
  writeFileSync(file, [4_000_000, ...lines.slice(1)].join('\n')); // a pid of another container
  renameSync(join(dataDirectory, 'postgres', 'lock'), join(dataDirectory, 'postgres', 'lock-elsewhere'));
  await assert.rejects(start(t, { dataDirectory }), /another container/);
  assert.deepEqual(await ask(running.applicationUrl, 'select 1 as one'), [{ one: 1 }]);
  writeFileSync(file, lines.join('\n'));
});

test('a broker killed while it makes its first database leaves nothing that the next one would take for one', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  const program = startProgram(t, { dataDirectory, durable: true });
  const home = dirname(clusterOf(dataDirectory));
  const isUnderWay = () =>
    existsSync(home) && readdirSync(home).some((name) => name.startsWith('cluster.unfinished'));
  assert.ok(await waitUntil(isUnderWay, SOON_MILLISECONDS));
  await program.kill();
  assert.equal(existsSync(clusterOf(dataDirectory)), false);
  const postgres = await start(t, { dataDirectory });
  assert.deepEqual(await ask(postgres.applicationUrl, 'select 1 as one'), [{ one: 1 }]);
  assert.deepEqual(
    readdirSync(home).filter((name) => name.startsWith('cluster')),
    ['cluster'],
  );
});

test('an unfinished database of an earlier crash is thrown away', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  const unfinished = `${clusterOf(dataDirectory)}.unfinished-0badcafe`;
  mkdirSync(unfinished, { recursive: true });
  writeFileSync(join(unfinished, 'PG_VERSION'), '18\n');
  await start(t, { dataDirectory });
  assert.equal(existsSync(unfinished), false);
});

test('roles and database that a crash left out are made by the next start', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  const first = await start(t, { dataDirectory });
  const maintenance = first.superuserUrl.replace(/mayfly$/, 'postgres');
  await ask(maintenance, 'drop database mayfly');
  await ask(maintenance, 'drop role mayfly_app');
  await first.stop();
  const second = await start(t, { dataDirectory });
  assert.deepEqual(await ask(second.applicationUrl, 'select 1 as one'), [{ one: 1 }]);
});

test('the temporary socket folder of a killed broker is removed by the next one', async (t) => {
  const dataDirectory = join(makeDataDirectory(t), 'deep'.repeat(25));
  const program = startProgram(t, { dataDirectory, endsWithParent: false });
  const { socketDirectory = '' } = await program.line();
  await program.kill();
  assert.ok(existsSync(socketDirectory));
  await start(t, { dataDirectory });
  assert.equal(existsSync(socketDirectory), false);
});

test('killed at every stage of its start, a broker always finds its database again', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  const cluster = clusterOf(dataDirectory);
  const first = await start(t, { dataDirectory, durable: true });
  await ask(first.superuserUrl, 'create table kept as select 7 as number');
  await first.stop();
  const stages = [
    () => true,
    () => existsSync(join(dirname(cluster), 'lock')),
    () => existsSync(join(dirname(cluster), 'socket')),
    () => existsSync(join(cluster, 'postmaster.pid')),
    () => readPostmasterFile(cluster)?.ready ?? false,
  ];
  for (const isReached of stages) {
    const program = startProgram(t, { dataDirectory, durable: true, endsWithParent: false });
    assert.ok(await waitUntil(isReached, SOON_MILLISECONDS));
    await program.kill();
  }
  const last = await start(t, { dataDirectory, durable: true });
  assert.deepEqual(await ask(last.superuserUrl, 'select number from kept'), [{ number: 7 }]);
});
