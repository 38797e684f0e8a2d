/**
 * What an operator can do to the stored ring without running a broker: the verbs behind `mayfly keys …`. Brokers
 * see the effect at their next poll.
 */
import type { Pool } from 'pg';
import type { Clock } from '../time/clock.ts';
import { importKeks, type KekConfiguration } from './key-encryption-key.ts';
import { type KeyPurpose, type KeyState, stateOf, withRetirement } from './key-state.ts';
import { abandonUnopenable, findUnopenable, resealRing, type UnopenableKey } from './open-ring.ts';
import type { RotationDemand } from './plan-rotation.ts';
import { retireKeyNow, rotateRing } from './rotate-ring.ts';
import { checkRotationPolicy, DEFAULT_ROTATION_POLICY, type RotationPolicy } from './rotation-policy.ts';
import { createSigningKeyStore, type RingSnapshot } from './signing-key-store.ts';
import type { StoredRing } from './stored-ring.ts';

/** What may be told about a key. Times are database time in milliseconds since 1970, null while unknown. */
export type KeyListing = {
  kid: string;
  purpose: KeyPurpose;
  generation: number;
  state: KeyState;
  /** Fingerprint of the KEK. */
  sealedBy: string;
  publishedAtMilliseconds: number;
  activeFromMilliseconds: number;
  retireAtMilliseconds: number | null;
  revokedAtMilliseconds: number | null;
};

export type KeyOperations = {
  /** The newest generations of every purpose, the removed and revoked ones too. */
  list(): Promise<KeyListing[]>;
  rotate(demand: RotationDemand): Promise<KeyListing[]>;
  retireNow(kid: string): Promise<boolean>;
  reseal(): Promise<number>;
  /** What {@link abandon} would abandon. */
  unopenable(): Promise<UnopenableKey[]>;
  abandon(): Promise<UnopenableKey[]>;
};

export type RingOptions = Partial<RotationPolicy> & {
  pool: Pick<Pool, 'query'>;
  kek: KekConfiguration;
  clock: Clock;
};

/** @param actor who is named in the audit log */
export function createKeyOperations({ actor, ...options }: RingOptions & { actor: string }): KeyOperations {
  const ring = storedRing(options);
  const { store, policy } = ring;
  return {
    list: async () => listing(await store.readHistory(), policy),
    rotate: async (demand) => listing(await rotateRing(ring, { ...demand, actor }), policy),
    retireNow: (kid) => retireKeyNow(ring, { kid, actor }),
    reseal: () => resealRing(ring, { actor }),
    unopenable: async () => findUnopenable(ring, await store.readRing()),
    abandon: () => abandonUnopenable(ring, { actor }),
  };
}

/** @throws {KeyRingError} when the KEKs or the policy are not acceptable */
export function storedRing({ pool, kek, clock, ...policy }: RingOptions): StoredRing {
  return {
    store: createSigningKeyStore({ pool, clock }),
    keks: importKeks(kek),
    policy: checkRotationPolicy({
      rotationSeconds: policy.rotationSeconds ?? DEFAULT_ROTATION_POLICY.rotationSeconds,
      publicationLeadSeconds: policy.publicationLeadSeconds ?? DEFAULT_ROTATION_POLICY.publicationLeadSeconds,
      tokenLifetimeSeconds: policy.tokenLifetimeSeconds ?? DEFAULT_ROTATION_POLICY.tokenLifetimeSeconds,
    }),
  };
}

/** What may be told of the keys of a snapshot. */
export function listing(
  { keys, nowMilliseconds }: RingSnapshot,
  { tokenLifetimeSeconds }: RotationPolicy,
): KeyListing[] {
  return withRetirement(keys).map((key) => ({
    kid: key.kid,
    purpose: key.purpose,
    generation: key.generation,
    state: stateOf(key, nowMilliseconds, tokenLifetimeSeconds),
    sealedBy: key.sealedBy,
    publishedAtMilliseconds: key.publishedAtMilliseconds,
    activeFromMilliseconds: key.activeFromMilliseconds,
    retireAtMilliseconds: key.retireAtMilliseconds,
    revokedAtMilliseconds: key.revokedAtMilliseconds,
  }));
}
