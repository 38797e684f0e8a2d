import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cleanEnvironment } from '../broker-process.ts';
import { ROOT } from './files.ts';

/** `deploy/prepare.sh`, as somebody would run it. */
export async function runPrepare(folder: string): Promise<void> {
  const env = cleanEnvironment({});
  await promisify(execFile)('sh', [`${ROOT}deploy/prepare.sh`, 'broker.example.com', folder], { env });
}

/**
 * What prepare.sh makes, with the database URLs of a test. The folder of the secrets is opened, which has the
 * effect of mounting its files one by one.
 */
export async function prepareDeployment(
  folder: string,
  { port, database }: { port: number; database: string },
): Promise<string> {
  await runPrepare(folder);
  const secrets = join(folder, 'secrets');
  assert.equal((await stat(secrets)).mode & 0o777, 0o700);
  await chmod(folder, 0o755);
  await chmod(secrets, 0o755);
  for (const [file, role] of [
    ['owner_database_url', 'mayfly_owner'],
    ['database_url', 'mayfly_app'],
  ] as const) {
    const path = join(secrets, file);
    const made = await readFile(path, 'utf8');
    assert.match(made, new RegExp(`^postgres://${role}:[0-9a-f]{48}@postgres:5432/mayfly\\?`));
    await chmod(path, 0o644);
    await writeFile(path, `postgres://${role}@127.0.0.1:${port}/${database}\n`);
  }
  return folder;
}
