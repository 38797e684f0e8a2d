/** The program that a line starts, found as execvp(3) finds it, before anything is opened for it. */
import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import { RunError } from './run-error.ts';

const EXIT_NOT_EXECUTABLE = 126;
const EXIT_NOT_FOUND = 127;
/** Of execvp(3), where there is no PATH. */
const DEFAULT_PATH = '/bin:/usr/bin';

/** @throws {RunError} with the exit codes of shells (POSIX XCU §2.8.2) */
export function requireProgram(name: string, path = DEFAULT_PATH): void {
  const places = name.includes('/') ? [name] : path.split(':').map((folder) => join(folder || '.', name));
  const found = places.filter(isFile);
  if (found.some(isExecutable)) return;
  const [one] = found;
  if (one !== undefined)
    throw new RunError(`${one} is no program: it may not be executed.`, { exitCode: EXIT_NOT_EXECUTABLE });
  const isFolder = name.includes('/') && statSync(name, { throwIfNoEntry: false }) !== undefined;
  const exitCode = isFolder ? EXIT_NOT_EXECUTABLE : EXIT_NOT_FOUND;
  throw new RunError(`There is no program ${name}.`, { exitCode });
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
