/**
 * The folder of the Unix socket, which only we may enter: that is the whole authentication of the embedded
 * database. A socket's path has to be short (sun_path holds 104 bytes on the strictest system), so below a deep
 * data folder it goes to the system's folder for temporary files, under a random name that nobody can take first.
 */
import { chmod, lchown, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

export const SOCKET_PORT = 5432;

const MAX_SOCKET_PATH_BYTES = 103;
const TEMPORARY_PREFIX = 'mayfly-socket-';

export function socketFile(directory: string): string {
  return join(directory, `.s.PGSQL.${SOCKET_PORT}`);
}

/** @param near where it goes when that path is short enough */
export async function makeSocketDirectory(near: string, ids?: { uid: number; gid: number }): Promise<string> {
  const directory = fits(near) ? near : await mkdtemp(join(tmpdir(), TEMPORARY_PREFIX));
  if (!fits(directory)) {
    throw new Error(`No place for a Unix socket: ${near} and ${directory} are both too long. Set TMPDIR.`);
  }
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  if (ids !== undefined) await lchown(directory, ids.uid, ids.gid);
  return directory;
}

/** Removes what a start made, and only that: `directory` may come out of a file that a crash left behind. */
export async function removeSocketDirectory(directory: string, near: string): Promise<void> {
  const isOurs = directory === near || basename(directory).startsWith(TEMPORARY_PREFIX);
  if (isOurs) await rm(directory, { recursive: true, force: true });
}

function fits(directory: string): boolean {
  return Buffer.byteLength(socketFile(directory)) <= MAX_SOCKET_PATH_BYTES;
}
