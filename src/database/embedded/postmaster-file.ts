/** `postmaster.pid`: what a running (or crashed) Postgres says about itself; pidfile.h of its source. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

export type PostmasterFile = {
  pid: number;
  socketDirectory: string;
  ready: boolean;
};

const PID_LINE = 0;
const SOCKET_DIRECTORY_LINE = 4;
const STATUS_LINE = 7;

/** Null when there is none, or it is still being written. */
export function readPostmasterFile(cluster: string): PostmasterFile | null {
  let lines: string[];
  try {
    lines = readFileSync(fileOf(cluster), 'utf8').split('\n');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const pid = Number(lines[PID_LINE]);
  if (!Number.isSafeInteger(pid) || pid <= 0) return null;
  return {
    pid,
    socketDirectory: lines[SOCKET_DIRECTORY_LINE]?.trim() ?? '',
    ready: lines[STATUS_LINE]?.trim() === 'ready',
  };
}

export function removePostmasterFile(cluster: string): void {
  rmSync(fileOf(cluster), { force: true });
}

function fileOf(cluster: string): string {
  return join(cluster, 'postmaster.pid');
}
