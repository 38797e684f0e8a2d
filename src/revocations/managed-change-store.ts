/**
 * What operators change: each is one call of one function of the database, which is one autocommit statement with the
 * change, its entry in the ledger, its line in the record and the answer that its idempotency key will get again (L1).
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { QueryResultRow } from 'pg';
import type { CommitStatement } from '../database/commit-wait.ts';
import { isRetryable } from '../database/database-error.ts';
import type { Change } from '../operators/read-change.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { TargetKind } from './revocation.ts';

/** An entry of the ledger. Its `id` and `epoch` are absent for a revoked key that the ledger need not know. */
export type ToldEntry = {
  id?: string;
  epoch?: number;
  kind: TargetKind;
  target: string;
  standing: boolean;
  releases?: number | null;
  reason: string;
  actor: string;
  /** As Postgres writes a time in JSON. */
  at: string;
  /** `none` when it was so before: then this is the entry that made it so. */
  effect: 'revoked' | 'released' | 'none';
};

export type ChangeOutcome =
  | { outcome: 'done' | 'repeated'; answer: ToldEntry }
  | { outcome: 'other_request' | 'not_found' | 'nothing_quarantined'; answer: null };

/** With whether the standby has it: false when that is not known (L21). */
export type Confirmed<Outcome> = Outcome & { replicated: boolean };

export type ManagedTarget =
  | { kind: 'session' | 'agent'; id: string }
  /** A token's partition is in its name. */
  | { kind: 'token'; id: string; hour: number };

export type ManagedChangeStore = {
  revoke(target: ManagedTarget, change: Change): Promise<Confirmed<ChangeOutcome>>;
  /** @param agent name or id, here and below */
  quarantine(agent: string, change: Change): Promise<Confirmed<ChangeOutcome>>;
  release(agent: string, change: Change): Promise<Confirmed<ChangeOutcome>>;
  revokeSigningKey(kid: string, change: Change): Promise<Confirmed<ChangeOutcome>>;
};

const MAX_ATTEMPTS = 3;

/**
 * The address for the lines that the rest of the statement writes. Whatever comes after has to refer to "asked", or it
 * might come first: its request's name does.
 */
const askedFrom = (source: string) =>
  sql`(select set_config('mayfly.source', ${source}, true) as source) as asked`;

/** @param options.commit runs them; a standby that does not answer must not let one hold the head of the ledger */
export function createManagedChangeStore(options: {
  database: Kysely<unknown>;
  commit: CommitStatement;
  clock: Clock;
}): ManagedChangeStore {
  const { database, commit, clock } = options;

  /**
   * A deadlock left nothing behind: the same statement may well succeed. Each takes the lock of the ledger's head, so
   * that its commit comes after that of every entry that it finds, and what confirms it confirms those.
   */
  async function ask<Outcome>(call: RawBuilder<unknown>, { source }: Change): Promise<Confirmed<Outcome>> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const { sql: text, parameters } = sql`
          select outcome, answer from ${askedFrom(source)} cross join lateral ${call}`.compile(database);
        const statement = { text, values: [...parameters] };
        const { rows, replicated } = await commit<Outcome & QueryResultRow>(statement);
        const [row] = rows;
        if (row === undefined) throw new Error('the database did not say what became of a change');
        return { ...row, replicated };
      } catch (error) {
        if (attempt === MAX_ATTEMPTS || !isRetryable(error)) throw error;
      }
    }
  }

  const entryOf = ({ reason, actor }: Change) =>
    sql`${newIdentifier('rev', clock)}, ${reason}, ${actor}, ${newIdentifier('aud', clock)}`;
  const requestOf = ({ requestId, idempotency }: Change) =>
    sql`case when asked.source is not null then ${requestId} end, ${idempotency?.key ?? null}, ${idempotency?.requestDigest ?? null}`;

  return {
    revoke(target, change) {
      const hour = target.kind === 'token' ? target.hour : null;
      return ask(
        sql`revoke_as_operator(${target.kind}, ${target.id}, ${hour}::integer, ${entryOf(change)},
                                        ${requestOf(change)})`,
        change,
      );
    },

    quarantine: (agent, change) =>
      ask(sql`quarantine_agent(${agent}, ${entryOf(change)}, ${requestOf(change)})`, change),

    release: (agent, change) =>
      ask(sql`release_agent(${agent}, ${entryOf(change)}, ${requestOf(change)})`, change),

    revokeSigningKey: (kid, change) =>
      ask(
        sql`revoke_signing_key_as_operator(${kid}, ${entryOf(change)}, ${newIdentifier('aud', clock)},
                                             ${requestOf(change)})`,
        change,
      ),
  };
}
