/**
 * One broker per data folder, held by a file that names its holder. A holder that died (kill -9, power cut)
 * leaves the file behind, so it is taken over when the program it names no longer runs.
 *
 * Taking over must not be a race: two that both see the same dead holder must not both win, and the slower one
 * must not remove the lock of the faster. So the right to replace one particular dead lock is itself a lock, and
 * its file is named after that dead one: only its holder may put a new file in place, after looking again.
 */
import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { startOf } from './pid.ts';

export type DirectoryLock = { release(): void };

type Holder = { id: string; pid: number; startedAt: string };

export class DirectoryLockedError extends Error {
  override readonly name = 'DirectoryLockedError';
  readonly pid: number;

  constructor(file: string, pid: number) {
    super(
      `Another mayfly (pid ${pid}) uses this data folder: ${file}. Stop it first, or give this one a folder ` +
        'of its own with MAYFLY_DATA_DIR.',
    );
    this.pid = pid;
  }
}

const TAKEOVER_ATTEMPTS = 50;
const TAKEOVER_PAUSE_MILLISECONDS = 20;
const DEEPEST_TAKEOVER = 3;

/** @throws {DirectoryLockedError} when a running program holds the lock */
export async function lockDirectory(file: string): Promise<DirectoryLock> {
  return acquire(file, ownHolder(), 0);
}

/** The pid of the running program that holds the lock, or null. */
export function lockHolderPid(file: string): number | null {
  const holder = readHolder(file);
  return holder !== null && isAlive(holder) ? holder.pid : null;
}

async function acquire(file: string, own: Holder, depth: number): Promise<DirectoryLock> {
  for (let attempt = 0; attempt < TAKEOVER_ATTEMPTS; attempt++) {
    if (createExclusively(file, own)) return heldLock(file, own);
    const holder = readHolder(file);
    if (holder === null) continue; // released in between
    if (isAlive(holder)) throw new DirectoryLockedError(file, holder.pid);
    if (await takeOver(file, holder, own, depth)) return heldLock(file, own);
    await pause(TAKEOVER_PAUSE_MILLISECONDS);
  }
  throw new Error(`The lock ${file} could not be taken over: it keeps changing hands. Try again.`);
}

async function takeOver(file: string, dead: Holder, own: Holder, depth: number): Promise<boolean> {
  if (depth === DEEPEST_TAKEOVER) return false;
  let right: DirectoryLock;
  try {
    right = await acquire(`${file}.${dead.id}`, own, depth + 1);
  } catch (error) {
    if (error instanceof DirectoryLockedError) return false; // somebody else is at it
    throw error;
  }
  try {
    if (readHolder(file)?.id !== dead.id) return false;
    renameSync(writeAside(file, own), file);
    return true;
  } finally {
    right.release();
  }
}

function heldLock(file: string, own: Holder): DirectoryLock {
  return {
    release() {
      if (readHolder(file)?.id === own.id) rmSync(file, { force: true });
    },
  };
}

/** `link` makes the file appear with its whole content, or not at all. */
function createExclusively(file: string, own: Holder): boolean {
  const aside = writeAside(file, own);
  try {
    linkSync(aside, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    unlinkSync(aside);
  }
}

function writeAside(file: string, own: Holder): string {
  const aside = `${file}.${randomBytes(6).toString('hex')}.new`;
  writeFileSync(aside, JSON.stringify(own), { mode: 0o600, flag: 'wx' });
  return aside;
}

function readHolder(file: string): Holder | null {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  return parseHolder(text);
}

/** A power cut can leave an empty file: a holder that nobody is. */
function parseHolder(text: string): Holder {
  try {
    const { id, pid, startedAt } = JSON.parse(text) as Partial<Holder>;
    if (/^[0-9a-f]{12}$/.test(id ?? '') && Number.isSafeInteger(pid) && typeof startedAt === 'string') {
      return { id: id as string, pid: pid as number, startedAt };
    }
  } catch {
    // falls through to nobody
  }
  return { id: 'unreadable', pid: 0, startedAt: '' };
}

function isAlive(holder: Holder): boolean {
  return holder.pid !== 0 && startOf(holder.pid) === holder.startedAt;
}

function ownHolder(): Holder {
  const startedAt = startOf(process.pid);
  if (startedAt === null) throw new Error('The start of this program cannot be read; is /proc mounted?');
  return { id: randomBytes(6).toString('hex'), pid: process.pid, startedAt };
}
