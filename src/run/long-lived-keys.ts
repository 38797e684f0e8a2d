/**
 * The files that a program must not read: the key of its agent, and whatever else this machine keeps for mayfly. A file
 * that can be had by another name as well cannot be covered, so that is refused.
 */
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment } from '../config/environment.ts';
import { KEY_VARIABLES } from './child-environment.ts';
import { foldersForKeys } from './key-folders.ts';
import { isWithin, otherPlaces } from './mounts.ts';
import { RunError } from './run-error.ts';

/** Absolute paths without links on the way, each where it can be reached. */
export type KeyFiles = { files: readonly string[]; folders: readonly string[] };

/**
 * @param options.keyPath of the agent's
 * @param options.keyName as somebody wrote it: links may lead from there
 * @param options.dataDirectory of development: keys of agents and operators lie there, and the key-encryption key
 * @param options.user it will be another one, who may have keys beside ours
 * @param options.hide what else somebody wants covered
 * @throws {RunError} for something to hide that is not there
 */
export function findKeyFiles({
  keyPath,
  keyName,
  dataDirectory,
  hide = [],
  user,
  environment,
}: {
  keyPath: string | undefined;
  keyName?: string | undefined;
  dataDirectory: string;
  hide?: readonly string[] | undefined;
  user?: string | undefined;
  environment: Environment;
}): KeyFiles {
  const named = KEY_VARIABLES.filter((name) => /(_FILE|_TLS_KEY)$/.test(name)).map(
    (name) => environment[name],
  );
  const keys = [keyPath, keyName, ...named].filter(isThere);
  const hidden = hide.map(requireThere);
  const around = user === undefined ? keys.flatMap(foldersForKeys) : [];
  const places = placesOf([...keys, ...around, ...hidden, dataDirectory]);
  const folders = places.filter((path) => statSync(path).isDirectory());
  const covered = (path: string) => folders.some((folder) => folder !== path && isWithin(path, folder));
  return {
    files: places.filter((path) => !folders.includes(path) && !covered(path)),
    folders: folders.filter((path) => !covered(path)),
  };
}

function isThere(path: string | undefined): path is string {
  return path !== undefined && path !== '' && existsSync(path);
}

function requireThere(path: string): string {
  if (isThere(path)) return path;
  throw new RunError(`There is nothing at ${path} that could be hidden.`);
}

function placesOf(paths: readonly string[]): string[] {
  const real = paths.filter(isThere).map((path) => realpathSync(path));
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
  const around = folderAround('.', folders);
  if (around !== undefined)
    throw new RunError(`Nothing is run from within ${around}, where keys are. Go to another folder.`);
}

/** @param needed what a run cannot do without, like its program @throws {RunError} when that would be covered, too */
export function requireInSight({ files, folders }: KeyFiles, needed: readonly string[]): void {
  for (const path of needed) {
    const around = files.includes(realpathSync(path)) ? path : folderAround(path, folders);
    if (around !== undefined)
      throw new RunError(`${path} is needed, and could not be had while ${around} is hidden.`);
  }
}

function folderAround(path: string, folders: readonly string[]): string | undefined {
  const real = realpathSync(path);
  return folders.find((folder) => isWithin(real, folder));
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
