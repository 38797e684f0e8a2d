/**
 * Does whoever sends this request hold the key of the token? RFC 9449 §4.3 with all its checks, and §7.1: a proof
 * made for this method and URL and this very token, just now, with the key that the token names, never used before.
 * "Just now" and "never before" need a memory: the nonces that were given out, the proofs that were seen, and since
 * when. Verifiers on one origin share one, since a client keeps one nonce per origin.
 *
 * Without a nonce only `iat` says when a proof was made, and after a restart nobody remembers what was used before
 * it (L18). So a proof that might be older than this memory, allowing for a client whose clock is ahead, is
 * answered with a nonce: that costs an honest client one round trip in the first seconds, and a replay all.
 */
import { createSecretKey, randomBytes } from 'node:crypto';
import { createRecent } from '../bounds/recent.ts';
import { createNonces, NONCE_STEP_SECONDS } from '../dpop/nonce.ts';
import { checkProof, type Proof } from '../dpop/proof.ts';
import {
  checkFreshness,
  type NoncePolicy,
  PROOF_MAX_AGE_SECONDS,
  PROOF_MAX_AHEAD_SECONDS,
} from '../dpop/proof-freshness.ts';
import { Refusal } from '../errors/refusal.ts';
import type { JwsHeader } from '../jws/compact-jws.ts';
import type { VerificationKey } from '../jws/jwk.ts';
import { type Clock, numericDate, systemClock } from '../time/clock.ts';
import { refuse, type VerifierRefusalReason } from './refusal.ts';
import { createSpentProofs, type Spending } from './spent-proofs.ts';

export type ExpectedProof = {
  method: string;
  target: string;
  /** base64url SHA-256 of the token as it was sent: what `ath` has to be. */
  tokenHash: string;
  /** The thumbprint in the token. */
  jkt: string;
  noncePolicy: NoncePolicy;
};

export type FreshProof = Proof & { filedAt: number };

export type ProofMemory = {
  /** Every check but the last one. Burns nothing. @throws {VerifierRefusal} */
  check(proof: string, expected: ExpectedProof, now: number): FreshProof;
  /** The last check: synchronous, and from then on the proof is used. @throws {VerifierRefusal} */
  spend(proof: FreshProof, now: number): void;
  /** The nonce to hand out now. */
  nonce(): string;
};

/** Both a nonce (this step and the next) and an `iat` are good for this long. */
const MEMORY_SECONDS = Math.max(PROOF_MAX_AGE_SECONDS, 2 * NONCE_STEP_SECONDS);

const REMEMBERED_KEYS = 10_000;

/** No key may take more than this part of the memory from the others. */
const SHARE_OF_ONE_KEY = 0.1;

export const DEFAULT_MAX_PROOFS = 500_000;

const NONCE_SECRET_BYTES = 32;

/**
 * @param maxProofs how many are remembered before requests are refused: about a minute's worth
 * @param nonceSecret what several instances of one server share, 32 bytes or more, so that each takes the nonces of the
 *   others. Default: one of its own, by which neither the broker's nonces nor those before a restart mean anything.
 * @throws {TypeError} when the secret is too short
 */
export function createProofMemory({
  maxProofs = DEFAULT_MAX_PROOFS,
  nonceSecret = randomBytes(NONCE_SECRET_BYTES),
  clock = systemClock,
}: {
  maxProofs?: number;
  nonceSecret?: Uint8Array;
  clock?: Clock;
} = {}): ProofMemory {
  if (!(nonceSecret instanceof Uint8Array && nonceSecret.byteLength >= NONCE_SECRET_BYTES)) {
    throw new TypeError(`nonceSecret has to be at least ${NONCE_SECRET_BYTES} bytes`);
  }
  const secret = createSecretKey(nonceSecret);
  const nonces = createNonces({ secrets: () => ({ current: secret }), clock });
  const caches = {
    headers: createRecent<JwsHeader>(REMEMBERED_KEYS),
    keys: createRecent<VerificationKey>(REMEMBERED_KEYS),
  };
  const spent = createSpentProofs({
    maxProofs,
    maxProofsPerKey: Math.ceil(maxProofs * SHARE_OF_ONE_KEY),
    memorySeconds: MEMORY_SECONDS,
  });
  const youngAfter = numericDate(clock) + PROOF_MAX_AHEAD_SECONDS;

  return {
    check(text, { method, target, tokenHash, jkt, noncePolicy }, now) {
      const proof = asVerifierRefusal(() => checkProof(text, { method, target }, now, caches));
      if (proof.jkt !== jkt) {
        refuse('token_bound_to_another_key', { hint: 'The token is bound to another key than the proof.' });
      }
      if (proof.tokenHash !== tokenHash) {
        refuse('proof_token_hash', { hint: 'ath is the base64url SHA-256 of the token as it is sent.' });
      }
      const policy = proof.issuedAt > youngAfter ? noncePolicy : 'required';
      const filedAt = asVerifierRefusal(() => checkFreshness(proof, { nonces, policy, now }));
      return { ...proof, filedAt };
    },

    spend(proof, now) {
      const spending = spent.spend(proof, now);
      if (spending !== 'fresh') refuseSpending(spending);
    },

    nonce: () => nonces.current(),
  };
}

function refuseSpending(spending: Exclude<Spending, 'fresh'>): never {
  const again = 'Make a new proof for each request.';
  if (spending === 'replayed') refuse('proof_replayed', { hint: again });
  if (spending === 'forgotten') refuse('proof_forgotten', { hint: again });
  const retryAfterSeconds = MEMORY_SECONDS;
  if (spending === 'exhausted') refuse('proofs_of_key_exhausted', { retryAfterSeconds });
  refuse('proof_memory_full', { retryAfterSeconds });
}

/** The broker's words for what is wrong with a proof hold here too; what follows from them is another answer. */
function asVerifierRefusal<Value>(check: () => Value): Value {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { reason, hint, cause } = error;
    refuse(reason as VerifierRefusalReason, { ...(hint === undefined ? {} : { hint }), cause });
  }
}
