import { type Kysely, sql } from 'kysely';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import { LEDGER_CHANNEL } from './announcement-store.ts';

export type MovedHead = { epoch: number; generation: number };

/**
 * Says that the ledger goes on in this database, whatever it may have forgotten (L25): every token and session so far
 * is revoked, by an entry above every epoch that anybody can have seen, in a new generation.
 *
 * @param owner a connection as `mayfly_owner`; a broker cannot do this
 * @param above an epoch that somebody knows to have existed
 * @param actor who does it, for the record
 */
export async function moveHead(options: {
  owner: Kysely<unknown>;
  above: number;
  reason: string;
  actor: string;
  clock: Clock;
}): Promise<MovedHead> {
  const { owner, above, reason, actor, clock } = options;
  const { rows } = await sql<{ epoch: number; generation: number }>`
    select m.epoch::float8 as epoch, m.generation
      from move_revocation_head(${above}::bigint, ${newIdentifier('rev', clock)}, ${reason}, ${actor},
                                ${newIdentifier('aud', clock)}) m
  `.execute(owner);
  const [moved] = rows;
  if (moved === undefined) throw new Error('the ledger did not answer with its new head');
  await sql`select pg_notify(${LEDGER_CHANNEL}, '')`.execute(owner);
  return moved;
}
