/** Tools of the system by their own place: what PATH says is the program's, and anybody's. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { RunError } from './run-error.ts';

const PLACES = ['/usr/bin', '/bin', '/usr/sbin', '/sbin'];

/** @returns undefined where the system has no such tool */
export function systemTool(name: string): string | undefined {
  return PLACES.map((place) => join(place, name)).find((path) => existsSync(path));
}

/** @throws {RunError} where the system has no such tool */
export function requireTool(name: string): string {
  const path = systemTool(name);
  if (path !== undefined) return path;
  throw new RunError(`${name} is not there; Debian has it in util-linux.`);
}
