/** One running Postgres of ours: started apart from our process group, watched, stopped in bounded time. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { deathSignalPrefix } from './death-signal.ts';
import type { PostgresAccount } from './postgres-account.ts';
import { readPostmasterFile } from './postmaster-file.ts';
import type { ServerLog } from './server-log.ts';
import type { Settings } from './settings.ts';
import { waitUntil } from './wait-until.ts';

export type Postmaster = {
  pid: number;
  /** Settles when it ended, whoever ended it. */
  ended: Promise<void>;
  stop(): Promise<void>;
};

export type PostmasterOptions = {
  program: string;
  account: PostgresAccount;
  cluster: string;
  settings: Settings;
  serverLog: ServerLog;
  /** Postgres stops by itself when we are killed, where the system can do that. */
  endsWithParent: boolean;
};

/** Recovery after a crash replays the write-ahead log, of which there is at most 256 MB. */
const START_TIMEOUT_MILLISECONDS = 60_000;
const FAST_STOP_MILLISECONDS = 8_000;
const IMMEDIATE_STOP_MILLISECONDS = 4_000;
const KILL_MILLISECONDS = 2_000;

/** Resolves once it accepts connections. @throws with the last lines of its log when it does not come up */
export async function startPostmaster(options: PostmasterOptions): Promise<Postmaster> {
  const { account, cluster, serverLog } = options;
  const [command, ...args] = await commandLine(options);
  const child = spawn(command as string, args, {
    cwd: cluster,
    env: account.environment,
    detached: true,
    stdio: ['ignore', serverLog.descriptor, serverLog.descriptor],
    ...account.ids,
  });
  const ended = endOf(child);
  child.unref();
  const hasEnded = () => child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
  const isReady = () => {
    const file = readPostmasterFile(cluster);
    return file !== null && file.pid === child.pid && file.ready;
  };
  await waitUntil(() => hasEnded() || isReady(), START_TIMEOUT_MILLISECONDS);
  const postmaster = { pid: child.pid ?? 0, ended, stop: () => stopPostmaster(child, hasEnded) };
  if (hasEnded() || !isReady()) {
    await postmaster.stop();
    throw new Error(`Postgres did not start in ${cluster}. Its log ends with:\n${serverLog.tail()}`);
  }
  return postmaster;
}

async function commandLine(options: PostmasterOptions): Promise<string[]> {
  const { program, account, cluster, settings, endsWithParent } = options;
  const words = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const withParent = endsWithParent ? await deathSignalPrefix(account, 'INT') : [];
  return [...account.prefix, ...withParent, program, '-D', cluster, ...words];
}

function endOf(child: ChildProcess): Promise<void> {
  return once(child, 'exit').then(
    () => undefined,
    () => undefined, // 'error': it never ran
  );
}

/** Fast (ends connections), then immediate (recovers at the next start), then the kernel's way. */
async function stopPostmaster(child: ChildProcess, hasEnded: () => boolean): Promise<void> {
  const steps = [
    ['SIGINT', FAST_STOP_MILLISECONDS],
    ['SIGQUIT', IMMEDIATE_STOP_MILLISECONDS],
    ['SIGKILL', KILL_MILLISECONDS],
  ] as const;
  for (const [signal, timeoutMilliseconds] of steps) {
    if (hasEnded()) return;
    child.kill(signal);
    if (await waitUntil(hasEnded, timeoutMilliseconds)) return;
  }
  throw new Error(`Postgres (pid ${child.pid}) cannot be stopped.`);
}
