/**
 * A real Postgres that comes along with mayfly, for everybody who has none at hand: without `DATABASE_URL` a broker
 * runs one under its data folder. It is the same database as in production, only that nobody administers it, so
 * this file does: it is made when it is missing, repaired after whatever killed us, and stopped with us.
 *
 * Below `<data folder>/postgres`: `cluster` (the database's files), `socket` (the only way in, for us alone; no
 * TCP), `postgres.log`, and `lock` (one broker per folder). Everything happens under that lock. Postgres runs in a
 * session of its own, because Ctrl-C goes to the whole process group and the database has to outlive our drain.
 */
import { existsSync, realpathSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { Clock } from '../time/clock.ts';
import { ensureCluster } from './embedded/cluster.ts';
import { type DirectoryLock, lockDirectory } from './embedded/directory-lock.ts';
import { type EmbeddedUrls, embeddedUrls } from './embedded/embedded-urls.ts';
import { clearOrphan } from './embedded/orphan.ts';
import { isPostgresIn } from './embedded/pid.ts';
import { type AccountWay, findAccount } from './embedded/postgres-account.ts';
import { locateBinaries } from './embedded/postgres-binaries.ts';
import { type Postmaster, startPostmaster } from './embedded/postmaster.ts';
import { readPostmasterFile } from './embedded/postmaster-file.ts';
import { openServerLog } from './embedded/server-log.ts';
import { makeSocketDirectory, removeSocketDirectory, SOCKET_PORT } from './embedded/socket-directory.ts';
import type { Log } from './log.ts';
import { DATABASE_NAME, databaseGrants, OWNER_ROLE, ROLE_STATEMENTS, SCHEMA_STATEMENTS } from './roles.ts';

export type EmbeddedPostgres = EmbeddedUrls & {
  pid: number;
  /** Settles when Postgres ended: after `stop()`, or because something killed it. */
  ended: Promise<void>;
  /** Ends connections, writes everything down, leaves nothing running. Can be called again. */
  stop(): Promise<void>;
};

export type EmbeddedPostgresOptions = {
  /** Made when missing, with everything in it for us only. */
  dataDirectory: string;
  log: Log;
  clock: Clock;
  /** Settings of Postgres that differ from {@link SETTINGS}. */
  settings?: Readonly<Record<string, string | number>>;
  /** False only for throw-away databases. Default true. */
  durable?: boolean;
  /** Default true: Postgres stops when we are killed, where the system can do that. */
  endsWithParent?: boolean;
  /** For tests: the accounts to try, and another folder with binaries. */
  accounts?: readonly AccountWay[];
  binariesDirectory?: string;
};

const SETTINGS = {
  listen_addresses: '',
  port: SOCKET_PORT,
  unix_socket_permissions: '0700',
  cluster_name: 'mayfly',
  max_connections: 60,
  shared_buffers: '128MB',
  // An acknowledged revocation is on disk.
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  // One machine, no standby: a short write-ahead log, and recovery in seconds.
  wal_level: 'minimal',
  max_wal_senders: 0,
  max_logical_replication_workers: 0,
  max_wal_size: '256MB',
  // Small statements from a warm cache: neither workers nor compilation pay.
  io_method: 'sync',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_line_prefix: '%m [%p] %q%u@%d ',
  log_checkpoints: 'off',
  // What callers send stays out of the log: no statements, no key values.
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
} as const;

/**
 * @throws {DirectoryLockedError} when another running mayfly uses the folder
 * @throws an Error whose message says what to do, when Postgres cannot run here
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const home = await makeHome(options.dataDirectory);
  const lock = await lockDirectory(home.lock);
  try {
    return await startLocked(home, lock, options);
  } catch (error) {
    lock.release();
    throw error;
  }
}

/**
 * The database of a broker that runs beside us, e.g. for a command of the CLI. Starts nothing.
 * @returns null when none runs on this data folder
 */
export async function attachEmbeddedPostgres({
  dataDirectory,
}: {
  dataDirectory: string;
}): Promise<EmbeddedUrls | null> {
  if (!existsSync(join(dataDirectory, 'postgres', 'cluster'))) return null;
  const { cluster } = placesOf(dataDirectory);
  const file = readPostmasterFile(cluster);
  if (file === null || !file.ready || !isPostgresIn(cluster, file.pid)) return null;
  return embeddedUrls(file.socketDirectory);
}

type Places = { cluster: string; socket: string; lock: string; log: string; libraries: string; root: string };

async function makeHome(dataDirectory: string): Promise<Places> {
  await mkdir(join(dataDirectory, 'postgres'), { recursive: true, mode: 0o700 });
  return placesOf(dataDirectory);
}

/** Real paths, since that is how the kernel tells us where a program works. */
function placesOf(dataDirectory: string): Places {
  const root = realpathSync(join(dataDirectory, 'postgres'));
  return {
    root,
    cluster: join(root, 'cluster'),
    socket: join(root, 'socket'),
    lock: join(root, 'lock'),
    log: join(root, 'postgres.log'),
    libraries: join(root, 'libraries'),
  };
}

async function startLocked(
  home: Places,
  lock: DirectoryLock,
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const { log, clock, durable = true } = options;
  await clearOrphan({ cluster: home.cluster, socketNear: home.socket, log, clock });
  const binaries = locateBinaries({
    spareDirectory: home.libraries,
    ...(options.binariesDirectory && { packageDirectory: options.binariesDirectory }),
  });
  const account = await findAccount({
    binaries,
    directory: home.root,
    ...(options.accounts && { ways: options.accounts }),
  });
  const isNew = await ensureCluster({ cluster: home.cluster, binaries, account, durable });
  const socketDirectory = await makeSocketDirectory(home.socket, account.ids);
  const serverLog = openServerLog(home.log);
  const leave = async () => {
    serverLog.close();
    await removeSocketDirectory(socketDirectory, home.socket);
  };
  let postmaster: Postmaster | undefined;
  try {
    postmaster = await startPostmaster({
      program: binaries.postgres,
      account,
      cluster: home.cluster,
      settings: {
        ...SETTINGS,
        ...(!durable && THROW_AWAY),
        unix_socket_directories: `"${socketDirectory.replaceAll('"', '""')}"`,
        ...options.settings,
      },
      serverLog,
      clock,
      endsWithParent: options.endsWithParent ?? true,
    });
    const urls = embeddedUrls(socketDirectory);
    await bootstrap(socketDirectory);
    log.info({ pid: postmaster.pid, new: isNew, account: account.title }, 'the embedded Postgres runs');
    return { ...urls, pid: postmaster.pid, ended: postmaster.ended, stop: stopOnce(postmaster, leave, lock) };
  } catch (error) {
    await postmaster?.stop();
    await leave();
    throw error;
  }
}

const THROW_AWAY = { fsync: 'off', full_page_writes: 'off' };

function stopOnce(postmaster: Postmaster, leave: () => Promise<void>, lock: DirectoryLock) {
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    await postmaster.stop();
    await leave();
    lock.release();
  };
  return () => {
    stopped ??= stop();
    return stopped;
  };
}

/** Roles and the empty database. Runs at every start: it costs little and heals what a crash left half done. */
async function bootstrap(socketDirectory: string): Promise<void> {
  await withClient(embeddedUrls(socketDirectory, 'postgres').superuserUrl, async (client) => {
    for (const statement of ROLE_STATEMENTS) await client.query(statement);
    const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE_NAME]);
    if (rowCount === 0) await client.query(`create database ${DATABASE_NAME} owner ${OWNER_ROLE}`);
  });
  await withClient(embeddedUrls(socketDirectory).superuserUrl, async (client) => {
    for (const statement of [...databaseGrants(), ...SCHEMA_STATEMENTS]) await client.query(statement);
  });
}

async function withClient(url: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url, ssl: false });
  client.on('error', () => {}); // told by the query that is under way
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
