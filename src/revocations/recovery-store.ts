/**
 * Revokes again what a failover lost (L25), from what verifiers still hold of it (evidence.ts). After the head was
 * moved, since only then is it sure that no epoch is given twice, and everything that wide entries could hit is dead.
 *
 *   stood, and was not released      stands again, until somebody releases it
 *   stood, and was released          as an ordinary one: what it had killed stays dead
 *   ordinary, and not wide           once more: `all` passes operators by (L4), so moving the head did not end these
 *   ordinary, and wide               covered by the moved head
 *   ordinary, and of 13 hours ago    no longer: no session from before it lives (L5)
 *   a release                        not at all: fail closed, and who released it can do so again
 *
 * Whatever was revoked again since the head was moved, by this or by a person, is left alone; so twice is once.
 */
import { type Kysely, sql } from 'kysely';
import { parseVerificationKey } from '../jws/jwk.ts';
import { type Clock, numericDate } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import { LEDGER_CHANNEL } from './announcement-store.ts';
import { type EvidencedEntry, EvidenceError, type LedgerKeyState, readEvidence } from './evidence.ts';
import { isWide, type LedgerKey, ledgerKey, type TargetKind } from './revocation.ts';

export type Recovered = {
  kind: TargetKind;
  /** Empty for `all`. */
  target: string;
  standing: boolean;
  /** The newest of the lost entries of this target. */
  lost: number;
  /** Of the new entry; null in a dry run. */
  epoch: number | null;
};

export type Recovery = {
  /** Entries that the evidence has, and how many of them this ledger has, too. */
  evidenced: number;
  present: number;
  recovered: Recovered[];
};

type Head = { generation: number; floor: number; same: boolean };
type Lost = Omit<Recovered, 'epoch'> & { key: LedgerKey };

const REASON = 'recovered';

/** As brokers keep entries: the longest life of a session, and a margin. */
const KEPT_SECONDS = 13 * 3_600;

/** Entries in one statement: a kill that comes meanwhile waits for no more of them than these (L2). */
const BATCH = 100;

/**
 * All lines are checked before anything is written. What is written comes in statements of a bounded size, each of
 * which commits by itself: whoever is interrupted does the same again, and goes on where it stopped.
 *
 * @param owner a connection as `mayfly_owner`; a broker cannot do this
 * @param evidence of any number of verifiers, one compact JWS on a line
 * @param issuer whose messages count
 * @param actor who does it, for the record
 * @throws {EvidenceError} when a line cannot be believed, or the head has to be moved first
 */
export async function recoverRevocations(options: {
  owner: Kysely<unknown>;
  evidence: string;
  issuer: string;
  actor: string;
  dryRun: boolean;
  clock: Clock;
}): Promise<Recovery> {
  const { owner, evidence, issuer, actor, dryRun, clock } = options;
  const entries = readEvidence(evidence, { issuer, keys: await readLedgerKeys(owner) });
  const head = await readHead(owner);
  const missing = await withoutPresent(owner, entries);
  refuseUnmoved(head, missing);
  const lost = await withoutCovered(owner, {
    lost: byTarget(missing, numericDate(clock) - KEPT_SECONDS),
    ...head,
  });
  const recovered: Recovered[] = [];
  for (let start = 0; start < lost.length; start += BATCH) {
    const batch = lost.slice(start, start + BATCH);
    const epochs = dryRun ? null : await append(owner, { batch, generation: head.generation, actor, clock });
    batch.forEach(({ key: _, ...each }, n) => {
      const epoch = epochs?.get(n);
      if (epochs === null || epoch !== undefined) recovered.push({ ...each, epoch: epoch ?? null });
    });
  }
  return { evidenced: entries.length, present: entries.length - missing.length, recovered };
}

/** @returns the epoch of each that was not revoked again before, by its place */
async function append(
  owner: Kysely<unknown>,
  {
    batch,
    generation,
    actor,
    clock,
  }: { batch: readonly Lost[]; generation: number; actor: string; clock: Clock },
): Promise<Map<number, number>> {
  const rows = batch.map(({ kind, target, standing }, n) => [
    n,
    kind,
    target,
    standing,
    newIdentifier('rev', clock),
    newIdentifier('aud', clock),
  ]);
  const appended = await sql<{ n: number; epoch: number }>`
    select r.n, r.epoch::float8 as epoch
      from recover_revocations(${JSON.stringify(rows)}::jsonb, ${generation}::integer, ${REASON}, ${actor}) r
  `.execute(owner);
  await sql`select pg_notify(${LEDGER_CHANNEL}, '')`.execute(owner);
  return new Map(appended.rows.map(({ n, epoch }) => [n, epoch]));
}

/** Retired ones, too: they signed while they were in use, and nobody else had them. */
async function readLedgerKeys(database: Kysely<unknown>): Promise<Map<string, LedgerKeyState>> {
  const { rows } = await sql<{ kid: string; public_key: Buffer; is_revoked: boolean }>`
    select k.kid, k.public_key, k.revoked_at is not null as is_revoked
      from signing_keys k where k.purpose = 'ledger'
  `.execute(database);
  return new Map(
    rows.map(({ kid, public_key: bytes, is_revoked: isRevoked }) => {
      const jwk = { kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url') };
      return [kid, { key: parseVerificationKey(jwk), isRevoked }];
    }),
  );
}

/** Not locked: whoever appends makes sure that it has not been moved since. */
async function readHead(database: Kysely<unknown>): Promise<Head> {
  const { rows } = await sql<Head>`
    select h.generation, h.floor::float8 as floor,
           h.system_identifier = i.system_identifier and h.timeline = i.timeline as same
      from revocation_head h cross join database_identity() i
  `.execute(database);
  const [head] = rows;
  if (head === undefined) throw new Error('the ledger has no head');
  return head;
}

async function withoutPresent(
  database: Kysely<unknown>,
  entries: readonly EvidencedEntry[],
): Promise<EvidencedEntry[]> {
  const asked = entries.map(({ epoch, digest }, n) => ({
    n,
    epoch,
    digest: Buffer.from(digest, 'base64url').toString('hex'),
  }));
  const { rows } = await sql<{ n: number }>`
    select e.n from json_to_recordset(${JSON.stringify(asked)}::json) as e (n integer, epoch bigint, digest text)
     where not exists (select from revocations r
                        where r.epoch = e.epoch and r.digest = decode(e.digest, 'hex'))
     order by e.n
  `.execute(database);
  return rows.flatMap(({ n }) => entries[n] ?? []);
}

/** An ordinary entry at or below the floor was pruned. Another one of this generation that is missing was lost in it. */
function refuseUnmoved({ generation, floor, same }: Head, missing: readonly EvidencedEntry[]): void {
  const isLost = (entry: EvidencedEntry) =>
    entry.generation > generation ||
    (entry.generation === generation &&
      (entry.epoch > floor || entry.kind === 'signing-key' || (entry.standing && !entry.isReleased)));
  const lost = missing.find(isLost);
  if (same && lost === undefined) return;
  throw new EvidenceError(
    `${lost === undefined ? 'This is another cluster or timeline than the ledger was written in.' : `The ledger lost epoch ${lost.epoch} of generation ${lost.generation}.`} ` +
      'Move its head first, with `mayfly ledger move-head`. Nothing was recovered.',
  );
}

/** What is the same target has one entry; it stands if any of them stood. */
function byTarget(missing: readonly EvidencedEntry[], oldest: number): Lost[] {
  const lost = new Map<LedgerKey, Lost>();
  for (const { kind, target, epoch, ...entry } of missing) {
    const key = ledgerKey(kind === 'all' ? { kind } : { kind, id: target });
    const standing = (entry.standing && !entry.isReleased) || lost.get(key)?.standing === true;
    const isOver = kind !== 'signing-key' && entry.saidAt < oldest;
    if (!standing && (isWide(key) || isOver)) continue;
    lost.set(key, { key, kind, target, standing, lost: epoch });
  }
  return [...lost.values()];
}

async function withoutCovered(
  database: Kysely<unknown>,
  { lost, generation }: { lost: readonly Lost[]; generation: number },
): Promise<Lost[]> {
  const asked = lost.map(({ key, standing }, n) => ({ n, key, standing }));
  const { rows } = await sql<{ n: number }>`
    select l.n from json_to_recordset(${JSON.stringify(asked)}::json) as l (n integer, key text, standing boolean)
     where not is_recovered(l.key, l.standing, ${generation}::integer)
     order by l.n
  `.execute(database);
  return rows.flatMap(({ n }) => lost[n] ?? []);
}
