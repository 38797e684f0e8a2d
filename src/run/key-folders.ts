/**
 * A cover is on a file, and goes when somebody outside puts another file in its place, as those do who exchange a key
 * without a gap. So where a folder is there for keys and nothing else, all of it is covered: what comes into it later
 * is not seen either.
 */
import {
  type Dirent,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { isWithin } from './mounts.ts';

const MAX_LINKS = 40;
const MAX_ENTRIES = 100;
const MAX_KEY_BYTES = 16_384;
/** A JWK, or PEM. */
const KEY = /"kty"|-----BEGIN [A-Z ]*(?:PRIVATE|PUBLIC) KEY-----/;

/**
 * @param path of a key, as somebody wrote it
 * @returns real paths: of the folder that it is in, and of those that links to it are in
 */
export function foldersForKeys(path: string): string[] {
  const folders = new Set<string>();
  let at = resolve(path);
  for (let left = MAX_LINKS; left > 0; left -= 1) {
    const folder = realpathSync(dirname(at));
    folders.add(folder);
    const place = join(folder, at.slice(dirname(at).length + 1));
    if (!lstatSync(place).isSymbolicLink()) break;
    at = resolve(folder, readlinkSync(place));
  }
  const here = realpathSync('.');
  return [...folders].filter((folder) => !isWithin(here, folder) && holdsKeysAlone(folder));
}

function holdsKeysAlone(folder: string): boolean {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.length <= MAX_ENTRIES && entries.every((entry) => isOfKeys(entry, folder));
  } catch {
    return false; // not ours to look at
  }
}

/** Names with two dots are how volumes of secrets are made (`..data`): a folder for each version, and a link to the last. */
function isOfKeys(entry: Dirent, folder: string): boolean {
  const path = join(folder, entry.name);
  const isPart = entry.name.startsWith('..');
  if (isPart && entry.isSymbolicLink()) return isWithin(realpathSync(path), folder);
  if (isPart && entry.isDirectory()) return holdsKeysAlone(path);
  const stat = statSync(path);
  return stat.isFile() && stat.size <= MAX_KEY_BYTES && KEY.test(readFileSync(path, 'latin1'));
}
