/**
 * The token endpoint's path through the capabilities, step by step: what is asked, who asks, does it hold the key,
 * is the proof fresh, may it, mint. Nothing is written before the last step, so whatever is refused earlier burns
 * neither proof nor assertion: a client that is asked for a nonce can send the same body again.
 */
import type { ClientAuthenticator } from '../agents/authenticate-client.ts';
import type { AgentClient, Client, OperatorClient } from '../agents/client.ts';
import { credentialsOfForm } from '../agents/client-credentials.ts';
import type { Catalogue } from '../catalogue/catalogue.ts';
import type { Nonces } from '../dpop/nonce.ts';
import { checkProof, type ProofCaches } from '../dpop/proof.ts';
import { checkFreshness, type NoncePolicy } from '../dpop/proof-freshness.ts';
import { hourOf, replayKey, type SpentKey } from '../dpop/replay-key.ts';
import { refuse } from '../errors/refusal.ts';
import type { RequestBounds } from '../http/rate-bound.ts';
import type { Answer, Call } from '../http/route.ts';
import { type Clock, numericDate } from '../time/clock.ts';
import { decideGrant, type Grant } from './decide-grant.ts';
import { decideOperatorGrant } from './decide-operator-grant.ts';
import type { MintedToken } from './mint-batch.ts';
import type { TokenMinter } from './mint-token.ts';
import { parseTokenRequest, type TokenRequest } from './token-request.ts';

export type TokenEndpointOptions = {
  issuer: string;
  /** Normalised URL of this endpoint: what `htu` has to name. */
  target: string;
  authenticator: ClientAuthenticator;
  bounds: RequestBounds;
  catalogue: Catalogue;
  resourceAliases: ReadonlyMap<string, string>;
  nonces: Nonces;
  noncePolicy: NoncePolicy;
  proofCaches: ProofCaches;
  minter: TokenMinter;
  /** With connections of its own, so that no flood of agents stands between an operator and the kill switch (L2). */
  operatorMinter: TokenMinter;
  /** Whether nothing may be minted for actions of sensitivity HIGH here, since nobody knows that it could be revoked. */
  isHighStopped: (resource: string) => boolean;
  clock: Clock;
};

export function createTokenEndpoint(options: TokenEndpointOptions): (call: Call) => Promise<Answer> {
  const { issuer, authenticator, bounds, catalogue, resourceAliases, nonces, clock } = options;

  function possessionOf(call: Call): { jkt: string; proof: SpentKey } {
    const now = numericDate(clock);
    const header = call.request.headers.dpop;
    if (typeof header !== 'string') {
      refuse('proof_missing', { hint: 'Send a DPoP proof (RFC 9449) signed with the key of the session.' });
    }
    const proof = checkProof(header, { method: 'POST', target: options.target }, now, options.proofCaches);
    call.known.jkt = proof.jkt;
    const spentAt = checkFreshness(proof, { nonces, policy: options.noncePolicy, now });
    const spent = { hour: hourOf(spentAt), key: replayKey('proof', proof.jkt, proof.jti) };
    call.known.proof = spent.key;
    return { jkt: proof.jkt, proof: spent };
  }

  function decide(request: TokenRequest, client: AgentClient | OperatorClient): Grant {
    if (client.kind === 'operator')
      return decideOperatorGrant(request, { operator: client.operator, issuer });
    const grant = decideGrant(request, { agent: client.agent, catalogue, resourceAliases });
    if (options.isHighStopped(grant.resource)) refuseHigh(grant, catalogue);
    return grant;
  }

  return async (call) => {
    const request = parseTokenRequest(call.form);
    const { client: found, kid, assertion } = authenticator.authenticate(credentialsOfForm(call), call);
    call.known.asked = request;
    const client = withSessions(found);
    const { jkt, proof } = possessionOf(call);
    bounds.admitMint(client.id);
    const minter = client.kind === 'operator' ? options.operatorMinter : options.minter;
    const minted = await minter.mint({
      client,
      grant: decide(request, client),
      jkt,
      proof,
      assertion,
      requestId: call.requestId,
      source: call.source.address,
      clientKid: kid,
      known: call.known,
    });
    return answerOf(minted, nonces);
  };
}

/** Ledger rule L26. Operators go on: it takes them to put it right. */
function refuseHigh({ actions }: Grant, catalogue: Catalogue): void {
  if (actions.every((name) => catalogue.actions.get(name)?.sensitivity !== 'HIGH')) return;
  refuse('drill_missed', {
    hint: 'Self-tests of the kill switch keep missing this resource, and the action is too sensitive to go on without.',
  });
}

function withSessions(client: Client): AgentClient | OperatorClient {
  if (client.kind !== 'resource') return client;
  return refuse('client_is_no_agent', {
    hint: 'Only agents and operators are given tokens; a resource server checks them.',
  });
}

/** RFC 6749 §5.1, RFC 9449 §5 and RFC 9396 §7. The next nonce comes along, so that it need not be asked for. */
function answerOf({ accessToken, expiresInSeconds, sessionId, grant }: MintedToken, nonces: Nonces): Answer {
  return {
    headers: { 'DPoP-Nonce': nonces.current() },
    body: {
      access_token: accessToken,
      token_type: 'DPoP',
      expires_in: expiresInSeconds,
      scope: grant.actions.join(' '),
      session_id: sessionId,
      ...(grant.call === undefined ? {} : { authorization_details: [grant.call] }),
    },
  };
}
