/**
 * Which proofs were used lately, by key and `jti` (RFC 9449 §11.1). Bounded, and when it is full it refuses
 * instead of forgetting (L18): whoever could push an entry out could use that proof again. Entries lie in slots of
 * time that are dropped whole, and what lies in a dropped slot is refused for good, so that a clock that jumps
 * back opens nothing.
 *
 * `spend` is one synchronous step: of a hundred copies of a proof that arrive together one gets `fresh`.
 */
import { replayKey } from '../dpop/replay-key.ts';

export type Spending = 'fresh' | 'replayed' | 'forgotten' | 'full' | 'exhausted';

export type SpentProofs = {
  /**
   * @param proof `filedAt`: NumericDate out of signed bytes, so that one proof can only ever lie in one slot
   * @param now NumericDate
   * @returns `exhausted` when this key alone has used up its share
   */
  spend(proof: { jkt: string; jti: string; filedAt: number }, now: number): Spending;
};

const SLOT_SECONDS = 15;

export function createSpentProofs(options: {
  maxProofs: number;
  maxProofsPerKey: number;
  /** How long after `filedAt` a proof could still be accepted. */
  memorySeconds: number;
}): SpentProofs {
  const { maxProofs, maxProofsPerKey, memorySeconds } = options;
  /** Slot → key → what it used. */
  const slots = new Map<number, Map<string, Set<string>>>();
  let size = 0;
  let forgottenBefore = 0;

  function forgetOld(now: number): void {
    for (const [slot, keys] of slots) {
      const end = (slot + 1) * SLOT_SECONDS;
      if (end + memorySeconds >= now) continue;
      for (const used of keys.values()) size -= used.size;
      slots.delete(slot);
      forgottenBefore = Math.max(forgottenBefore, end);
    }
  }

  function countOf(jkt: string): number {
    let count = 0;
    for (const keys of slots.values()) count += keys.get(jkt)?.size ?? 0;
    return count;
  }

  return {
    spend({ jkt, jti, filedAt }, now) {
      forgetOld(now);
      if (filedAt < forgottenBefore) return 'forgotten';
      const slot = Math.floor(filedAt / SLOT_SECONDS);
      const name = replayKey('proof', jkt, jti);
      const keys = slots.get(slot) ?? new Map<string, Set<string>>();
      const used = keys.get(jkt) ?? new Set<string>();
      if (used.has(name)) return 'replayed';
      if (size >= maxProofs) return 'full';
      if (countOf(jkt) >= maxProofsPerKey) return 'exhausted';
      slots.set(slot, keys.set(jkt, used.add(name)));
      size += 1;
      return 'fresh';
    },
  };
}
