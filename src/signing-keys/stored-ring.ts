/** What the verbs of this folder work on: the rows, the keys that open them, and the policy that moves them. */
import type { Keks } from './key-encryption-key.ts';
import { isInUse, stateOf, withRetirement } from './key-state.ts';
import type { RotationPolicy } from './rotation-policy.ts';
import type { SealedKey } from './sealed-key.ts';
import type { RingSnapshot, SigningKeyStore, StoredKey } from './signing-key-store.ts';

export type StoredRing = { store: SigningKeyStore; keks: Keks; policy: RotationPolicy };

/** The keys that have to open: each may sign, is about to, is still needed to verify, or has yet to hand over. */
export function keysInUse(
  { keys, nowMilliseconds }: RingSnapshot,
  policy: RotationPolicy,
): (StoredKey & SealedKey)[] {
  return withRetirement(keys)
    .filter((key) => key.speaks || isInUse(stateOf(key, nowMilliseconds, policy.tokenLifetimeSeconds)))
    .filter(isSealed);
}

function isSealed<Key extends StoredKey>(key: Key): key is Key & SealedKey {
  return key.sealedSecret !== null;
}
