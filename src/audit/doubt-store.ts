/**
 * Doubts of the log, which outlive the broker that heard of them: as long as one stands, no head is signed. A broker
 * can only add them; that one is settled is for the owner of the database to say.
 */
import { type Kysely, sql } from 'kysely';
import type { Pool } from 'pg';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';

export type Doubt = { witness: string; why: string };

export type DoubtStore = {
  /** @returns false when one of this witness stands already */
  raise(doubt: Doubt): Promise<boolean>;
};

export function createDoubtStore({ pool, clock }: { pool: Pick<Pool, 'query'>; clock: Clock }): DoubtStore {
  return {
    async raise({ witness, why }) {
      const { rows } = await pool.query<{ raised: boolean }>('select doubt_audit_log($1, $2, $3) as raised', [
        witness,
        why,
        newIdentifier('aud', clock),
      ]);
      return rows[0]?.raised === true;
    },
  };
}

/**
 * @param owner a connection as `mayfly_owner`; a broker cannot do this
 * @param actor who does it, for the record
 * @returns how many doubts stood
 */
export async function settleDoubts(options: {
  owner: Kysely<unknown>;
  reason: string;
  actor: string;
}): Promise<number> {
  const { owner, reason, actor } = options;
  const { rows } = await sql<{ settled: number }>`
    select settle_audit_doubts(${reason}, ${actor}) as settled`.execute(owner);
  return rows[0]?.settled ?? 0;
}
