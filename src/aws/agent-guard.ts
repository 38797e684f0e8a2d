/**
 * Lets an agent in where the broker itself is the resource server: a live token for this resource and this action, a
 * fresh proof of its key for this very request; a token for one call only for that call, and once. The database applies
 * the rule of the ledger, spends the proof and such a token, and records it, in one statement (L23): whoever was revoked
 * or stopped a moment ago is refused now.
 */

import type { ActiveCatalogue } from '../catalogue/active-catalogue.ts';
import type { Nonces } from '../dpop/nonce.ts';
import { checkProof, tokenHash } from '../dpop/proof.ts';
import { checkFreshness, type NoncePolicy } from '../dpop/proof-freshness.ts';
import { hourOf, keyInRecord, replayKey, type SpentKey } from '../dpop/replay-key.ts';
import { requireTarget } from '../dpop/target-url.ts';
import { Refusal, refuse } from '../errors/refusal.ts';
import type { Call } from '../http/route.ts';
import { createBuckets } from '../http/token-bucket.ts';
import { canonicalDigest } from '../json/canonical-digest.ts';
import { readAccessToken, readProofHeader } from '../operators/access-credentials.ts';
import { withChallenge } from '../operators/challenge.ts';
import { type Clock, numericDate } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { CredentialStore } from './credential-store.ts';

/** What a token of this broker's ring says. */
export type AgentClaims = {
  client_id: string;
  sub: string;
  aud: string;
  jti: string;
  sid: string;
  zone: string;
  scope: string;
  epoch: number;
  exp: number;
  cnf: { jkt: string };
  authorization_details?: readonly Readonly<Record<string, unknown>>[] | undefined;
};

export type AgentGuard = {
  /**
   * @throws {Refusal} 401 `credentials_missing`, `invalid_token`, `invalid_dpop_proof` or `use_dpop_nonce`, 403
   *   `insufficient_scope`, each with its challenge; 429 `rate_limited`; 503 `catalogue_differs`
   */
  require<Accepted, Result>(
    call: Call,
    action: string,
    work: {
      /** Looks at what is asked for, once the token is known to be for it and before anything is spent. */
      accept: () => Accepted;
      /** What it is let in for; it may still find that the token died. */
      act: (accepted: Accepted, claims: AgentClaims) => Promise<Result>;
    },
  ): Promise<Result>;
};

export type AgentGuardOptions = {
  /** Audience of the tokens, and where its metadata is. */
  resource: string;
  resourceMetadataUrl: string;
  /** The URL that proofs, and tokens for one call, name. */
  url: string;
  readToken: (text: string) => AgentClaims | null;
  store: Pick<CredentialStore, 'admit'>;
  catalogue: ActiveCatalogue;
  nonces: Nonces;
  noncePolicy: NoncePolicy;
  clock: Clock;
};

/** AWS's own clients ask again minutes before the end; who asks more often than this goes wrong. */
const RATE = { perSecond: 20, burst: 100 };
const MAX_AGENTS = 10_000;
const TOKEN_HINT = 'It is unknown, expired, revoked, spent or for something else: get a new one.';

export function createAgentGuard(options: AgentGuardOptions): AgentGuard {
  const { resource, resourceMetadataUrl, url, readToken, store, catalogue, nonces, noncePolicy, clock } =
    options;
  const buckets = createBuckets({ rate: RATE, maxEntries: MAX_AGENTS, clock });
  const target = requireTarget(url);

  function claimsOf(text: string, { known }: Call): AgentClaims {
    const claims = readToken(text) ?? refuse('token_unreadable', { hint: TOKEN_HINT });
    known.claimedClient = claims.client_id;
    known.tokenId = claims.jti;
    known.sessionId = claims.sid;
    return claims;
  }

  /** @returns what marks the proof as used */
  function checkPossession(call: Call, text: string, { cnf, client_id }: AgentClaims): SpentKey {
    const now = numericDate(clock);
    const proof = checkProof(readProofHeader(call), { method: call.request.method ?? '', target }, now);
    if (proof.tokenHash !== tokenHash(text)) {
      refuse('proof_token_hash', { hint: 'ath is base64url(SHA-256) of the access token.' });
    }
    if (proof.jkt !== cnf.jkt) refuse('token_bound_to_another_key', { hint: TOKEN_HINT });
    call.known.jkt = proof.jkt;
    const spentAt = checkFreshness(proof, { nonces, policy: noncePolicy, now });
    call.known.actor = client_id;
    call.known.proof = replayKey('proof', proof.jkt, proof.jti);
    return { hour: hourOf(spentAt), key: call.known.proof };
  }

  function checkReach(call: Call, action: string, claims: AgentClaims): void {
    if (claims.aud !== resource) refuse('token_audience', { hint: TOKEN_HINT });
    if (!claims.scope.split(' ').includes(action)) {
      refuse('action_not_covered', { hint: 'Get a token for the action that scope names.' });
    }
    for (const detail of claims.authorization_details ?? []) {
      const isThis =
        detail.action === action &&
        detail.method === call.request.method &&
        detail.url === url &&
        detail.arguments_digest === canonicalDigest(call.json ?? {});
      if (!isThis)
        refuse('call_differs', { hint: 'The token is for another call: compare the RFC 8785 digest.' });
    }
  }

  function countRequest(agent: string): void {
    const wait = buckets.take(agent);
    if (wait === 0) return;
    refuse('client_rate', { headers: { 'Retry-After': String(Math.max(1, Math.ceil(wait / 1_000))) } });
  }

  async function enter(call: Call, action: string, claims: AgentClaims, proof: SpentKey): Promise<void> {
    const applied = catalogue.applied() ?? refuse('catalogue_differs');
    const { alive, fresh, single } = await store.admit({
      jti: claims.jti,
      resource,
      catalogueVersion: applied.version,
      proof,
      entry: {
        id: newIdentifier('aud', clock),
        action: 'aws.credentials_requested',
        outcome: 'allowed',
        requestId: call.requestId,
        actor: claims.client_id,
        tokenId: claims.jti,
        details: {
          action,
          source: call.source.address,
          agent: claims.sub,
          jkt: claims.cnf.jkt,
          proof: keyInRecord(proof.key),
        },
      },
    });
    if (!alive || (fresh && !single)) refuse('token_inactive', { hint: TOKEN_HINT });
    if (!fresh) refuse('proof_replayed', { hint: 'Make a new proof for each request.' });
  }

  return {
    async require(call, action, { accept, act }) {
      call.known.asked = { actions: [action], resource };
      try {
        const text = readAccessToken(call);
        const claims = claimsOf(text, call);
        const proof = checkPossession(call, text, claims);
        checkReach(call, action, claims);
        countRequest(claims.client_id);
        const accepted = accept();
        await enter(call, action, claims, proof);
        return await act(accepted, claims);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        throw withChallenge(error, { action, resourceMetadataUrl });
      }
    },
  };
}
