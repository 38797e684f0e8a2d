/** The program that a line starts, found as execvp(3) finds it, before anything is opened for it. */
import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import { RunError } from './run-error.ts';

const EXIT_NOT_EXECUTABLE = 126;
const EXIT_NOT_FOUND = 127;
/** Of execvp(3), where there is no PATH. */
const DEFAULT_PATH = '/bin:/usr/bin';

/** @returns where it is @throws {RunError} with the exit codes of shells (POSIX XCU §2.8.2) */
export function requireProgram(name: string, path = DEFAULT_PATH): string {
  const places = name.includes('/') ? [name] : path.split(':').map((folder) => join(folder || '.', name));
  const found = places.map((place) => ({ place, kind: kindOf(place) }));
  const program = found.find(({ kind }) => kind === 'program');
  if (program !== undefined) return program.place;
  const one = found.find(({ kind }) => kind === 'file' || (kind === 'other' && name.includes('/')));
  if (one !== undefined) {
    const message = `${one.place} is no program: it may not be executed.`;
    throw new RunError(message, { exitCode: EXIT_NOT_EXECUTABLE });
  }
  throw new RunError(`There is no program ${name}.`, { exitCode: EXIT_NOT_FOUND });
}

/** Where we may not look there is nothing, as for execvp(3). */
function kindOf(path: string): 'program' | 'file' | 'other' | null {
  try {
    if (!statSync(path).isFile()) return 'other';
  } catch {
    return null;
  }
  try {
    accessSync(path, constants.X_OK);
    return 'program';
  } catch {
    return 'file';
  }
}
