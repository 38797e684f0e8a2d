import { type Kysely, sql } from 'kysely';
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
    async append({ target, standing, reason, actor, requestId }) {
      const id = newIdentifier('rev', clock);
      const { rows } = await sql<{ epoch: string }>`
        select epoch from append_revocation(
          ${id}, ${target.kind}, ${target.kind === 'all' ? '' : target.id}, ${standing}, null, ${reason}, ${actor},
          ${newIdentifier('aud', clock)}, ${requestId ?? null})
      `.execute(database);
      const [row] = rows;
      if (row === undefined) throw new Error('the ledger did not answer with an epoch');
      return { id, epoch: Number(row.epoch) };
    },
  };
}
