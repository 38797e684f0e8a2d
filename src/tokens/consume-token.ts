/**
 * Spending a request token (L19). The resource server asks right before it acts; the one row that changes is its
 * permission, and a repetition of the question is refused. The answer repeats the caller's nonce, so that it can
 * stand for this one request only.
 */
import type { AuthenticatedClient } from '../agents/authenticate-client.ts';
import type { ResourceClient } from '../agents/client.ts';
import { refuse } from '../errors/refusal.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import { isTokenId, type TokenStore } from './token-store.ts';

export type TokenConsumer = {
  /**
   * @returns NumericDate of the database clock
   * @throws {Refusal} `token_unknown`, `token_spent`, `token_dead`, or `invalid_client` for a used assertion
   */
  consume(request: {
    jti: string;
    by: AuthenticatedClient & { client: ResourceClient };
    requestId: string;
    /** Address that asked. */
    source: string;
  }): Promise<{ jti: string; consumedAt: number }>;
};

export function createTokenConsumer({ store, clock }: { store: TokenStore; clock: Clock }): TokenConsumer {
  return {
    async consume({ jti, by, requestId, source }) {
      if (!isTokenId(jti)) refuse('token_not_ours', { hint: NOT_OURS });
      const resource = by.client.resource.audience;
      const { fresh, consumedAt } = await store.consume(
        { jti, resource },
        {
          assertion: by.assertion,
          entry: {
            id: newIdentifier('aud', clock),
            action: 'token.consumed',
            outcome: 'allowed',
            requestId,
            actor: by.client.id,
            tokenId: jti,
            details: { source },
          },
        },
      );
      if (!fresh) refuse('assertion_replayed');
      if (consumedAt !== null) return { jti, consumedAt };
      return explainRefusal(store, jti, resource);
    },
  };
}

const NOT_OURS = 'Only a request token of this resource can be spent here.';

/** The decision is made; this only says why. */
async function explainRefusal(store: TokenStore, jti: string, resource: string): Promise<never> {
  const token = await store.find(jti);
  if (token === null || token.resource !== resource || !token.singleUse) {
    refuse('token_not_ours', { hint: NOT_OURS });
  }
  if (token.consumed) refuse('token_already_spent', { hint: 'A request token is good for one call.' });
  refuse('token_expired_or_revoked', { hint: 'The agent has to ask for a new token.' });
}
