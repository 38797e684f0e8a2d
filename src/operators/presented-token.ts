/**
 * A token that is shown to the broker itself, where the broker is the resource server: whose it is, that whoever shows
 * it has its key and made this proof for this very request (RFC 9449 §7.1), and that it is for this place and this
 * action. Nothing is asked of the database here: whether it is alive, and its proof fresh, the guards ask it last.
 */
import type { Nonces } from '../dpop/nonce.ts';
import { checkProof, tokenHash } from '../dpop/proof.ts';
import { checkFreshness, type NoncePolicy } from '../dpop/proof-freshness.ts';
import { hourOf, replayKey, type SpentKey } from '../dpop/replay-key.ts';
import { refuse } from '../errors/refusal.ts';
import type { Call } from '../http/route.ts';
import { type Clock, numericDate } from '../time/clock.ts';
import { readAccessToken, readProofHeader } from './access-credentials.ts';

/** What has to be known of a token to let somebody in by it. */
export type PresentedClaims = {
  client_id: string;
  jti: string;
  sid: string;
  aud: string;
  scope: string;
  cnf: { jkt: string };
};

export type Presentation<Claims> = {
  claims: Claims;
  /** What marks the proof as used. */
  proof: SpentKey;
};

/** Reads the request's token and proof, for one action. Writes into `call.known` what it finds out on the way. */
export type ReadPresentation<Claims> = (call: Call, action: string) => Presentation<Claims>;

/**
 * @param options.readToken the claims of a token that this broker's ring signed, whether alive or not; else null
 * @param options.targetOf the URL that the proof has to name, normalised
 * @param options.tokenHint the same for whatever is wrong with the token
 * @returns a reader that throws {Refusal} `credentials_missing`, `invalid_token`, `invalid_dpop_proof`,
 *   `use_dpop_nonce` or `insufficient_scope`, without a challenge yet
 */
export function createPresentationReader<Claims extends PresentedClaims>(options: {
  audience: string;
  readToken: (text: string) => Claims | null;
  targetOf: (call: Call) => string;
  tokenHint: string;
  nonces: Nonces;
  noncePolicy: NoncePolicy;
  clock: Clock;
}): ReadPresentation<Claims> {
  const { audience, readToken, targetOf, tokenHint: hint, nonces, noncePolicy, clock } = options;

  /** Whose it was; nothing shows yet that whoever sent it is the same. */
  function claimsOf(text: string, { known }: Call): Claims {
    const claims = readToken(text) ?? refuse('token_unreadable', { hint });
    known.claimedClient = claims.client_id;
    known.tokenId = claims.jti;
    known.sessionId = claims.sid;
    return claims;
  }

  function checkPossession(call: Call, text: string, { cnf, client_id }: Claims): SpentKey {
    const { known, request } = call;
    const now = numericDate(clock);
    const target = targetOf(call);
    const proof = checkProof(readProofHeader(call), { method: request.method ?? '', target }, now);
    if (proof.tokenHash !== tokenHash(text)) {
      refuse('proof_token_hash', { hint: 'ath is base64url(SHA-256) of the access token.' });
    }
    // RFC 9449 §7.1: the wrong key is a matter of the token
    if (proof.jkt !== cnf.jkt) refuse('token_bound_to_another_key', { hint });
    known.jkt = proof.jkt;
    const spentAt = checkFreshness(proof, { nonces, policy: noncePolicy, now });
    known.actor = client_id;
    known.proof = replayKey('proof', proof.jkt, proof.jti);
    return { hour: hourOf(spentAt), key: known.proof };
  }

  function checkReach({ aud, scope }: Claims, action: string): void {
    if (aud !== audience) refuse('token_audience', { hint });
    if (!scope.split(' ').includes(action)) {
      refuse('action_not_covered', { hint: 'Get a token for the action that scope names.' });
    }
  }

  return (call, action) => {
    const text = readAccessToken(call);
    const claims = claimsOf(text, call);
    const proof = checkPossession(call, text, claims);
    checkReach(claims, action);
    return { claims, proof };
  };
}
