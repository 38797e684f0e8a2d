/**
 * The decision about one request, step by step. Each step refuses or goes on to the next, from what is cheap to what
 * costs something, and nothing is used up before everything else holds:
 *
 *   token     signed by this issuer for this resource, not expired
 *   proof     by the key of that token, for this method, URL and token (`ath`), just now
 *   action    the token names it
 *   call      a token for one call is for this one
 *   alive     ledger, time and lease, together and synchronously (L16)
 *   spend     the proof, and a token for one call; after each wait for a store `alive` is asked again
 */
import { tokenHash } from '../dpop/proof.ts';
import { normaliseTarget } from '../dpop/target-url.ts';
import { numericDate } from '../time/clock.ts';
import { type Call, callOf, checkCall } from './call.ts';
import type { Connection } from './connect.ts';
import { readCredentials } from './credentials.ts';
import { refuseDecision } from './decisions.ts';
import { momentOf } from './moment.ts';
import type { FreshProof } from './proof-memory.ts';
import { refuse } from './refusal.ts';
import type { ResourceRequest } from './resource-request.ts';
import { spendShared } from './shared-proofs.ts';
import type { TokenClaims } from './token.ts';
import type { VerifiedToken } from './verified-tokens.ts';
import type { CheckedOptions } from './verifier-options.ts';

export type Demand = {
  /** The action that this request is, as the catalogue names it. */
  action: string;
  /** Only a token for this one call will do, also if the catalogue would let sessions have the action. */
  requestToken?: boolean;
};

export type Granted = {
  granted: true;
  claims: TokenClaims;
  /** With a request token the arguments that were checked: act on these. Null with a token of a session. */
  call: { arguments: unknown } | null;
  /** To be set on the answer: the next nonce, when there is one to tell. */
  headers: Readonly<Record<string, string>>;
};

/** @throws {VerifierRefusal} */
export type Decide = (request: ResourceRequest, demand: Demand) => Promise<Granted>;

export function createDecide(
  options: CheckedOptions,
  { tokens, consume, sharedProofs, link: { state, actions } }: Connection,
): Decide {
  const { publicUrl, noncePolicy, proofs, clock } = options;
  const now = () => numericDate(clock);

  function checkProofOf(
    { claims }: VerifiedToken,
    sent: { proof: string; tokenHash: string; method: string; target: string },
  ): FreshProof {
    const { method, target, tokenHash } = sent;
    return proofs.check(sent.proof, { method, target, tokenHash, jkt: claims.cnf.jkt, noncePolicy }, now());
  }

  /** Synchronous: nothing may come between this and what follows from it. */
  function refuseUnlessAlive({ subject, claims }: VerifiedToken, action: string): void {
    const sensitivity = actions.sensitivityOf(action);
    refuseDecision(state.decide({ subject, exp: claims.exp, sensitivity }, momentOf(clock)));
  }

  /** RFC 9449 §8.2: on a success too, once another nonce is current than the client used. */
  function nextNonce(used: string | undefined): Record<string, string> {
    const nonce = proofs.nonce();
    return used === undefined || used === nonce ? {} : { 'DPoP-Nonce': nonce };
  }

  return async (request, demand) => {
    const { action } = demand;
    const { method } = request;
    const url = `${publicUrl}${request.target}`;
    const target = targetOf(request.target, url);
    const sent = readCredentials(request);
    const hash = tokenHash(sent.token);
    const token = await tokens.check(sent.token, hash, now);
    const proof = checkProofOf(token, { proof: sent.proof, tokenHash: hash, method, target });
    refuseUnlessCovered(token, action);
    const named = namedCall(token, demand);
    const call = named === null ? null : await checkedCall(named, { request, action, url });
    refuseUnlessAlive(token, action); // or proof and token would be used up for nothing
    proofs.spend(proof, now());
    if (sharedProofs !== undefined || call !== null) {
      if (sharedProofs !== undefined) await spendShared(sharedProofs, proof, options);
      if (call !== null) await consume(token.claims);
      refuseUnlessAlive(token, action); // what was true before the wait is not asked of what comes after it
    }
    return { granted: true, claims: token.claims, call, headers: nextNonce(proof.nonce) };
  };
}

function refuseUnlessCovered({ actions }: VerifiedToken, action: string): void {
  if (!actions.has(action)) {
    refuse('action_not_covered', { hint: 'Ask the broker for a token that names this action.' });
  }
}

/** @returns null for a token of a session */
function namedCall({ claims }: VerifiedToken, { requestToken }: Demand): Call | null {
  const call = callOf(claims);
  if (call === null && requestToken === true) {
    refuse('request_token_needed', { hint: 'This takes a token for one call: authorization_details.' });
  }
  return call;
}

/** @returns the arguments of this request, which are those that the token was asked for */
async function checkedCall(
  call: Call,
  { request, action, url }: { request: ResourceRequest; action: string; url: string },
): Promise<{ arguments: unknown }> {
  const given = await request.readArguments();
  checkCall(call, { action, method: request.method, url, arguments: given });
  return { arguments: given };
}

/** An absolute-form target would name a host of its own (RFC 9112 §3.2.2); it and `*` are not served. */
function targetOf(target: string, url: string): string {
  const normalised = target.startsWith('/') ? normaliseTarget(url) : null;
  return normalised ?? refuse('target_malformed', { hint: 'The request target has to be a plain path.' });
}
