/**
 * The files of a scopes folder, as text. The folder may come from a pull request, so nothing in it is trusted to
 * be small, to be text, to be a file, or to lie inside the folder: everything is bounded before it is read.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, opendir, realpath } from 'node:fs/promises';
import { basename, join, relative, resolve, sep } from 'node:path';
import { quoted, type Report, type Spot } from './problem.ts';

export type ScopesFile = { kind: 'zones' | 'resource' | 'agent' | 'operator'; file: string; text: string };

const MAX_FILES = 2_000;
const MAX_FILE_BYTES = 64 * 1024;
const ZONES_FILE = 'zones.yaml';
const KINDS = { resources: 'resource', agents: 'agent', operators: 'operator' } as const;
const FILE_NAME = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*\.yaml$/;

/** Reads `zones.yaml`, `resources/*.yaml`, `agents/*.yaml` and `operators/*.yaml` below `directory`, in a stable order. */
export async function readScopesFolder(directory: string, report: Report): Promise<ScopesFile[]> {
  const root = resolve(directory);
  const folder: Folder = { root, name: basename(root), report };
  const canonicalRoot = await realpath(root).catch(() => null);
  const names = canonicalRoot === null ? null : await list(folder, '.');
  if (canonicalRoot === null || names === null) {
    report({ ...top(folder.name), ...NO_FOLDER });
    return [];
  }
  const found = [...zonesAmong(names, folder), ...(await policyFilesAmong(names, folder))];
  const files: ScopesFile[] = [];
  for (const { kind, path } of found.length > MAX_FILES ? [] : found) {
    const text = await readText({ ...folder, canonicalRoot }, path);
    if (text !== null) files.push({ kind, file: named(folder, path), text });
  }
  return files;
}

type Folder = { root: string; name: string; report: Report };
type Found = { kind: ScopesFile['kind']; path: string };

const NO_FOLDER = {
  rule: 'scopes-missing',
  message: 'expected a folder with zones.yaml, resources/ and agents/, found none that can be read',
  fix: 'Name the folder: mayfly scopes check <directory>.',
};

function zonesAmong(names: string[], { name, report }: Folder): Found[] {
  if (names.includes(ZONES_FILE)) return [{ kind: 'zones', path: ZONES_FILE }];
  report({
    ...top(`${name}/${ZONES_FILE}`),
    rule: 'scopes-missing',
    message: 'expected the file, found none',
    fix: 'Add it: it declares the zones that agents and resources live in.',
  });
  return [];
}

async function policyFilesAmong(names: string[], folder: Folder): Promise<Found[]> {
  const found: Found[] = [];
  for (const name of names) {
    if (name === ZONES_FILE) continue;
    if (!Object.hasOwn(KINDS, name)) {
      reportUnexpected(folder, name, 'zones.yaml, resources/, agents/ and operators/');
      continue;
    }
    const kind = KINDS[name as keyof typeof KINDS];
    for (const entry of (await list(folder, name)) ?? []) {
      if (FILE_NAME.test(entry)) found.push({ kind, path: `${name}/${entry}` });
      else reportUnexpected(folder, `${name}/${entry}`, 'files named like-this.yaml');
    }
  }
  if (found.length >= MAX_FILES) reportTooMany(folder, folder.name); // zones.yaml counts, too
  return found;
}

/** Sorted names in a folder, without what is not policy (hidden files, Markdown); null when it cannot be read. */
async function list(folder: Folder, path: string): Promise<string[] | null> {
  const names: string[] = [];
  try {
    for await (const entry of await opendir(join(folder.root, path))) {
      if (entry.name.startsWith('.') || entry.name.endsWith('.md')) continue;
      names.push(entry.name);
      if (names.length > MAX_FILES) break;
    }
  } catch {
    if (path !== '.') reportUnexpected(folder, path, 'a folder that can be read');
    return null;
  }
  if (names.length > MAX_FILES) reportTooMany(folder, named(folder, path));
  return names.sort();
}

async function readText(folder: Folder & { canonicalRoot: string }, path: string): Promise<string | null> {
  const { root, canonicalRoot, report } = folder;
  const spot = top(named(folder, path));
  const target = await realpath(join(root, path)).catch(() => null);
  if (target !== null && !isInside(canonicalRoot, target)) {
    report({ ...spot, ...LEAVES_FOLDER });
    return null;
  }
  const bytes = target === null ? null : await readBounded(target);
  if (bytes === null) report({ ...spot, ...UNREADABLE });
  else if (bytes.length > MAX_FILE_BYTES) report({ ...spot, ...TOO_LARGE });
  else return decode(bytes, spot, report);
  return null;
}

const LEAVES_FOLDER = {
  rule: 'symlink-leaves-folder',
  message: 'expected a file of this folder, found a link that leaves it',
  fix: 'Put the file itself here, so that a review of this folder sees it.',
};

const UNREADABLE = {
  rule: 'unreadable-file',
  message: 'expected an ordinary file that can be read, found none',
  fix: 'Replace it by an ordinary file, and let the broker read it.',
};

const TOO_LARGE = {
  rule: 'file-too-large',
  message: `expected at most ${MAX_FILE_BYTES} bytes, found more`,
  fix: 'Split what it declares over several files.',
};

/** At most one byte more than allowed; null for what is no ordinary file. `O_NONBLOCK`: a pipe must not hang us. */
async function readBounded(path: string): Promise<Buffer | null> {
  let file: FileHandle | null = null;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (!(await file.stat()).isFile()) return null;
    const buffer = Buffer.alloc(MAX_FILE_BYTES + 1);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return buffer.subarray(0, length);
  } catch {
    return null;
  } finally {
    await file?.close();
  }
}

function decode(bytes: Buffer, spot: Spot, report: Report): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    return refuseInvisible(text, spot, report) ? null : text;
  } catch {
    report({
      ...spot,
      rule: 'not-utf8',
      message: 'expected UTF-8, found bytes that are none',
      fix: 'Save the file as UTF-8.',
    });
    return null;
  }
}

/**
 * Characters that make a file read differently from what it says: control characters, a lone carriage return, and
 * the direction marks with which the shown order differs from the real one. A BOM is one of them, at the start too.
 */
const INVISIBLE = /\r(?!\n)|[^\P{Cc}\t\n\r]|[\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u;

function refuseInvisible(text: string, spot: Spot, report: Report): boolean {
  const index = text.search(INVISIBLE);
  if (index === -1) return false;
  const before = text.slice(0, index).split('\n');
  report({
    ...spot,
    line: before.length,
    column: (before.at(-1)?.length ?? 0) + 1,
    rule: 'control-character',
    message: `expected text that reads as it looks, found ${quoted(text.charAt(index))}`,
    fix: 'Remove the character (at the start of a file: save it without a byte order mark).',
  });
  return true;
}

function reportUnexpected(folder: Folder, path: string, expected: string): void {
  folder.report({
    ...top(named(folder, path)),
    rule: 'unexpected-file',
    message: `expected only ${expected}, found ${quoted(path)}`,
    fix: 'Rename or remove it; nothing would read it, and a reader would think that it counts.',
  });
}

function reportTooMany(folder: Folder, file: string): void {
  folder.report({
    ...top(file),
    rule: 'too-many-files',
    message: `expected at most ${MAX_FILES} files, found more`,
    fix: 'Declare several actions in one file of a resource, or run a second broker.',
  });
}

function isInside(folder: string, target: string): boolean {
  const path = relative(folder, target);
  return path !== '' && path !== '..' && !path.startsWith(`..${sep}`) && !path.startsWith(sep);
}

/** How a file is named in problems and hints: with the scopes folder's own name, with `/`. */
function named({ name }: Folder, path: string): string {
  return path === '.' ? name : `${name}/${path}`;
}

function top(file: string): Spot {
  return { file, line: 1, column: 1 };
}
