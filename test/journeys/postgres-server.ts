/**
 * A whole Postgres of one test file: to be stopped in the middle of everything, killed, copied, and promoted. Brokers
 * reach it by an address that can be made to lead elsewhere, as a name in the DNS can:
 *
 *   const address = await createAddress();            // databases of this file are made where it leads
 *   const primary = await createPostgresServer();
 *   await primary.start();
 *   await address.leadTo(primary);
 *   await prepareTemplate(primary);
 */
import { appendFile, cp, mkdir, mkdtemp, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { bootstrap } from '../../src/database/embedded/bootstrap.ts';
import { ensureCluster } from '../../src/database/embedded/cluster.ts';
import { lockDirectory } from '../../src/database/embedded/directory-lock.ts';
import { embeddedUrls } from '../../src/database/embedded/embedded-urls.ts';
import { clearOrphan } from '../../src/database/embedded/orphan.ts';
import { isRunning, postgresPidsIn } from '../../src/database/embedded/pid.ts';
import { findAccount } from '../../src/database/embedded/postgres-account.ts';
import { locateBinaries } from '../../src/database/embedded/postgres-binaries.ts';
import { type Postmaster, startPostmaster } from '../../src/database/embedded/postmaster.ts';
import { openServerLog } from '../../src/database/embedded/server-log.ts';
import { type Settings, settingsOf } from '../../src/database/embedded/settings.ts';
import { makeSocketDirectory, SOCKET_PORT } from '../../src/database/embedded/socket-directory.ts';
import { silentLog } from '../../src/errors/log.ts';
import { until } from '../broker-process.ts';
import { asSuperuser, makeTemplate, SOCKET_VARIABLE, TEST_PREFIX } from '../test-cluster.ts';

/** What a server needs so that another one can follow it. */
const SETTINGS = {
  max_connections: 100,
  shared_buffers: '64MB',
  autovacuum: 'off',
  wal_level: 'replica',
  max_wal_senders: 4,
  wal_keep_size: '64MB',
  hot_standby: 'on',
};

/** Processes are found by their folder; that is known on Linux only. */
export const CAN_BE_STOPPED = process.platform === 'linux';

export type PostgresServer = {
  socketDirectory: string;
  start(): Promise<void>;
  /** Ends connections and writes everything down. */
  stop(): Promise<void>;
  /** Every process of it stands still, and its sockets stay open. */
  pause(): Promise<void>;
  resume(): void;
  /** Every process of it is gone at once, in the middle of whatever it was doing. */
  kill(): Promise<void>;
  /** Of one that is stopped. @returns a folder for `restore` or `createPostgresServer` */
  backup(): Promise<string>;
  restore(backup: string): Promise<void>;
};

export type PostgresServerOptions = {
  /** A backup to begin with. */
  copyOf?: string;
  /** Whose changes it follows, and the name under which that one knows it. */
  follow?: { primary: PostgresServer; as: string };
};

export async function createPostgresServer(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const home = join(await realpath(await mkdtemp(join(tmpdir(), TEST_PREFIX))), 'postgres');
  const [cluster, backups] = [join(home, 'cluster'), join(home, 'backups')];
  await mkdir(backups, { recursive: true, mode: 0o700 });
  const lock = await lockDirectory(join(home, 'lock'));
  if (options.copyOf !== undefined) await cp(options.copyOf, cluster, { recursive: true });
  const binaries = locateBinaries({ spareDirectory: join(home, 'libraries') });
  const account = await findAccount({ binaries, directory: home });
  const isNew = await ensureCluster({ cluster, binaries, account, durable: false });
  if (isNew) await appendFile(join(cluster, 'pg_hba.conf'), 'local replication all trust\n');
  if (options.follow !== undefined) await writeFile(join(cluster, 'standby.signal'), '');
  const socketDirectory = await makeSocketDirectory(join(home, 'socket'), account.ids);
  const serverLog = openServerLog(join(home, 'postgres.log'));
  let postmaster: Postmaster | undefined;
  let hasRoles = options.copyOf !== undefined;
  let copies = 0;

  const pids = () => [...new Set([postmaster?.pid ?? 0, ...postgresPidsIn(cluster)])].filter(isRunning);
  function signal(name: NodeJS.Signals): void {
    for (const pid of pids()) process.kill(pid, name);
  }

  async function stop(): Promise<void> {
    signal('SIGCONT');
    await postmaster?.stop();
    postmaster = undefined;
  }

  after(async () => {
    await stop();
    serverLog.close();
    lock.release();
    await rm(join(home, '..'), { recursive: true, force: true });
  });

  return {
    socketDirectory,
    async start() {
      await clearOrphan({ cluster, socketNear: join(home, 'socket'), log: silentLog });
      await makeSocketDirectory(join(home, 'socket'), account.ids);
      postmaster = await startPostmaster({
        program: binaries.postgres,
        account,
        cluster,
        settings: settingsOf({
          socketDirectory,
          durable: false,
          changes: { ...SETTINGS, ...following(options.follow) },
        }),
        serverLog,
        endsWithParent: true,
      });
      if (!hasRoles) await bootstrap(socketDirectory);
      hasRoles = true;
    },
    stop,
    async pause() {
      let stopped = 0;
      while (stopped !== pids().length) {
        stopped = pids().length;
        signal('SIGSTOP'); // the first one first: it starts the others
      }
    },
    resume: () => signal('SIGCONT'),
    async kill() {
      signal('SIGKILL');
      await until(() => pids().length === 0, 'no process is left');
      postmaster = undefined;
    },
    async backup() {
      copies += 1;
      const backup = join(backups, String(copies));
      await cp(cluster, backup, { recursive: true });
      return backup;
    },
    async restore(backup) {
      await rm(cluster, { recursive: true });
      await cp(backup, cluster, { recursive: true });
    },
  };
}

function following(follow: PostgresServerOptions['follow']): Settings {
  if (follow === undefined) return {};
  const { primary, as } = follow;
  return {
    primary_conninfo: `host=${primary.socketDirectory} port=${SOCKET_PORT} user=replicator application_name=${as}`,
  };
}

/** What tests' databases are cloned from, and who may follow. */
export async function prepareTemplate({ socketDirectory }: PostgresServer): Promise<void> {
  await makeTemplate(embeddedUrls(socketDirectory));
  await asSuperuser(socketDirectory, (client) => client.query('create role replicator login replication'));
}

/** From now on every database of this file is made where it leads, and reached through it. */
export async function createAddress() {
  const directory = await mkdtemp(join(tmpdir(), 'mayfly-address-'));
  const link = join(directory, 'postgres');
  process.env[SOCKET_VARIABLE] = link;
  after(() => rm(directory, { recursive: true, force: true }));
  return {
    async leadTo({ socketDirectory }: PostgresServer): Promise<void> {
      await symlink(socketDirectory, `${link}.new`);
      await rename(`${link}.new`, link);
    },
  };
}
