/**
 * The cluster's folder (PGDATA): made once, whole or not at all. `initdb` works under another name and the
 * finished folder is renamed, so that a crash in the middle leaves nothing that looks like a database.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { lchown, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { deathSignalPrefix } from './death-signal.ts';
import type { PostgresAccount } from './postgres-account.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';

export const SUPERUSER = 'postgres';

const INITDB_TIMEOUT_MILLISECONDS = 60_000;
const UNFINISHED = '.unfinished-';

const run = promisify(execFile);

/** Postgres cannot run here, and not for a reason of ours; the message says what to do. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError';
}

export type ClusterOptions = {
  /** Where the cluster is or shall be. */
  cluster: string;
  binaries: PostgresBinaries;
  account: PostgresAccount;
  /** False only for throw-away clusters: a power cut may then destroy it. */
  durable: boolean;
};

/**
 * @returns whether it was made just now
 * @throws when the folder holds a cluster of another major version
 */
export async function ensureCluster(options: ClusterOptions): Promise<boolean> {
  const { cluster, account } = options;
  await removeUnfinished(cluster);
  if (existsSync(cluster)) {
    await requireVersion(cluster, account.majorVersion);
    return false;
  }
  await makeCluster(options);
  return true;
}

async function makeCluster({ cluster, binaries, account, durable }: ClusterOptions): Promise<void> {
  // Another name each time: an initdb that outlived its broker must not write into the next one's folder.
  const unfinished = `${cluster}${UNFINISHED}${randomBytes(4).toString('hex')}`;
  await mkdir(unfinished, { mode: 0o700 });
  if (account.ids !== undefined) await lchown(unfinished, account.ids.uid, account.ids.gid);
  await runInitdb({ unfinished, binaries, account, durable });
  await writeFile(join(unfinished, 'pg_hba.conf'), HOST_BASED_AUTHENTICATION);
  await rename(unfinished, cluster);
  if (durable) await persist(dirname(cluster));
}

async function removeUnfinished(cluster: string): Promise<void> {
  const start = basename(cluster) + UNFINISHED;
  for (const name of await readdir(dirname(cluster))) {
    if (!name.startsWith(start)) continue;
    await rm(join(dirname(cluster), name), { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Whoever may enter the socket's folder is us: nobody else gets as far as this rule. */
const HOST_BASED_AUTHENTICATION = 'local all all trust\n';

async function runInitdb({
  unfinished,
  binaries,
  account,
  durable,
}: Omit<ClusterOptions, 'cluster'> & { unfinished: string }): Promise<void> {
  const [command, ...args] = [
    ...account.prefix,
    ...(await deathSignalPrefix(account, 'KILL')),
    binaries.initdb,
    `--pgdata=${unfinished}`,
    `--username=${SUPERUSER}`,
    '--auth-local=trust',
    '--auth-host=reject',
    '--encoding=UTF8',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--locale=C',
    '--data-checksums',
    '--no-instructions',
    ...(durable ? [] : ['--no-sync']),
  ];
  const options = {
    cwd: '/',
    env: account.environment,
    timeout: INITDB_TIMEOUT_MILLISECONDS,
    ...account.ids,
  };
  try {
    await run(command as string, args, options);
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    if (stderr?.includes('insufficient file descriptors')) throw new EmbeddedPostgresError(TOO_FEW_FILES);
    throw new Error(`initdb could not make a database in ${unfinished}: ${stderr?.trim() || message}`);
  }
}

const TOO_FEW_FILES =
  'The embedded Postgres may not open enough files here: raise the limit (`ulimit -n 1024`) and start again.';

async function requireVersion(cluster: string, majorVersion: number): Promise<void> {
  const found = await readFile(join(cluster, 'PG_VERSION'), 'utf8').catch(() => '');
  if (found.trim() === String(majorVersion)) return;
  throw new EmbeddedPostgresError(
    found.trim() === ''
      ? `${cluster} is no Postgres database (it has no PG_VERSION). Move it away and start again.`
      : `The database in ${cluster} was made by Postgres ${found.trim()}; this mayfly brings Postgres ` +
          `${majorVersion}. Move it away to start with an empty one, or run the mayfly that made it.`,
  );
}

/** A rename is durable once its folder is. */
async function persist(directory: string): Promise<void> {
  const folder = await open(directory);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
