/**
 * What this reader remembers of a log: a file of his own, kept from one command to the next. It is what makes a
 * rolled back or forked log show, so it is only ever replaced by what continues it.
 */

import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { AuditFormatError } from '../audit/format-error.ts';
import type { TrustedLog } from '../audit/trusted-log.ts';
import { formatTrustedLog, parseTrustedLog } from '../audit/trusted-log-file.ts';
import type { Environment } from '../config/environment.ts';
import { DirectoryLockedError, lockDirectory } from '../database/embedded/directory-lock.ts';
import { readFileIfAny, writeDurably } from './durable-file.ts';
import { fail } from './failure.ts';

export type LogMemory = {
  path: string;
  /** Null before the first time. */
  trusted: TrustedLog | null;
  /** @throws {CommandFailure} when somebody else changed it since it was read: what was judged has to be judged again */
  keep(trusted: TrustedLog): Promise<void>;
};

/** @throws {CommandFailure} when it cannot be read, or is no memory */
export function openLogMemory(path: string): LogMemory {
  const before = readFileIfAny(path);
  return {
    path,
    trusted: before === null ? null : parsed(before, path),
    async keep(trusted) {
      const text = formatTrustedLog(trusted);
      if (text === before) return;
      await keepUnlessChanged(path, { before, text });
    },
  };
}

/**
 * The data folder where there is one, as right after `npm start`; elsewhere the folder for what programs remember of
 * their user's doings (XDG Base Directory Specification).
 */
export function memoryPath(environment: Environment, origin: string, dataDirectory: string): string {
  const isOwn = environment.MAYFLY_DATA_DIR || existsSync(dataDirectory);
  const states = environment.XDG_STATE_HOME || join(homedir(), '.local', 'state');
  const folder = isOwn ? dataDirectory : join(states, 'mayfly');
  return resolve(folder, 'audit-trust', `${encodeURIComponent(origin)}.json`);
}

async function keepUnlessChanged(path: string, { before, text }: { before: string | null; text: string }) {
  try {
    mkdirSync(dirname(path), { recursive: true });
    const lock = await lockDirectory(`${path}.lock`);
    try {
      if (readFileIfAny(path) !== before) changedMeanwhile(path);
      writeDurably(path, text);
    } finally {
      lock.release();
    }
  } catch (error) {
    if (error instanceof DirectoryLockedError) changedMeanwhile(path);
    const code = error instanceof Error && 'code' in error ? String(error.code) : null;
    if (code === null) throw error;
    fail('usage', `The memory of the log cannot be kept in ${path} (${code}). --trust names another file.`);
  }
}

function changedMeanwhile(path: string): never {
  return fail('server', `Another command has changed ${path} meanwhile. Run this one again.`);
}

function parsed(text: string, path: string): TrustedLog {
  try {
    return parseTrustedLog(text);
  } catch (error) {
    if (!(error instanceof AuditFormatError)) throw error;
    return fail('usage', `${path} is no memory of a log: ${error.message}.`);
  }
}
