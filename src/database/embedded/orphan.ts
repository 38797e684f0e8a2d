/**
 * What a broker that was killed can leave behind, put right before the next start. The possible worlds:
 *
 * - no `postmaster.pid`: Postgres was stopped properly;
 * - it names our Postgres, which still runs: an orphan; stop it, it would serve with yesterday's settings;
 * - it names a pid that is gone, or that somebody else got meanwhile: remove it, since Postgres itself would
 *   refuse to start when that pid runs;
 * - the first process is gone, its children still work on the files: wait for them, then end them;
 * - the pid is unknown here but its socket answers: another container works on the same folder; touch nothing.
 *
 * Called under the folder's lock, so no other broker starts or stops anything meanwhile.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Log } from '../../errors/log.ts';
import { isPostgresIn, postgresPidsIn } from './pid.ts';
import { type PostmasterFile, readPostmasterFile, removePostmasterFile } from './postmaster-file.ts';
import { removeSocketDirectory, socketFile } from './socket-directory.ts';
import { waitUntil } from './wait-until.ts';

export type OrphanOptions = { cluster: string; socketNear: string; log: Log };

const STOP_STEPS = [
  ['SIGINT', 6_000],
  ['SIGQUIT', 3_000],
  ['SIGKILL', 2_000],
] as const;
/** Children notice by themselves that their first process is gone. */
const CHILDREN_END_MILLISECONDS = 1_000;

export async function clearOrphan(options: OrphanOptions): Promise<void> {
  const { cluster, socketNear } = options;
  const file = readPostmasterFile(cluster);
  if (file !== null && isPostgresIn(cluster, file.pid)) await stopOrphan(file.pid, options);
  else if (file !== null) await refuseWhenServedElsewhere(file, cluster);
  await endChildren(options);
  if (file !== null) await removeSocketDirectory(file.socketDirectory, socketNear);
  removePostmasterFile(cluster);
}

async function stopOrphan(pid: number, { cluster, log }: OrphanOptions): Promise<void> {
  log.warn({ pid }, 'the database of a mayfly that was killed still runs: stopping it first');
  const isGone = () => !isPostgresIn(cluster, pid);
  for (const [signal, timeoutMilliseconds] of STOP_STEPS) {
    send(pid, signal);
    if (await waitUntil(isGone, timeoutMilliseconds)) return;
  }
  throw new Error(`The Postgres left behind in ${cluster} (pid ${pid}) cannot be stopped.`);
}

async function endChildren({ cluster, log }: OrphanOptions): Promise<void> {
  const areGone = () => postgresPidsIn(cluster).length === 0;
  if (await waitUntil(areGone, CHILDREN_END_MILLISECONDS)) return;
  for (const [signal, timeoutMilliseconds] of STOP_STEPS.slice(1)) {
    const pids = postgresPidsIn(cluster);
    log.warn({ pids, signal }, 'parts of a database that was killed still run: ending them');
    for (const pid of pids) send(pid, signal);
    if (await waitUntil(areGone, timeoutMilliseconds)) return;
  }
  throw new Error(
    `Parts of the Postgres left behind in ${cluster} cannot be ended: ${postgresPidsIn(cluster)}.`,
  );
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return;
    throw new Error(
      `The Postgres left behind (pid ${pid}) belongs to another user and has to be stopped first.`,
    );
  }
}

async function refuseWhenServedElsewhere(file: PostmasterFile, cluster: string): Promise<void> {
  if (file.socketDirectory === '' || !(await answers(socketFile(file.socketDirectory)))) return;
  throw new Error(
    `Another Postgres serves ${cluster}, but not as pid ${file.pid} of this machine: another container? ` +
      'Stop it, or set MAYFLY_DATA_DIR to another folder.',
  );
}

async function answers(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
