/**
 * Every query on `signing_keys`. Each change is one call of one function of the database, which changes one row,
 * leaves its audit entry (and, for a revoked key of tokens, the ledger's) and says whether it was the one to do
 * it; so any number of brokers may try.
 */
import type { Pool } from 'pg';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import { KeyRingError } from './key-ring-error.ts';
import type { KeyPurpose, KeyTimes } from './key-state.ts';
import type { SealedKey } from './sealed-key.ts';

export type StoredKey = KeyTimes & Omit<SealedKey, 'sealedSecret'> & { sealedSecret: Buffer | null };

/** What one statement saw. `nowMilliseconds` is database time, and not later than when it saw it. */
export type RingSnapshot = { keys: StoredKey[]; nowMilliseconds: number };

export type SigningKeyStore = ReturnType<typeof createSigningKeyStore>;

/** Far above what rotation can bring about: more means that something floods the table. */
const MAX_ROWS = 500;
const HISTORY_GENERATIONS = 50;

export function createSigningKeyStore({ pool, clock }: { pool: Pick<Pool, 'query'>; clock: Clock }) {
  const newAuditId = () => newIdentifier('aud', clock);

  async function decide(call: string, values: unknown[]): Promise<boolean> {
    const { rows } = await pool.query<{ done: boolean }>(`select ${call} as done`, values);
    return rows[0]?.done === true;
  }

  return {
    /** The keys whose secret still exists, and every later one: all that states and plans depend on. */
    readRing: () => read(pool, RING),

    /** The newest generations, erased and revoked ones too. */
    readHistory: () => read(pool, HISTORY),

    /** False when another broker made this generation first. */
    add({ key, leadSeconds, notBeforeMilliseconds, actor }: NewKey): Promise<boolean> {
      const notBefore = notBeforeMilliseconds === null ? null : new Date(notBeforeMilliseconds);
      return decide('add_signing_key($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)', [
        ...[
          key.kid,
          key.purpose,
          key.algorithm,
          key.generation,
          key.publicKey,
          key.sealedSecret,
          key.sealedBy,
        ],
        ...[leadSeconds, notBefore, newAuditId(), actor],
      ]);
    },

    /** False when it was active already, or revoked. */
    hasten: (kid: string, actor: string) =>
      decide('hasten_signing_key($1, $2, $3)', [kid, newAuditId(), actor]),

    /** False when it was revoked before, or is unknown. */
    revoke: (kid: string, actor: string) =>
      decide('revoke_signing_key($1, $2, $3, $4, $5)', [
        ...[kid, newAuditId(), actor],
        ...[newIdentifier('rev', clock), newAuditId()],
      ]),

    /** False when somebody changed the sealed secret since `was` was read. */
    reseal: ({ was, becomes, actor }: { was: SealedKey; becomes: SealedKey; actor: string }) =>
      decide('reseal_signing_key($1, $2, $3, $4, $5, $6)', [
        ...[was.kid, was.sealedSecret, becomes.sealedSecret, becomes.sealedBy],
        ...[newAuditId(), actor],
      ]),

    /** False when it was erased before, or retired less than `tailSeconds` ago. */
    erase: ({ kid, tailSeconds, actor }: { kid: string; tailSeconds: number; actor: string }) =>
      decide('erase_signing_key($1, $2, $3, $4)', [kid, tailSeconds, newAuditId(), actor]),
  };
}

type NewKey = {
  key: SealedKey;
  leadSeconds: number;
  notBeforeMilliseconds: number | null;
  actor: string;
};

type Row = {
  now: number;
  kid: string | null;
  purpose: KeyPurpose;
  algorithm: string;
  generation: number;
  public_key: Buffer | null;
  sealed_secret: Buffer | null;
  sealed_by: string;
  published_at: number;
  active_from: number;
  revoked_at: number | null;
  speaks: boolean;
};

const RING = `
  k.generation >= coalesce(
    (select min(m.generation) from signing_keys m where m.purpose = k.purpose and m.sealed_secret is not null),
    (select max(m.generation) from signing_keys m where m.purpose = k.purpose))`;

const HISTORY = `
  k.generation > (select max(m.generation) from signing_keys m where m.purpose = k.purpose) - ${HISTORY_GENERATIONS}`;

/** The outer join gives one row with the time also when there is no key. */
async function read(pool: Pick<Pool, 'query'>, which: string): Promise<RingSnapshot> {
  const { rows } = await pool.query<Row>(`
    select ${milliseconds("date_trunc('milliseconds', now())")} as now,
           k.kid, k.purpose, k.algorithm, k.generation, k.public_key, k.sealed_secret, k.sealed_by,
           ${milliseconds('k.published_at')} as published_at, ${milliseconds('k.active_from')} as active_from,
           ${milliseconds('k.revoked_at')} as revoked_at,
           k.purpose = 'log' and k.kid is not distinct from log_speaker() as speaks
      from (select 1) as always left join signing_keys k on ${which}
     order by k.purpose, k.generation limit ${MAX_ROWS + 1}`);
  if (rows.length > MAX_ROWS) throw new KeyRingError(`More than ${MAX_ROWS} signing keys are in use.`);
  const [first] = rows;
  if (first === undefined) throw new Error('the database did not tell the time');
  return { keys: rows.filter((row) => row.kid !== null).map(storedKey), nowMilliseconds: first.now };
}

function milliseconds(expression: string): string {
  return `(extract(epoch from ${expression}) * 1000)::float8`;
}

function storedKey(row: Row): StoredKey {
  return {
    kid: String(row.kid),
    purpose: row.purpose,
    algorithm: row.algorithm,
    generation: row.generation,
    publicKey: row.public_key,
    sealedSecret: row.sealed_secret,
    sealedBy: row.sealed_by,
    publishedAtMilliseconds: row.published_at,
    activeFromMilliseconds: row.active_from,
    revokedAtMilliseconds: row.revoked_at,
    isErased: row.sealed_secret === null,
    speaks: row.speaks,
  };
}
