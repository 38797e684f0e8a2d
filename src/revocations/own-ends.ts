/**
 * Sessions that agents end of their own, many in one statement and one statement at a time: of one broker there is
 * never more than one of these at the head of the ledger, however many agents go at once (L2). What comes while a batch
 * is under way is the next batch.
 */
import { createLanes, type Lanes } from '../bounds/lanes.ts';
import type { CommitStatement } from '../database/commit-wait.ts';
import { isRetryable } from '../database/database-error.ts';
import type { SpentKey } from '../dpop/replay-key.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { ToldEntry } from './managed-change-store.ts';

/** Of the session of this client and this key; proof and assertion are spent if there is one. */
export type OwnEnd = {
  client: string;
  jkt: string;
  proof: SpentKey;
  assertion: SpentKey;
  reason: string;
  requestId: string;
  /** Address that it came from. */
  source: string;
};

/** With whether the standby has it: false when that is not known (L21). */
export type OwnEndOutcome = { replicated: boolean } & (
  | { outcome: 'done'; answer: ToldEntry }
  | { outcome: 'not_found' | 'assertion_replayed' | 'proof_replayed'; answer: null }
);

type Ended = Omit<OwnEndOutcome, 'replicated'> & { n: number };

const MAX_BATCH = 100;
const MAX_WAITING = 2_000;
const MAX_ATTEMPTS = 3;

const END = 'select n, outcome, answer from end_own_sessions($1::jsonb)';

/** @param options.commit runs them; a standby that does not answer must not let one hold the head of the ledger */
export function createOwnEnds({
  commit,
  clock,
}: {
  commit: CommitStatement;
  clock: Clock;
}): Lanes<OwnEnd, OwnEndOutcome> {
  const rowOf = ({ client, jkt, proof, assertion, reason, requestId, source }: OwnEnd) => [
    client,
    jkt,
    proof.hour,
    proof.key,
    assertion.hour,
    assertion.key,
    newIdentifier('rev', clock),
    reason,
    newIdentifier('aud', clock),
    requestId,
    source,
  ];

  /** A deadlock left nothing behind: the same statement may well succeed. */
  async function patiently(rows: string) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await commit<Ended>({ name: 'own_ends', text: END, values: [rows] });
      } catch (error) {
        if (attempt === MAX_ATTEMPTS || !isRetryable(error)) throw error;
      }
    }
  }

  async function run(batch: readonly OwnEnd[]): Promise<PromiseSettledResult<OwnEndOutcome>[]> {
    const { rows, replicated } = await patiently(JSON.stringify(batch.map(rowOf)));
    const outcomes = new Map(rows.map(({ n, ...outcome }) => [n, outcome]));
    return batch.map((_, n) => {
      const outcome = outcomes.get(n);
      if (outcome === undefined) throw new Error('the database did not say what became of a session');
      return { status: 'fulfilled', value: { ...outcome, replicated } as OwnEndOutcome };
    });
  }

  return createLanes({ lanes: 1, maxBatch: MAX_BATCH, maxWaiting: MAX_WAITING, run });
}
