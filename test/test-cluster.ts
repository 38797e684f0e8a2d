/**
 * The throw-away Postgres under the tests: one for a whole run, in a folder of its own, so that two runs never
 * meet. It holds one migrated template database, and every test file clones that.
 *
 * It does not outlive the run: the global teardown stops it, also after Ctrl-C, and when the run is killed the
 * kernel stops it. What a killed run leaves in the folder for temporary files goes at the next run.
 */
import { mkdtemp, readdir, realpath, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { lockHolderPid } from '../src/database/embedded/directory-lock.ts';
import { type EmbeddedUrls, embeddedUrls } from '../src/database/embedded/embedded-urls.ts';
import { clearOrphan } from '../src/database/embedded/orphan.ts';
import { startEmbeddedPostgres } from '../src/database/embedded-postgres.ts';
import { migrate } from '../src/database/migrate.ts';
import { DATABASE_NAME } from '../src/database/roles.ts';
import { silentLog } from '../src/errors/log.ts';
import { systemClock } from '../src/time/clock.ts';

export const TEMPLATE_NAME = 'migrated_template';
/** How test files learn of the cluster that the global setup started. */
export const SOCKET_VARIABLE = 'TEST_POSTGRES_SOCKET';
/** And of the run's folder. */
export const FOLDER_VARIABLE = 'TEST_RUN_FOLDER';

export type TestCluster = {
  socketDirectory: string;
  /** For what a run keeps for itself: goes with the cluster. */
  directory: string;
  stop(): Promise<void>;
};

/** Of folders that a later run removes when this one was killed. */
export const TEST_PREFIX = 'mayfly-test-';
/** A folder without a lock: either just made by another run, or left by one that was killed while starting. */
const SURELY_ABANDONED_MILLISECONDS = 10 * 60_000;

const SETTINGS = {
  max_connections: 800, // of three files at once, each with its brokers
  shared_buffers: '64MB',
  autovacuum: 'off',
};

export async function startTestCluster(
  settings: Readonly<Record<string, string | number>> = {},
): Promise<TestCluster> {
  await sweepAbandoned();
  const dataDirectory = await mkdtemp(join(tmpdir(), TEST_PREFIX));
  const postgres = await startEmbeddedPostgres({
    dataDirectory,
    log: silentLog,
    clock: systemClock,
    settings: { ...SETTINGS, ...settings },
    durable: false,
  });
  await makeTemplate(postgres);
  return {
    socketDirectory: postgres.socketDirectory,
    directory: dataDirectory,
    async stop() {
      await postgres.stop();
      await rm(dataDirectory, { recursive: true, force: true });
    },
  };
}

/** Of a server's only database, made a moment ago. */
export async function makeTemplate({ ownerUrl, socketDirectory }: EmbeddedUrls): Promise<void> {
  await migrate({ ownerUrl, log: silentLog });
  await asSuperuser(socketDirectory, async (client) => {
    await client.query(`alter database ${DATABASE_NAME} rename to ${TEMPLATE_NAME}`);
    // Nobody in it, ever: CREATE DATABASE waits for whoever is.
    await client.query(`alter database ${TEMPLATE_NAME} with is_template true allow_connections false`);
  });
}

export async function asSuperuser<Result>(
  socketDirectory: string,
  work: (client: pg.Client) => Promise<Result>,
  database = 'postgres',
): Promise<Result> {
  const { superuserUrl } = embeddedUrls(socketDirectory, database);
  const client = new pg.Client({ connectionString: superuserUrl, ssl: false });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function sweepAbandoned(): Promise<void> {
  const names = (await readdir(tmpdir())).filter((name) => name.startsWith(TEST_PREFIX));
  for (const name of names) {
    const directory = join(tmpdir(), name);
    try {
      if (await isAbandoned(directory)) await removeAbandoned(directory);
    } catch {
      // another user's, or another run is sweeping it
    }
  }
}

async function isAbandoned(directory: string): Promise<boolean> {
  const lock = join(directory, 'postgres', 'lock');
  if (await exists(lock)) return lockHolderPid(lock) === null;
  const { mtimeMs } = await stat(directory);
  return systemClock.milliseconds() - mtimeMs > SURELY_ABANDONED_MILLISECONDS;
}

async function removeAbandoned(directory: string): Promise<void> {
  const home = join(await realpath(directory), 'postgres');
  await clearOrphan({
    cluster: join(home, 'cluster'),
    socketNear: join(home, 'socket'),
    log: silentLog,
  });
  await rm(directory, { recursive: true, force: true });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
