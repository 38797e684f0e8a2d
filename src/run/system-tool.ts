/** Tools of the system by their own place: what PATH says is the program's, and anybody's. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const PLACES = ['/usr/bin', '/bin', '/usr/sbin', '/sbin'];

/** @returns undefined where the system has no such tool */
export function systemTool(name: string): string | undefined {
  return PLACES.map((place) => join(place, name)).find((path) => existsSync(path));
}
