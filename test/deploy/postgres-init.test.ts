import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { embeddedUrls } from '../../src/database/embedded/embedded-urls.ts';
import { migrate, pendingMigrations } from '../../src/database/migrate.ts';
import { silentLog } from '../../src/errors/log.ts';
import { asSuperuser, startTestCluster } from '../test-cluster.ts';
import { textOf } from './files.ts';

const run = promisify(execFile);
const withoutPsql: string | false = await run('psql', ['--version']).then(
  () => false,
  () => 'psql is not installed here',
);

test('what Postgres is made with gives a database that mayfly can use', { skip: withoutPsql }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-init-'));
  const cluster = await startTestCluster();
  t.after(async () => {
    await cluster.stop();
    await rm(folder, { recursive: true, force: true });
  });
  await mkdir(join(folder, 'secrets'));
  for (const role of ['owner', 'application']) {
    await writeFile(join(folder, 'secrets', `${role}_password`), `password of ${role}\n`);
  }
  for (const script of ['1-roles.sql', '2-passwords.sql']) {
    const text = textOf(`deploy/postgres-init/${script}`).replaceAll('/run/secrets', join(folder, 'secrets'));
    await psql(cluster.socketDirectory, join(folder, script), text);
  }

  const { ownerUrl, applicationUrl } = embeddedUrls(cluster.socketDirectory);
  await migrate({ ownerUrl, log: silentLog });
  assert.deepEqual(await pendingMigrations({ url: applicationUrl, log: silentLog }), []);
  const { rows } = await asSuperuser(cluster.socketDirectory, (client) =>
    client.query(`select rolname, left(rolpassword, 13) as password from pg_authid
      where rolname like 'mayfly%' order by rolname`),
  );
  assert.deepEqual(rows, [
    { rolname: 'mayfly_app', password: 'SCRAM-SHA-256' },
    { rolname: 'mayfly_owner', password: 'SCRAM-SHA-256' },
  ]);
});

/** As the entrypoint of the Postgres image runs it. */
async function psql(socketDirectory: string, path: string, text: string): Promise<void> {
  await writeFile(path, text);
  const { username } = new URL(embeddedUrls(socketDirectory).superuserUrl);
  const options = [
    '--set=ON_ERROR_STOP=1',
    '--no-psqlrc',
    '--quiet',
    '--no-password',
    `--username=${username}`,
  ];
  await run('psql', [...options, `--host=${socketDirectory}`, '--dbname=postgres', `--file=${path}`]);
}
