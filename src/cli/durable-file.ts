/**
 * A small file that is there whole, old or new, whatever happens while it is written; once this returns, a power cut
 * does not take it back.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { fail } from './failure.ts';

const PRIVATE_MODE = 0o600;

/** Null when there is none. @throws {CommandFailure} when it cannot be read */
export function readFileIfAny(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? null : fail('usage', `${path} cannot be read (${code}).`);
  }
}

/** @throws {Error} of the file system; the file is then the old one, or the new one whole */
export function writeDurably(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  const aside = `${path}.${process.pid}.new`;
  try {
    writeFileSync(aside, text, { mode: PRIVATE_MODE, flush: true });
    renameSync(aside, path);
  } catch (error) {
    rmSync(aside, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

/** The new name of a file is in its folder, which has to reach the disk too. */
function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
