/**
 * Pids are reused: after a crash a stale file may name the pid of somebody else's editor. A pid counts only
 * together with the moment its program started, and a program is signalled only when it provably is ours.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const STATE_FIELD = 0; // fields of /proc/<pid>/stat after the parenthesised name (proc_pid_stat(5))
const START_FIELD = 19;

const onLinux = process.platform === 'linux';

/**
 * Names the running program behind a pid, differently for every program that ever had this pid, also across
 * reboots. Null when nothing runs there (a zombie does not run).
 */
export function startOf(pid: number): string | null {
  if (!Number.isSafeInteger(pid) || pid <= 0) return null;
  return onLinux ? startFromProc(pid) : startFromPs(pid);
}

export function isRunning(pid: number): boolean {
  return startOf(pid) !== null;
}

/** Whether the pid is a Postgres program that works inside the given cluster directory (a real path). */
export function isPostgresIn(directory: string, pid: number): boolean {
  if (!isRunning(pid)) return false;
  if (!onLinux) return psLine(pid, 'command=')?.includes(` -D ${directory} `) ?? false;
  return readOrNull(() => readlinkSync(`/proc/${pid}/cwd`)) === directory && nameOf(pid) === 'postgres';
}

/** Postgres programs that work inside the given cluster directory. Known on Linux only; elsewhere empty. */
export function postgresPidsIn(directory: string): number[] {
  if (!onLinux) return [];
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && isPostgresIn(directory, pid));
}

function startFromProc(pid: number): string | null {
  const stat = readOrNull(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  if (stat === null) return null;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[STATE_FIELD] === 'Z' || fields[STATE_FIELD] === 'X') return null;
  const boot = readOrNull(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  return `${boot ?? 'boot'}/${fields[START_FIELD]}`;
}

function startFromPs(pid: number): string | null {
  const line = psLine(pid, 'stat=,lstart=');
  if (line === null || line.startsWith('Z')) return null;
  return line.replace(/^\S+\s+/, '');
}

function psLine(pid: number, columns: string): string | null {
  const args = ['-ww', '-o', columns, '-p', String(pid)];
  const run = () =>
    execFileSync('/bin/ps', args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { LC_ALL: 'C' },
    });
  return readOrNull(() => `${run().trim()} `);
}

function nameOf(pid: number): string | null {
  return readOrNull(() => readFileSync(`/proc/${pid}/comm`, 'utf8').trim());
}

/** A program may go away between any two looks at it: that is an answer, not an error. */
function readOrNull(read: () => string): string | null {
  try {
    return read();
  } catch {
    return null;
  }
}
