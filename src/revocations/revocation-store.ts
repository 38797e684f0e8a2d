import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { RevocationTarget } from './revocation.ts';

export type NewRevocation = {
  target: RevocationTarget;
  standing: boolean;
  reason: string;
  actor: string;
  requestId: string | undefined;
};

export type RevocationStore = {
  /**
   * One autocommit statement (L1): bumps the head, inserts the entry and its audit line.
   * @returns the entry's epoch
   */
  append(revocation: NewRevocation): Promise<{ id: string; epoch: number }>;
};

export function createRevocationStore(database: Kysely<unknown>, clock: Clock): RevocationStore {
  return {
    async append(revocation) {
      const { id, appended } = appendRevocation(revocation, clock);
      const { rows } = await sql<{ epoch: string }>`select epoch from ${appended}`.execute(database);
      const [row] = rows;
      if (row === undefined) throw new Error('the ledger did not answer with an epoch');
      return { id, epoch: Number(row.epoch) };
    },
  };
}

/** The entry as something to select `epoch` from, for a statement whose own change must not be without it. */
export function appendRevocation(
  { target, standing, reason, actor, requestId }: NewRevocation,
  clock: Clock,
): { id: string; appended: RawBuilder<unknown> } {
  const id = newIdentifier('rev', clock);
  const appended = sql`append_revocation(
    ${id}::text, ${target.kind}::text, ${target.kind === 'all' ? '' : target.id}::text, ${standing}::boolean, null,
    ${reason}::text, ${actor}::text, ${newIdentifier('aud', clock)}::text, ${requestId ?? null}::text)`;
  return { id, appended };
}
