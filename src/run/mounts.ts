/** Under which other names the same file can be reached, because its file system is mounted more than once. */
import { readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';

type Mount = {
  /** Which folder of the file system stands there. */
  root: string;
  /** Where. */
  point: string;
};

/** proc_pid_mountinfo(5): the fourth and fifth field, with spaces and the like as octal. */
export function readMounts(text = mountinfo()): Mount[] {
  return text
    .split('\n')
    .map((line) => line.split(' ').slice(3, 5).map(plain))
    .filter((fields): fields is [string, string] => fields.length === 2)
    .map(([root, point]) => ({ root, point }));
}

function mountinfo(): string {
  try {
    return readFileSync('/proc/self/mountinfo', 'utf8');
  } catch {
    return '';
  }
}

function plain(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/**
 * @param path without links on the way
 * @returns where else the very same file or folder is, by device and number
 */
export function otherPlaces(path: string, mounts: readonly Mount[] = readMounts()): string[] {
  const around = mounts.filter(({ point }) => isWithin(path, point));
  // The nearest one, and of two at the same place the later one, which covers the other.
  const own = around.reduce<Mount | undefined>(
    (best, mount) => (best === undefined || mount.point.length >= best.point.length ? mount : best),
    undefined,
  );
  if (own === undefined) return [];
  const inside = join(own.root, relative(own.point, path));
  const candidates = mounts
    .filter(({ root }) => isWithin(inside, root))
    .map(({ root, point }) => join(point, relative(root, inside)));
  return [...new Set(candidates)].filter((place) => place !== path && isSameFile(place, path));
}

export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

function isSameFile(one: string, other: string): boolean {
  try {
    const [first, second] = [statSync(one), statSync(other)];
    return first.dev === second.dev && first.ino === second.ino;
  } catch {
    return false;
  }
}
