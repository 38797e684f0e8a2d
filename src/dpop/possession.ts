/**
 * A proof at an operation where no token is shown: it says which key whoever asks holds, and was made for this request
 * at this moment. Spending it is for the statement that acts on it.
 */
import { refuse } from '../errors/refusal.ts';
import type { Call } from '../http/route.ts';
import { type Clock, numericDate } from '../time/clock.ts';
import type { Nonces } from './nonce.ts';
import { checkProof } from './proof.ts';
import { checkFreshness, type NoncePolicy } from './proof-freshness.ts';
import { hourOf, replayKey, type SpentKey } from './replay-key.ts';

export type Possession = { jkt: string; proof: SpentKey };

export type PossessionReader = (call: Call) => Possession;

/** @param target normalised URL of the operation, which is asked with POST */
export function createPossessionReader({
  target,
  nonces,
  noncePolicy,
  clock,
}: {
  target: string;
  nonces: Nonces;
  noncePolicy: NoncePolicy;
  clock: Clock;
}): PossessionReader {
  return ({ request, known }) => {
    const { dpop } = request.headers;
    if (typeof dpop !== 'string') {
      refuse('proof_missing', { hint: 'Send a DPoP proof (RFC 9449) signed with the key of the session.' });
    }
    const now = numericDate(clock);
    const proof = checkProof(dpop, { method: 'POST', target }, now);
    known.jkt = proof.jkt;
    const spentAt = checkFreshness(proof, { nonces, policy: noncePolicy, now });
    const spent = { hour: hourOf(spentAt), key: replayKey('proof', proof.jkt, proof.jti) };
    known.proof = spent.key;
    return { jkt: proof.jkt, proof: spent };
  };
}
