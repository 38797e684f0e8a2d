/** What the program would inherit: an open descriptor is read past every cover, and past every mode of a folder. */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import type { KeyFiles } from './long-lived-keys.ts';
import { isWithin } from './mounts.ts';
import { RunError } from './run-error.ts';

const DESCRIPTORS = '/proc/self/fd';
const CLOSED_ON_EXEC = 0o2000000;

/**
 * @param inherited which of our standard streams the program gets
 * @throws {RunError}
 */
export function requireNothingOpen(keys: KeyFiles, inherited: readonly number[]): void {
  for (const name of existsSync(DESCRIPTORS) ? readdirSync(DESCRIPTORS) : []) {
    const descriptor = Number(name);
    if (descriptor <= 2 ? !inherited.includes(descriptor) : isClosedOnExec(name)) continue;
    if (isOneOf(targetOf(name), keys)) refuse(name, 'a key');
    // From there paths lead to where nothing is covered.
    if (isFolder(name)) refuse(name, 'a folder');
  }
}

function refuse(descriptor: string, what: string): never {
  throw new RunError(
    `Descriptor ${descriptor} is open on ${what}, and the program would have it: close it first.`,
  );
}

function isClosedOnExec(descriptor: string): boolean {
  try {
    const [, flags = '0'] =
      /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8')) ?? [];
    return (Number.parseInt(flags, 8) & CLOSED_ON_EXEC) !== 0;
  } catch {
    return true; // it was that of the listing itself
  }
}

function isFolder(descriptor: string): boolean {
  return statSync(`${DESCRIPTORS}/${descriptor}`, { throwIfNoEntry: false })?.isDirectory() === true;
}

function targetOf(descriptor: string): string {
  try {
    return readlinkSync(`${DESCRIPTORS}/${descriptor}`);
  } catch {
    return '';
  }
}

function isOneOf(path: string, { files, folders }: KeyFiles): boolean {
  return files.includes(path) || folders.some((folder) => isWithin(path, folder));
}
