/** A private key that the broker of this machine made for a catalogue that is tried out. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ClientKey, parseClientKey } from '../sdk/client-key.ts';

/** Something that whoever started us can put right; the message says how. */
export class SampleError extends Error {
  override readonly name = 'SampleError';
}

/** @param name of the file that declares the client: `report-writer`, `customers` @throws {SampleError} */
export function readDevelopmentKey(name: string, { dataDirectory }: { dataDirectory: string }): ClientKey {
  const path = join(dataDirectory, 'keys', `${name}.jwk.json`);
  try {
    return parseClientKey(readFileSync(path, 'utf8'));
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    throw new SampleError(
      isMissing
        ? `There is no key at ${path}. The broker makes it when it first starts on its embedded database: run ` +
            '`npm start` in another terminal, with the same MAYFLY_DATA_DIR and without DATABASE_URL, then this again.'
        : `The key at ${path} cannot be read. Remove it and start the broker again, which makes a new one.`,
    );
  }
}
