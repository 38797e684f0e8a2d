/** The files of `migrations/`: `0001-name.sql`, numbered without a gap, each with the digest of its bytes. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';

export type MigrationFile = {
  /** Without the extension. */
  name: string;
  text: string;
  /** Hex. */
  sha256: string;
};

/** The same folder seen from src/ and from dist/. */
export const MIGRATIONS_FOLDER = new URL('../../migrations/', import.meta.url);

const FILE_NAME = /^(\d{4})-[a-z0-9]+(-[a-z0-9]+)*\.sql$/;

/** @param folder its URL ends with a slash. @throws when a file is misnamed, or numbers repeat or have a gap */
export async function readMigrationFiles(folder: URL): Promise<MigrationFile[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  names.forEach((name, index) => {
    const number = FILE_NAME.exec(name)?.[1];
    if (number === undefined || Number(number) !== index + 1) {
      const expected = String(index + 1).padStart(4, '0');
      throw new Error(`${name}: the next migration has to be named ${expected}-<words>.sql`);
    }
  });
  return Promise.all(names.map((name) => readMigrationFile(folder, name)));
}

async function readMigrationFile(folder: URL, fileName: string): Promise<MigrationFile> {
  const bytes = await readFile(new URL(fileName, folder));
  return {
    name: fileName.replace(/\.sql$/, ''),
    text: bytes.toString('utf8'),
    sha256: createHash('sha256').update(bytes).digest('hex'),
  };
}
