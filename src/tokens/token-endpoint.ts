/**
 * The token endpoint's path through the capabilities, step by step: what is asked, who asks, does it hold the key,
 * is the proof fresh, may it, mint. Nothing is written before the last step, so whatever is refused earlier burns
 * neither proof nor assertion: a client that is asked for a nonce can send the same body again.
 */
import type { ClientAuthenticator } from '../agents/authenticate-client.ts';
import type { AgentClient } from '../agents/client.ts';
import { credentialsOfForm } from '../agents/client-credentials.ts';
import type { Catalogue } from '../catalogue/catalogue.ts';
import type { Nonces } from '../dpop/nonce.ts';
import { checkProof, type Proof, type ProofCaches } from '../dpop/proof.ts';
import { checkFreshness, type NoncePolicy } from '../dpop/proof-freshness.ts';
import { hourOf, replayKey } from '../dpop/replay-key.ts';
import { refuse } from '../errors/refusal.ts';
import type { RequestBounds } from '../http/rate-bound.ts';
import type { Answer, Call } from '../http/route.ts';
import { type Clock, numericDate } from '../time/clock.ts';
import { decideGrant } from './decide-grant.ts';
import type { MintedToken } from './mint-batch.ts';
import type { TokenMinter } from './mint-token.ts';
import { parseTokenRequest } from './token-request.ts';

export type TokenEndpointOptions = {
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
  clock: Clock;
};

export function createTokenEndpoint(options: TokenEndpointOptions): (call: Call) => Promise<Answer> {
  const { authenticator, bounds, catalogue, resourceAliases, nonces, minter, clock } = options;

  function possessionOf(call: Call): { proof: Proof; spentAt: number } {
    const now = numericDate(clock);
    const header = call.request.headers.dpop;
    if (typeof header !== 'string') {
      refuse('proof_missing', { hint: 'Send a DPoP proof (RFC 9449) signed with the key of the session.' });
    }
    const proof = checkProof(header, { method: 'POST', target: options.target }, now, options.proofCaches);
    return { proof, spentAt: checkFreshness(proof, { nonces, policy: options.noncePolicy, now }) };
  }

  return async (call) => {
    const request = parseTokenRequest(call.form);
    const { client, kid, assertion } = authenticator.authenticate(credentialsOfForm(call), call.source);
    const agent = agentOnly(client);
    const { proof, spentAt } = possessionOf(call);
    bounds.admitMint(agent.id);
    const minted = await minter.mint({
      client: agent,
      grant: decideGrant(request, { agent: agent.agent, catalogue, resourceAliases }),
      jkt: proof.jkt,
      proof: { hour: hourOf(spentAt), key: replayKey('proof', proof.jkt, proof.jti) },
      assertion,
      requestId: call.requestId,
      source: call.source.address,
      clientKid: kid,
    });
    return answerOf(minted, nonces);
  };
}

function agentOnly(client: { kind: string }): AgentClient {
  if (client.kind !== 'agent') {
    refuse('client_is_no_agent', { hint: 'Only agents are given tokens; a resource server checks them.' });
  }
  return client as AgentClient;
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
