/**
 * The database that a broker finds ready: the embedded one, started and brought up to date by ourselves, or an
 * external one, which somebody with the owner's credentials has to have brought up to date before.
 */
import { join } from 'node:path';
import type { Log } from '../errors/log.ts';
import type { Clock } from '../time/clock.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import { migrate, pendingMigrations } from './migrate.ts';

export type PreparedDatabase = {
  applicationUrl: string;
  /** Only of the embedded database: a broker in production has no such power. */
  ownerUrl: string | null;
  /** Rejects never; settles when an embedded Postgres ended by itself. */
  ended: Promise<void>;
  stop(): Promise<void>;
};

export class DatabaseNotReadyError extends Error {
  override readonly name = 'DatabaseNotReadyError';
}

const UNWRITABLE = ['EROFS', 'EACCES', 'EPERM', 'ENOSPC', 'ENOTDIR'];

export async function prepareEmbeddedDatabase(options: {
  dataDirectory: string;
  log: Log;
  clock: Clock;
}): Promise<PreparedDatabase> {
  const postgres = await startEmbeddedPostgres(options).catch((error: NodeJS.ErrnoException) => {
    if (!UNWRITABLE.includes(error.code ?? '')) throw error;
    throw new DatabaseNotReadyError(
      `The embedded database cannot write to ${options.dataDirectory} (${error.code}). Set MAYFLY_DATA_DIR to a ` +
        'folder of your own, or DATABASE_URL to use a Postgres that runs elsewhere.',
    );
  });
  try {
    await migrate({ ownerUrl: postgres.ownerUrl, log: options.log });
  } catch (error) {
    await postgres.stop();
    throw error;
  }
  const { applicationUrl, ownerUrl, ended, stop } = postgres;
  return { applicationUrl, ownerUrl, ended, stop };
}

/** @throws {DatabaseNotReadyError} when migrations are missing */
export async function prepareExternalDatabase({
  url,
  log,
}: {
  url: string;
  log: Log;
}): Promise<PreparedDatabase> {
  const pending = await pendingMigrations({ url, log });
  if (pending.length > 0) {
    throw new DatabaseNotReadyError(
      `The database lacks ${pending.length} migration(s), the first of them ${pending[0]}. ` +
        'Run `mayfly migrate` with MAYFLY_OWNER_DATABASE_URL, then start again.',
    );
  }
  return { applicationUrl: url, ownerUrl: null, ended: new Promise(() => {}), stop: async () => {} };
}

/** Where the embedded broker keeps its key-encryption key. */
export function embeddedKekPath(dataDirectory: string): string {
  return join(dataDirectory, 'kek');
}
