/**
 * When a proof was made: by the server nonce in it if there is one, which no client clock can bend; else by its
 * `iat`, within a narrow window (RFC 9449 §4.3 items 10–11, §8, §11.1). Once the database was restored what was used
 * before is forgotten: a proof from then is answered by the challenge to make one with a nonce of now.
 */
import { refuse } from '../errors/refusal.ts';
import type { Nonces } from './nonce.ts';
import type { Proof } from './proof.ts';

export const PROOF_MAX_AGE_SECONDS = 60;
export const PROOF_MAX_AHEAD_SECONDS = 15;

export type NoncePolicy = 'required' | 'optional';

/**
 * @returns the time by which the proof is filed as spent, NumericDate; a function of signed bytes alone
 * @throws {Refusal} `use_dpop_nonce` with a `DPoP-Nonce` header, or `invalid_dpop_proof`
 */
export function checkFreshness(
  proof: Proof,
  { nonces, policy, now }: { nonces: Nonces; policy: NoncePolicy; now: number },
): number {
  if (proof.nonce !== undefined) {
    return nonces.issuedAt(proof.nonce) ?? refuse('proof_nonce_stale', challenge(nonces));
  }
  if (policy === 'required') refuse('proof_nonce_missing', challenge(nonces));
  if (proof.issuedAt < now - PROOF_MAX_AGE_SECONDS || proof.issuedAt > now + PROOF_MAX_AHEAD_SECONDS) {
    refuse('proof_time', {
      hint: `Without a nonce, iat has to lie between ${PROOF_MAX_AGE_SECONDS} s ago and ${PROOF_MAX_AHEAD_SECONDS} s ahead.`,
    });
  }
  // Its iat may be ahead of the time at which it was made, and used, and forgotten.
  if (proof.issuedAt <= nonces.forgottenUntil() + PROOF_MAX_AHEAD_SECONDS) {
    refuse('proof_nonce_missing', challenge(nonces));
  }
  return proof.issuedAt;
}

function challenge(nonces: Nonces) {
  return {
    hint: 'Send the request again with a new proof that carries the nonce of the DPoP-Nonce header.',
    headers: { 'DPoP-Nonce': nonces.current() },
  };
}
