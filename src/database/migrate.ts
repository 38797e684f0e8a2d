/**
 * Brings a database to the shape that this mayfly expects, by plain numbered SQL files. Each file runs in a
 * transaction of its own together with the record that it ran, so a crash leaves whole files only. Kysely's
 * Migrator holds its lock meanwhile: of two that migrate at once, one waits and then finds the work done.
 *
 * A file that has run is never edited: its digest is recorded, and another digest is refused, since nobody could
 * say what the database of others looks like. A database that knows files which are not here belongs to a newer
 * mayfly; brokers may go on serving it (every migration keeps the version before it working), but nothing may be
 * migrated on it.
 */
import { type Kysely, sql } from 'kysely';
import { type Migration, type MigrationResultSet, Migrator } from 'kysely/migration';
import type { Log } from '../errors/log.ts';
import { sqlState } from './database-error.ts';
import { MIGRATIONS_FOLDER, type MigrationFile, readMigrationFiles } from './migration-file.ts';
import { createPool, openKysely, type Pool } from './pool.ts';
import { APPLICATION_ROLE } from './roles.ts';

export class MigrationError extends Error {
  override readonly name = 'MigrationError';
}

export type MigrationState = {
  applied: string[];
  pending: string[];
  /** Recorded in the database, not known here. */
  newer: string[];
  /** Recorded with another digest than the file here has. */
  edited: string[];
};

type Recorded = { name: string; sha256: string | null };
// biome-ignore lint/suspicious/noExplicitAny: the Migrator knows its own tables only
type AnyKysely = Kysely<any>;

const RECORDS = 'migrations';
const DIGESTS = 'migration_digests';
/** Of two that migrate at once, one waits for the other. */
const LOCK_TIMEOUT_MILLISECONDS = 5_000;
/**
 * While a file waits for a lock on a table, every mint waits behind it: so it gives up before they do, lets them go,
 * and comes again.
 */
const FILE_LOCK_MILLISECONDS = 300;
const PAUSE_MILLISECONDS = 700;
const MAX_ATTEMPTS = 8;
const LOCK_NOT_AVAILABLE = '55P03';
const UNDEFINED_TABLE = '42P01';

/**
 * @param ownerUrl as the role mayfly_owner
 * @returns the names of the files that ran
 * @throws {MigrationError} when the database is newer than this mayfly, a file was edited, or a file failed
 */
export async function migrate({
  ownerUrl,
  folder = MIGRATIONS_FOLDER,
  log,
}: {
  ownerUrl: string;
  folder?: URL;
  log: Log;
}): Promise<string[]> {
  const files = await readMigrationFiles(folder);
  const pool = createPool({ ...CONNECTION, url: ownerUrl, log });
  try {
    refuseUnfit(await readState(pool, files));
    return await runPending(openKysely(pool), files, log);
  } finally {
    await pool.end();
  }
}

/** What is recorded in the database, compared with the files here. Any role of ours may ask. */
export async function migrationState({
  url,
  folder = MIGRATIONS_FOLDER,
  log,
}: {
  url: string;
  folder?: URL;
  log: Log;
}): Promise<MigrationState> {
  const files = await readMigrationFiles(folder);
  const pool = createPool({ ...CONNECTION, url, log });
  try {
    return await readState(pool, files);
  } finally {
    await pool.end();
  }
}

/** The files that `mayfly migrate` has still to run before a broker may serve this database. */
export async function pendingMigrations(options: { url: string; folder?: URL; log: Log }): Promise<string[]> {
  return (await migrationState(options)).pending;
}

const CONNECTION = {
  size: 1,
  applicationName: 'mayfly migrate',
  connectTimeoutMilliseconds: 10_000,
  statementTimeoutMilliseconds: 0, // a long migration is not a failed one
  lockTimeoutMilliseconds: LOCK_TIMEOUT_MILLISECONDS,
};

async function readState(pool: Pool, files: readonly MigrationFile[]): Promise<MigrationState> {
  const recorded = new Map((await readRecorded(pool)).map(({ name, sha256 }) => [name, sha256]));
  const known = new Map(files.map(({ name, sha256 }) => [name, sha256]));
  const names = [...recorded.keys()];
  return {
    applied: names,
    pending: [...known.keys()].filter((name) => !recorded.has(name)),
    newer: names.filter((name) => !known.has(name)),
    edited: names.filter((name) => known.has(name) && known.get(name) !== recorded.get(name)),
  };
}

async function readRecorded(pool: Pool): Promise<Recorded[]> {
  try {
    const { rows } = await pool.query<Recorded>(
      `select name, sha256 from ${RECORDS} left join ${DIGESTS} using (name) order by name`,
    );
    return rows;
  } catch (error) {
    if (sqlState(error) === UNDEFINED_TABLE) return []; // nothing ran yet
    throw error;
  }
}

function refuseUnfit({ newer, edited }: MigrationState): void {
  if (newer.length > 0) {
    throw new MigrationError(
      `The database was migrated by a newer mayfly (${newer.join(', ')}). Run that version, or restore a ` +
        'backup from before.',
    );
  }
  if (edited.length > 0) {
    throw new MigrationError(
      `These migrations ran here with another content than they have now: ${edited.join(', ')}. A migration ` +
        'is never edited once it ran somewhere: restore the file and write a new one. (While you develop ' +
        'mayfly itself: remove the data folder.)',
    );
  }
}

/** One call a file, because the Migrator would run all of them in a single transaction. */
async function runPending(kysely: AnyKysely, files: readonly MigrationFile[], log: Log): Promise<string[]> {
  const migrator = new Migrator({
    db: kysely,
    migrationTableName: RECORDS,
    migrationLockTableName: 'migrations_lock',
    provider: {
      getMigrations: async () => Object.fromEntries(files.map((file) => [file.name, asMigration(file)])),
    },
  });
  const ran: string[] = [];
  for (let step = 0; step <= files.length; step++) {
    const { results = [], error } = await patiently(() => migrator.migrateUp(), log);
    if (error !== undefined) throw explain(error, results[0]?.migrationName);
    const [result] = results;
    if (result === undefined) break;
    log.info({ migration: result.migrationName }, 'migrated');
    ran.push(result.migrationName);
  }
  return ran;
}

/** Nothing is left of a file that did not get its locks. */
async function patiently(
  migrateUp: () => Promise<MigrationResultSet>,
  log: Log,
): Promise<MigrationResultSet> {
  for (let attempt = 1; ; attempt += 1) {
    const outcome = await migrateUp();
    if (attempt === MAX_ATTEMPTS || sqlState(outcome.error) !== LOCK_NOT_AVAILABLE) return outcome;
    log.warn({ attempt }, 'something holds a lock on a table of this migration; it comes again');
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS));
  }
}

function asMigration(file: MigrationFile): Migration {
  return {
    async up(db: AnyKysely) {
      await sql`set local statement_timeout = 0`.execute(db);
      await sql.raw(`set local lock_timeout = ${FILE_LOCK_MILLISECONDS}`).execute(db);
      const before = await transactionId(db);
      await sql.raw(file.text).execute(db);
      if ((await transactionId(db)) !== before) {
        throw new MigrationError(`${file.name} ends its transaction: leave begin and commit to the migrator`);
      }
      await recordDigest(db, file);
    },
  };
}

async function transactionId(db: AnyKysely): Promise<string> {
  const { rows } = await sql<{ id: string }>`select pg_current_xact_id()::text as id`.execute(db);
  return rows[0]?.id ?? '';
}

/** Under the Migrator's lock and in the file's transaction: recorded exactly when it ran. */
async function recordDigest(db: AnyKysely, { name, sha256 }: MigrationFile): Promise<void> {
  await sql
    .raw(`create table if not exists ${DIGESTS} (name text not null primary key, sha256 text not null)`)
    .execute(db);
  await sql.raw(`grant select on ${RECORDS}, ${DIGESTS} to ${APPLICATION_ROLE}`).execute(db);
  await sql`insert into ${sql.table(DIGESTS)} (name, sha256) values (${name}, ${sha256})`.execute(db);
}

const EXPLANATIONS: Readonly<Record<string, string>> = {
  '23514': 'A row that mayfly never writes stands in its way: the runbook says what to do, under Upgrade.',
  '42704': 'Are the roles there? `mayfly database roles` prints the script that makes them.',
  '42501': 'Migrations run as the role mayfly_owner, which owns the database.',
  [LOCK_NOT_AVAILABLE]: 'Something else holds a lock on one of its tables. Nothing was changed: try again.',
};

function explain(error: unknown, name: string | undefined): Error {
  if (error instanceof MigrationError) return error;
  const { message } = error as Error;
  const hint = EXPLANATIONS[sqlState(error) ?? ''] ?? '';
  return new MigrationError(`${name ?? 'The migration'} failed: ${message}. ${hint}`.trimEnd(), {
    cause: error,
  });
}
