/**
 * The self-test of the kill switch: brokers send a canary token along with a lease, and are told in the next question
 * what this verifier's own rule says of it. It is judged when the question is made, like a request that comes then;
 * but nobody holds its key, so that it opens nothing.
 *
 * `refused` means that the ledger kills it, and nothing else: a canary that cannot be judged is not spoken of, and the
 * drill is missed, which is what brokers have to hear.
 */
import type { Lease, Question } from '../revocations/ledger-message.ts';
import type { Decision } from './lease-state.ts';

export type Drills = {
  /**
   * Takes the canaries of an answer; those of the one before are over.
   * @returns true when there is one that was not there before: somebody waits to hear of it
   */
  take(drills: Lease['drills']): Promise<boolean>;
  outcomes(): NonNullable<Question['drills']>;
};

/** Decides on a token that was checked but for its proof. */
export type Judge = () => Decision;

/** @param check everything that is checked of a token but its proof; null when it does not pass */
export function createDrills({ check }: { check: (token: string) => Promise<Judge | null> }): Drills {
  let current: { id: string; judge: Judge }[] = [];
  return {
    async take(drills = []) {
      const known = new Map(current.map(({ id, judge }) => [id, judge]));
      const next: typeof current = [];
      const isNews = drills.some(({ id }) => !known.has(id));
      for (const { id, token } of drills) {
        const judge = known.get(id) ?? (await check(token));
        if (judge !== null) next.push({ id, judge });
      }
      current = next;
      return isNews;
    },
    outcomes() {
      const outcomes: NonNullable<Question['drills']> = [];
      for (const { id, judge } of current) {
        const decision = judge();
        if (decision === 'granted') outcomes.push({ id, outcome: 'accepted' });
        if (decision === 'token_revoked') outcomes.push({ id, outcome: 'refused' });
      }
      return outcomes;
    },
  };
}
