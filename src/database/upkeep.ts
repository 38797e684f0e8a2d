/**
 * What has to be done to the tables by the hour: partitions made well before they are needed, and dropped when
 * nobody can ask for them any more. Every broker calls this; the database lets one at a time do it.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';

export const PARTITION_HOURS_AHEAD = 48;
const AUDIT_DAYS_AHEAD = 14;

/** A proof or an assertion is of no use any more after minutes; two whole hours is what the database insists on. */
const SPENT_HOURS_KEPT = 2;

/** Partitions dropped in one go; more waits for the next round. */
const MAX_DROPS = 24;

/** Waits for nobody but another upkeep. @returns how many partitions were made */
export async function makePartitions(database: Kysely<unknown>): Promise<number> {
  const { rows } = await sql<{ made: number }>`
    select make_partitions(${PARTITION_HOURS_AHEAD}) + make_audit_partitions(${AUDIT_DAYS_AHEAD}) as made
  `.execute(database);
  return rows[0]?.made ?? 0;
}

/**
 * Gives way to whoever reads or mints: then it fails with 55P03, and the next round tries again.
 * @returns the names of what was dropped
 */
export function dropPartitions(
  database: Kysely<unknown>,
  { tokenHoursKept }: { tokenHoursKept: number },
): Promise<string[]> {
  return dropOneByOne(database, sql`drop_partition(${tokenHoursKept}, ${SPENT_HOURS_KEPT})`);
}

/**
 * Days of the record that nobody has to keep any more, and of which every line has its place in the log. Places and
 * hashes stay. Gives way like {@link dropPartitions}.
 * @returns the names of what was dropped
 */
export function dropAuditDays(
  database: Kysely<unknown>,
  { daysKept }: { daysKept: number },
): Promise<string[]> {
  return dropOneByOne(database, sql`drop_audit_partition(${daysKept})`);
}

/**
 * Says how long the text of entries is meant to be kept. More than before holds from now on; to shorten it is for the
 * owner of the database.
 * @returns the days that hold
 */
export async function keepAuditDays(database: Kysely<unknown>, days: number): Promise<number> {
  const { rows } = await sql<{ kept: number }>`select keep_audit_days(${days}) as kept`.execute(database);
  return rows[0]?.kept ?? days;
}

/** @param call drops the oldest that nobody needs and says its name, or null when there is none */
async function dropOneByOne(database: Kysely<unknown>, call: RawBuilder<unknown>): Promise<string[]> {
  const dropped: string[] = [];
  while (dropped.length < MAX_DROPS) {
    const { rows } = await sql<{ name: string | null }>`select ${call} as name`.execute(database);
    const name = rows[0]?.name ?? null;
    if (name === null) break;
    dropped.push(name);
  }
  return dropped;
}

/** A key whose session is forgotten could open another one (L7), so the end of a session is remembered for long. */
const SESSION_DAYS_KEPT = 400;
const MAX_PRUNED_SESSIONS = 5_000;

/** @returns how many sessions that ended long ago were forgotten */
export async function pruneSessions(database: Kysely<unknown>): Promise<number> {
  const { rows } = await sql<{ pruned: number }>`
    select prune_sessions(${SESSION_DAYS_KEPT}, ${MAX_PRUNED_SESSIONS}) as pruned
  `.execute(database);
  return rows[0]?.pruned ?? 0;
}

const IDEMPOTENCY_HOURS_KEPT = 24;
const MAX_PRUNED_KEYS = 5_000;

/** @returns how many answers nobody asks for any more were forgotten */
export async function pruneIdempotencyKeys(database: Kysely<unknown>): Promise<number> {
  const { rows } = await sql<{ pruned: number }>`
    select prune_idempotency_keys(${IDEMPOTENCY_HOURS_KEPT}, ${MAX_PRUNED_KEYS}) as pruned
  `.execute(database);
  return rows[0]?.pruned ?? 0;
}

const AWS_HOURS_KEPT = 1;

/** @returns how many AWS credentials that ended long ago were forgotten */
export function pruneAwsCredentials(database: Kysely<unknown>): Promise<number> {
  return pruneInRounds(database, sql`prune_aws_credentials(${AWS_HOURS_KEPT}, ${MAX_PRUNED})`);
}

const MAX_LATE_LINES = 100;

/**
 * An entry of the ledger whose line in the record could not be written with it gets it now (L2).
 * @returns how many were written
 */
export async function recordLate(database: Kysely<unknown>): Promise<number> {
  const { rows } = await sql<{ made: number }>`select record_late(${MAX_LATE_LINES}) as made`.execute(
    database,
  );
  return rows[0]?.made ?? 0;
}

/**
 * How old an entry of the ledger has to be to kill nothing that is alive: 900 s of the longest token, 60 s by which
 * clocks may be apart, and a margin (L5).
 */
const FLOOR_SECONDS = 1_000;

/** Copies need no ordinary entry at or below it. @returns the floor of the ledger */
export async function raiseLedgerFloor(database: Kysely<unknown>): Promise<number> {
  const { rows } = await sql<{ floor: number }>`
    select raise_revocation_floor(${FLOOR_SECONDS})::float8 as floor
  `.execute(database);
  return rows[0]?.floor ?? 0;
}

/** Sessions ask for all that came after their beginning, up to 12 hours; the rest is for people who look back. */
const REVOCATION_HOURS_KEPT = 168;
const VERIFIER_DAYS_KEPT = 7;
const MAX_PRUNED = 5_000;
/** More waits for the next round. */
const MAX_ROUNDS = 20;

/** @returns how many ordinary entries of the ledger were forgotten; what lasts is never pruned (L5) */
export function pruneRevocations(database: Kysely<unknown>): Promise<number> {
  return pruneInRounds(database, sql`prune_revocations(${REVOCATION_HOURS_KEPT}, ${MAX_PRUNED})`);
}

/** @returns how many verifiers that are long gone were forgotten */
export function pruneVerifiers(database: Kysely<unknown>): Promise<number> {
  return pruneInRounds(database, sql`prune_verifiers(${VERIFIER_DAYS_KEPT}, ${MAX_PRUNED})`);
}

async function pruneInRounds(database: Kysely<unknown>, call: RawBuilder<unknown>): Promise<number> {
  let total = 0;
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const { rows } = await sql<{ pruned: number }>`select ${call} as pruned`.execute(database);
    const pruned = rows[0]?.pruned ?? 0;
    total += pruned;
    if (pruned < MAX_PRUNED) break;
  }
  return total;
}

/** Hours of signed heads in one go: after a pause of brokers, more waits for the next round. */
const MAX_HOURS = 24;

/**
 * Signed heads of the audit log that are more than two days old, down to about one an hour; whatever a witness signed of
 * an hour, its last one of it stays.
 * @returns how many were removed
 */
export async function thinCheckpoints(database: Kysely<unknown>): Promise<number> {
  let total = 0;
  for (let hours = 0; hours < MAX_HOURS; hours += 1) {
    const { rows } = await sql<{ removed: number | null }>`select thin_checkpoints() as removed`.execute(
      database,
    );
    const removed = rows[0]?.removed ?? null;
    if (removed === null) break;
    total += removed;
  }
  return total;
}

const DRILL_DAYS_KEPT = 7;
const MAX_PRUNED_DRILLS = 5_000;

/** Drills of long ago, with their canaries' sessions: nobody has the keys of those. */
export async function pruneDrills(database: Kysely<unknown>): Promise<void> {
  await sql`select prune_drills(${DRILL_DAYS_KEPT}, ${MAX_PRUNED_DRILLS})`.execute(database);
}

/** One question that tells whether the database answers, what time it has, and how far partitions reach. */
export async function askDatabase(
  database: Kysely<unknown>,
): Promise<{ nowMilliseconds: number; partitionHoursAhead: number }> {
  const { rows } = await sql<{ nowMilliseconds: number; partitionHoursAhead: number }>`
    select extract(epoch from clock_timestamp())::float8 * 1000 as "nowMilliseconds",
           partitions_ahead() as "partitionHoursAhead"
  `.execute(database);
  const [row] = rows;
  if (row === undefined) throw new Error('the database gave no answer');
  return row;
}
