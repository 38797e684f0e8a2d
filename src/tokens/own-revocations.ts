/** One lane for what clients revoke of their own; what comes while a batch is under way is the next batch. */
import { createLanes, type Lanes } from '../bounds/lanes.ts';
import { isRetryable } from '../database/database-error.ts';
import type { OwnRevocation, OwnRevocationStore, Spent } from './own-revocation-store.ts';

const MAX_BATCH = 200;
const MAX_WAITING = 2_000;
const MAX_ATTEMPTS = 3;

/** Each is settled with whether its assertion was fresh, and whether the standby has what was revoked. */
export function createOwnRevocations({
  append,
}: Pick<OwnRevocationStore, 'append'>): Lanes<OwnRevocation, Spent> {
  async function run(batch: readonly OwnRevocation[]): Promise<PromiseSettledResult<Spent>[]> {
    const outcomes = await patiently(batch);
    return outcomes.map((value) => ({ status: 'fulfilled', value }));
  }

  /** A deadlock left nothing behind: the same statement may well succeed. */
  async function patiently(batch: readonly OwnRevocation[]): Promise<Spent[]> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await append(batch);
      } catch (error) {
        if (attempt === MAX_ATTEMPTS || !isRetryable(error)) throw error;
      }
    }
  }

  return createLanes({ lanes: 1, maxBatch: MAX_BATCH, maxWaiting: MAX_WAITING, run });
}
