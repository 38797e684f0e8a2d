/**
 * Lets an agent in where the broker itself is the resource server: a live token for this resource and this action, a
 * fresh proof of its key for this very request; a token for one call only for that call, and once. The database applies
 * the rule of the ledger, spends the proof and such a token, and records it, in one statement (L23): whoever was revoked
 * or stopped a moment ago is refused now.
 */

import type { ActiveCatalogue } from '../catalogue/active-catalogue.ts';
import type { AwsAccess } from '../catalogue/aws-access.ts';
import type { Nonces } from '../dpop/nonce.ts';
import type { NoncePolicy } from '../dpop/proof-freshness.ts';
import { keyInRecord, type SpentKey } from '../dpop/replay-key.ts';
import { requireTarget } from '../dpop/target-url.ts';
import { Refusal, refuse } from '../errors/refusal.ts';
import type { Call } from '../http/route.ts';
import { createBuckets } from '../http/token-bucket.ts';
import { canonicalDigest } from '../json/canonical-digest.ts';
import { withChallenge } from '../operators/challenge.ts';
import { createPresentationReader, type PresentedClaims } from '../operators/presented-token.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { CredentialStore } from './credential-store.ts';

/** What a token of this broker's ring says. */
export type AgentClaims = PresentedClaims & {
  sub: string;
  zone: string;
  epoch: number;
  exp: number;
  authorization_details?: readonly Readonly<Record<string, unknown>>[] | undefined;
};

export type AgentGuard = {
  /**
   * @throws {Refusal} 401 `credentials_missing`, `invalid_token`, `invalid_dpop_proof` or `use_dpop_nonce`, 403
   *   `insufficient_scope`, each with its challenge; 429 `rate_limited`; 503 `catalogue_differs`
   */
  require<Accepted extends { aws: AwsAccess }, Result>(
    call: Call,
    action: string,
    work: {
      /** Looks at what is asked for, once the token is known to be for it and before anything is spent. */
      accept: () => Accepted;
      /**
       * What it is let in for; it may still find that the token died.
       * @param entry the line of the record that says it was let in
       */
      act: (accepted: Accepted, claims: AgentClaims, entry: string) => Promise<Result>;
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

  const read = createPresentationReader({
    audience: resource,
    readToken,
    targetOf: () => target,
    tokenHint: TOKEN_HINT,
    nonces,
    noncePolicy,
    clock,
  });

  /** A token for one call is for that one. */
  function checkCall(call: Call, action: string, { authorization_details: details = [] }: AgentClaims): void {
    for (const detail of details) {
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

  async function enter(
    call: Call,
    { action, role }: { action: string; role: AwsAccess },
    claims: AgentClaims,
    proof: SpentKey,
  ): Promise<string> {
    const id = newIdentifier('aud', clock);
    const applied = catalogue.applied() ?? refuse('catalogue_differs');
    const { alive, fresh, single } = await store.admit({
      jti: claims.jti,
      resource,
      catalogueVersion: applied.version,
      proof,
      role,
      entry: {
        id,
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
    return id;
  }

  return {
    async require(call, action, { accept, act }) {
      call.known.asked = { actions: [action], resource };
      try {
        const { claims, proof } = read(call, action);
        checkCall(call, action, claims);
        countRequest(claims.client_id);
        const accepted = accept();
        const entry = await enter(call, { action, role: accepted.aws }, claims, proof);
        return await act(accepted, claims, entry);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        throw withChallenge(error, { action, resourceMetadataUrl });
      }
    },
  };
}
