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
import type { Log } from '../errors/log.ts';
import type { Clock } from '../time/clock.ts';
import { bootstrap } from './embedded/bootstrap.ts';
import { ensureCluster } from './embedded/cluster.ts';
import { lockDirectory } from './embedded/directory-lock.ts';
import { type EmbeddedUrls, embeddedUrls } from './embedded/embedded-urls.ts';
import { clearOrphan } from './embedded/orphan.ts';
import { isPostgresIn } from './embedded/pid.ts';
import { type AccountWay, findAccount } from './embedded/postgres-account.ts';
import { locateBinaries } from './embedded/postgres-binaries.ts';
import { type Postmaster, startPostmaster } from './embedded/postmaster.ts';
import { readPostmasterFile } from './embedded/postmaster-file.ts';
import { openServerLog } from './embedded/server-log.ts';
import { type Settings, settingsOf } from './embedded/settings.ts';
import { makeSocketDirectory, removeSocketDirectory } from './embedded/socket-directory.ts';

export type EmbeddedPostgres = EmbeddedUrls & {
  pid: number;
  /** Settles when Postgres ended: after `stop()`, or because something killed it. */
  ended: Promise<void>;
  /** Ends connections, writes everything down, leaves nothing running. Can be called again. */
  stop(): Promise<void>;
};

export type EmbeddedPostgresOptions = {
  /** Made when missing; what is in it is for us only. */
  dataDirectory: string;
  log: Log;
  clock: Clock;
  /** Settings of Postgres that differ from ours. */
  settings?: Settings;
  /** False only for throw-away databases: a power cut may then destroy it. Default true. */
  durable?: boolean;
  /** Postgres stops when we are killed, where the system can do that. Default true. */
  endsWithParent?: boolean;
  /** For tests: the accounts to try, and where the binaries are. */
  accounts?: readonly AccountWay[];
  binariesDirectory?: string;
};

/**
 * @throws {DirectoryLockedError} when another running mayfly uses the folder
 * @throws an Error whose message says what to do, when Postgres cannot run here
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  await mkdir(join(options.dataDirectory, 'postgres'), { recursive: true, mode: 0o700 });
  const home = homeOf(options.dataDirectory);
  const lock = await lockDirectory(home.lock);
  try {
    const running = await startInHome(home, options);
    return { ...running, stop: once(async () => running.stop().then(lock.release)) };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/**
 * The database of a broker that runs beside us, e.g. for a command of the CLI. Starts nothing.
 * @returns null when none runs on this data folder
 */
export function attachEmbeddedPostgres({ dataDirectory }: { dataDirectory: string }): EmbeddedUrls | null {
  if (!existsSync(join(dataDirectory, 'postgres', 'cluster'))) return null;
  const { cluster } = homeOf(dataDirectory);
  const file = readPostmasterFile(cluster);
  if (file === null || !file.ready || !isPostgresIn(cluster, file.pid)) return null;
  return embeddedUrls(file.socketDirectory);
}

type Home = { root: string; cluster: string; socket: string; lock: string; log: string; libraries: string };

/** Real paths, since that is how the kernel tells us where a program works. */
function homeOf(dataDirectory: string): Home {
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

async function startInHome(home: Home, options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { log, clock, durable = true, accounts, binariesDirectory } = options;
  const startedAt = clock.monotonicMilliseconds();
  await clearOrphan({ cluster: home.cluster, socketNear: home.socket, log });
  const binaries = locateBinaries({ spareDirectory: home.libraries, packageDirectory: binariesDirectory });
  const account = await findAccount({ binaries, directory: home.root, ways: accounts });
  const isNew = await ensureCluster({ cluster: home.cluster, binaries, account, durable });
  const socketDirectory = await makeSocketDirectory(home.socket, account.ids);
  const serverLog = openServerLog(home.log);
  let postmaster: Postmaster | undefined;
  let isStopping = false;
  const stop = async () => {
    isStopping = true;
    await postmaster?.stop();
    serverLog.close();
    await removeSocketDirectory(socketDirectory, home.socket);
  };
  try {
    postmaster = await startPostmaster({
      program: binaries.postgres,
      account,
      cluster: home.cluster,
      settings: settingsOf({ socketDirectory, durable, changes: options.settings }),
      serverLog,
      endsWithParent: options.endsWithParent ?? true,
    });
    await bootstrap(socketDirectory);
  } catch (error) {
    await stop();
    throw error;
  }
  const { pid, ended } = postmaster;
  const milliseconds = Math.round(clock.monotonicMilliseconds() - startedAt);
  log.info({ pid, new: isNew, account: account.title, milliseconds }, 'the embedded Postgres runs');
  ended.then(() => {
    if (!isStopping) log.error({ pid, logFile: home.log }, 'the embedded Postgres ended by itself');
  });
  return { ...embeddedUrls(socketDirectory), pid, ended, stop };
}

/** Whoever asks again waits for the same end. */
function once(stop: () => Promise<void>): () => Promise<void> {
  let stopped: Promise<void> | undefined;
  return () => {
    stopped ??= stop();
    return stopped;
  };
}
