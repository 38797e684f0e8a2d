/**
 * The files that a program must not read: the key of its agent, and whatever else this machine keeps for mayfly. A file
 * that can be had by another name as well cannot be covered, so that is refused.
 */
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment } from '../config/environment.ts';
import { KEY_VARIABLES } from './child-environment.ts';
import { isWithin, otherPlaces } from './mounts.ts';
import { RunError } from './run-error.ts';

/** Absolute paths without links on the way, each where it can be reached. */
export type KeyFiles = { files: readonly string[]; folders: readonly string[] };

/** @param dataDirectory of development: keys of agents and operators lie there, and the key-encryption key */
export function findKeyFiles({
  keyPath,
  dataDirectory,
  environment,
}: {
  keyPath: string | undefined;
  dataDirectory: string;
  environment: Environment;
}): KeyFiles {
  const named = KEY_VARIABLES.filter((name) => /(_FILE|_TLS_KEY)$/.test(name)).map(
    (name) => environment[name],
  );
  const folders = placesOf([dataDirectory]);
  const files = placesOf([keyPath, ...named]).filter(
    (path) => !folders.some((folder) => isWithin(path, folder)),
  );
  return { files, folders };
}

function placesOf(paths: readonly (string | undefined)[]): string[] {
  const real = paths
    .filter((path) => path !== undefined && path !== '' && existsSync(path))
    .map((path) => realpathSync(path ?? ''));
  return [...new Set(real.flatMap((path) => [path, ...otherPlaces(path)]))];
}

/** @throws {RunError} when covering a path would not cover the file */
export function requireOneWay({ files, folders }: KeyFiles): void {
  const inFolders = folders.flatMap((folder) => [...filesIn(folder), ...filesIn(join(folder, 'keys'))]);
  for (const path of [...files, ...inFolders]) {
    if (statSync(path).nlink > 1)
      throw new RunError(
        `${path} has another name (a hard link), under which it could be read. Copy it anew.`,
      );
  }
  const here = realpathSync('.');
  const around = folders.find((folder) => isWithin(here, folder));
  if (around !== undefined)
    throw new RunError(`Nothing is run from within ${around}, where keys are. Go to another folder.`);
}

/** None where we may not look: then the program may not, either. */
function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(folder, entry.name));
  } catch (error) {
    if (['EACCES', 'ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}
