/**
 * The key-encryption key of the embedded default: a file in the data folder, made on the first start. Nobody
 * ever reads half a key: the bytes are complete and on disk under another name before the file gets its own, and
 * of two brokers that start at once one names the file and the other one reads it.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { newKekText, parseKek } from './key-encryption-key.ts';
import { KeyRingError } from './key-ring-error.ts';

const OWNER_ONLY = 0o600;
const OTHERS = 0o077;
const MAX_FILE_BYTES = 256;

/**
 * @param path of a file in a folder that exists
 * @returns the 32 bytes
 * @throws {KeyRingError} when others could read the file, or it holds no key: it may be the only copy, so it is
 *   never replaced
 */
export async function loadOrCreateKek(path: string): Promise<Buffer> {
  return (await readKek(path)) ?? (await createKek(path));
}

async function readKek(path: string): Promise<Buffer | null> {
  const file = await open(path, constants.O_RDONLY).catch(unlessMissing);
  if (file === null) return null;
  try {
    const { mode, size } = await file.stat();
    if ((mode & OTHERS) !== 0) {
      throw new KeyRingError(
        `${path} holds the key-encryption key and others on this machine may read it ` +
          `(mode ${(mode & 0o777).toString(8).padStart(4, '0')}). If nobody else did, run: chmod 600 ${path}`,
      );
    }
    if (size > MAX_FILE_BYTES) throw new KeyRingError(`${path} is too large to be a key-encryption key.`);
    return parseKekFile(path, await file.readFile('latin1'));
  } finally {
    await file.close();
  }
}

function parseKekFile(path: string, text: string): Buffer {
  try {
    return parseKek(text);
  } catch (error) {
    if (!(error instanceof KeyRingError)) throw error;
    throw new KeyRingError(`${path}: ${error.message}. If you have a copy of the file, put it back.`);
  }
}

async function createKek(path: string): Promise<Buffer> {
  const draft = `${path}.${randomBytes(8).toString('hex')}`;
  const text = newKekText();
  try {
    await writeDurably(draft, `${text}\n`);
    await link(draft, path).catch(unlessTaken);
  } finally {
    await unlink(draft).catch(unlessMissing);
  }
  await syncFolder(dirname(path));
  const kek = await readKek(path);
  if (kek === null) throw new KeyRingError(`${path} disappeared while it was being made.`);
  return kek;
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', OWNER_ONLY);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function unlessMissing(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}

function unlessTaken(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}
