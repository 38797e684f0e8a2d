import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { waitUntil } from '../../src/database/embedded/wait-until.ts';
import { migrate, migrationState, pendingMigrations } from '../../src/database/migrate.ts';
import { MIGRATIONS_FOLDER } from '../../src/database/migration-file.ts';
import { rolesScript } from '../../src/database/roles.ts';
import { silentLog } from '../../src/errors/log.ts';
import { createEmptyDatabase, type TestDatabase } from '../test-database.ts';
import { ask } from './embedded-fixture.ts';

const log = silentLog;
const SOON_MILLISECONDS = 10_000;

const FIRST = 'create table first (one int); insert into first values (1);';
const SECOND = 'create table second as select one + 1 as two from first;';

test('files run once, in order, each recorded, and the application may read the record', async (t) => {
  const { ownerUrl, applicationUrl: url } = await createEmptyDatabase(t);
  const folder = writeFolder(t, { '0001-first.sql': FIRST, '0002-second.sql': SECOND });
  assert.deepEqual(await pendingMigrations({ url, folder, log }), ['0001-first', '0002-second']);
  assert.deepEqual(await migrate({ ownerUrl, folder, log }), ['0001-first', '0002-second']);
  assert.deepEqual(await migrate({ ownerUrl, folder, log }), []);
  assert.deepEqual(await migrationState({ url, folder, log }), {
    applied: ['0001-first', '0002-second'],
    pending: [],
    newer: [],
    edited: [],
  });
  assert.deepEqual(await ask(ownerUrl, 'select two from second'), [{ two: 2 }]);
});

test('the application can neither migrate nor touch the record', async (t) => {
  const { ownerUrl, applicationUrl } = await createEmptyDatabase(t);
  const folder = writeFolder(t, { '0001-first.sql': FIRST });
  await assert.rejects(migrate({ ownerUrl: applicationUrl, folder, log }), /permission denied/);
  await migrate({ ownerUrl, folder, log });
  for (const table of ['migrations', 'migration_digests']) {
    await assert.rejects(ask(applicationUrl, `delete from ${table}`), { code: '42501' });
  }
});

test('a new file runs on a database that had the older ones', async (t) => {
  const { ownerUrl, applicationUrl: url } = await createEmptyDatabase(t);
  await migrate({ ownerUrl, folder: writeFolder(t, { '0001-first.sql': FIRST }), log });
  const folder = writeFolder(t, { '0001-first.sql': FIRST, '0002-second.sql': SECOND });
  assert.deepEqual(await pendingMigrations({ url, folder, log }), ['0002-second']);
  assert.deepEqual(await migrate({ ownerUrl, folder, log }), ['0002-second']);
});

test('a file that fails leaves nothing of itself, and what ran before it stays', async (t) => {
  const { ownerUrl } = await createEmptyDatabase(t);
  const broken = { '0001-first.sql': FIRST, '0002-second.sql': `${SECOND} select 1 / 0;` };
  await assert.rejects(migrate({ ownerUrl, folder: writeFolder(t, broken), log }), {
    name: 'MigrationError',
    message: /0002-second failed: division by zero/,
  });
  assert.deepEqual(await tablesOf(ownerUrl), ['first']);
  const mended = { '0001-first.sql': FIRST, '0002-second.sql': SECOND };
  assert.deepEqual(await migrate({ ownerUrl, folder: writeFolder(t, mended), log }), ['0002-second']);
});

test('a migrator killed in the middle of a file leaves nothing of it, and the next one goes on', async (t) => {
  const { ownerUrl, superuserUrl } = await createEmptyDatabase(t);
  const slow = { '0001-first.sql': FIRST, '0002-second.sql': `${SECOND} select pg_sleep(600);` };
  const killed = startMigrator(t, ownerUrl, writeFolder(t, slow));
  assert.ok(await waitUntil(() => isAsleep(superuserUrl), SOON_MILLISECONDS));
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  await ask(superuserUrl, `select pg_terminate_backend(pid) from pg_stat_activity where ${ASLEEP}`);
  assert.ok(await waitUntil(async () => !(await isAsleep(superuserUrl)), SOON_MILLISECONDS));
  assert.deepEqual(await tablesOf(ownerUrl), ['first']);
  const mended = { '0001-first.sql': FIRST, '0002-second.sql': SECOND };
  assert.deepEqual(await migrate({ ownerUrl, folder: writeFolder(t, mended), log }), ['0002-second']);
});

test('of several that migrate at once each file runs exactly once, and all of them succeed', async (t) => {
  const { ownerUrl } = await createEmptyDatabase(t);
  const names = Array.from({ length: 6 }, (_, index) => `000${index + 1}-step.sql`);
  const folder = writeFolder(
    t,
    Object.fromEntries(names.map((name) => [name, `create table t${name[3]} ()`])),
  );
  const ran = await Promise.all(Array.from({ length: 4 }, () => migrate({ ownerUrl, folder, log })));
  assert.deepEqual(
    ran.flat().toSorted(),
    names.map((name) => name.replace('.sql', '')),
  );
});

test('a database that a newer mayfly migrated is refused, and left alone', async (t) => {
  const { ownerUrl, applicationUrl: url } = await createEmptyDatabase(t);
  const newer = { '0001-first.sql': FIRST, '0002-second.sql': SECOND };
  await migrate({ ownerUrl, folder: writeFolder(t, newer), log });
  const folder = writeFolder(t, { '0001-first.sql': FIRST });
  await assert.rejects(migrate({ ownerUrl, folder, log }), /migrated by a newer mayfly \(0002-second\)/);
  // A broker of before may go on serving: nothing is missing for it.
  assert.deepEqual(await pendingMigrations({ url, folder, log }), []);
});

test('a file that was edited after it ran is refused', async (t) => {
  const { ownerUrl } = await createEmptyDatabase(t);
  await migrate({ ownerUrl, folder: writeFolder(t, { '0001-first.sql': FIRST }), log });
  const edited = { '0001-first.sql': `${FIRST} -- better`, '0002-second.sql': SECOND };
  await assert.rejects(
    migrate({ ownerUrl, folder: writeFolder(t, edited), log }),
    /ran here with another content than they have now: 0001-first/,
  );
  assert.deepEqual(await tablesOf(ownerUrl), ['first']);
});

test('a file that ends its own transaction is refused', async (t) => {
  const { ownerUrl } = await createEmptyDatabase(t);
  const folder = writeFolder(t, { '0001-first.sql': `${FIRST} commit;` });
  await assert.rejects(migrate({ ownerUrl, folder, log }), /0001-first ends its transaction/);
});

test('a migration that cannot get its lock gives up instead of queueing everybody behind it', async (t) => {
  const { ownerUrl, superuserUrl } = await createEmptyDatabase(t);
  const files = { '0001-first.sql': FIRST };
  await migrate({ ownerUrl, folder: writeFolder(t, files), log });
  const holder = ask(superuserUrl, 'begin; lock table first; select pg_sleep(600)');
  const ended = assert.rejects(holder);
  assert.ok(await waitUntil(() => isAsleep(superuserUrl), SOON_MILLISECONDS));
  const folder = writeFolder(t, { ...files, '0002-wider.sql': 'alter table first add column two int' });
  await assert.rejects(migrate({ ownerUrl, folder, log }), /0002-wider failed: .*lock timeout.*try again/);
  await ask(superuserUrl, `select pg_terminate_backend(pid) from pg_stat_activity where ${ASLEEP}`);
  await ended;
});

test('misnamed, repeated and missing numbers are refused before anything runs', async (t) => {
  const { ownerUrl } = await createEmptyDatabase(t);
  for (const names of [
    ['first.sql'],
    ['1-first.sql'],
    ['0001-First.sql'],
    ['0002-second.sql'],
    ['0001-first.sql', '0001-other.sql'],
    ['0001-first.sql', '0003-third.sql'],
  ]) {
    const folder = writeFolder(t, Object.fromEntries(names.map((name) => [name, FIRST])));
    await assert.rejects(migrate({ ownerUrl, folder, log }), /has to be named 000\d-<words>\.sql/);
  }
  assert.deepEqual(await tablesOf(ownerUrl), []);
});

test('the script for production makes roles and grants that the shipped migrations work with', async (t) => {
  const database = await createEmptyDatabase(t);
  await ask(database.superuserUrl, scriptFor(database));
  await migrate({ ownerUrl: database.ownerUrl, log });
  assert.deepEqual(await pendingMigrations({ url: database.applicationUrl, log }), []);
});

/** The script without what only psql understands, for a database that exists. */
function scriptFor({ name }: TestDatabase): string {
  const script = rolesScript();
  assert.match(script, /create database mayfly owner mayfly_owner .*builtin_locale ''C\.UTF-8''/);
  return script
    .replace(/^select 'create database[\s\S]*?\\connect mayfly$/m, '')
    .replaceAll('database mayfly ', `database ${name} `);
}

function writeFolder(t: TestContext, files: Record<string, string>): URL {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-migrations-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  return pathToFileURL(`${directory}/`);
}

async function tablesOf(url: string): Promise<string[]> {
  const rows = await ask<{ relname: string }>(
    url,
    `select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace
      and relname not like 'migration%' order by relname`,
  );
  return rows.map(({ relname }) => relname);
}

const ASLEEP = `wait_event = 'PgSleep' and datname = current_database()`;

async function isAsleep(url: string): Promise<boolean> {
  return (await ask(url, `select from pg_stat_activity where ${ASLEEP}`)).length > 0;
}

function startMigrator(t: TestContext, ownerUrl: string, folder: URL) {
  const source = new URL('../../src/database/', import.meta.url).href;
  const program = `import { migrate } from '${source}migrate.ts';
    import { silentLog } from '${source}../errors/log.ts';
    await migrate({ ownerUrl: ${JSON.stringify(ownerUrl)}, folder: new URL('${folder}'), log: silentLog });`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

test('lines that somebody wrote into the old record by hand stop the new one with a way out', async (t) => {
  const { ownerUrl } = await createEmptyDatabase(t);
  const names = readdirSync(MIGRATIONS_FOLDER).filter((name) => name < '0019');
  const texts = names.map((name) => [name, readFileSync(new URL(name, MIGRATIONS_FOLDER), 'utf8')] as const);
  await migrate({ ownerUrl, folder: writeFolder(t, Object.fromEntries(texts)), log });
  await ask(
    ownerUrl,
    `insert into audit_entries (id, action, outcome) values ('INC-1 é', 'We looked', 'allowed')`,
  );
  await assert.rejects(migrate({ ownerUrl, log }), { message: /0019-audit-log failed: .*runbook.*Upgrade/s });
  const runbook = readFileSync(new URL('../../docs/runbook.md', import.meta.url), 'utf8');
  const [, wayOut = ''] = /```sql\n(begin;\nalter table audit_entries disable.*?)```/s.exec(runbook) ?? [];
  await ask(ownerUrl, wayOut);
  await migrate({ ownerUrl, log });
  const [line] = await ask(
    ownerUrl,
    `select id, action, details from audit_entries where action = 'record.noted'`,
  );
  assert.match(line?.id, /^aud_[0-9a-f]{32}$/);
  assert.deepEqual(line?.details, { action: 'We looked' });
});
