/**
 * Introspection (RFC 7662): a declared resource server asks whether a token is good *for it*. Whatever is wrong,
 * the answer is the same (§2.2): `active` false and nothing else. What is answered is decided in the statement that
 * spends the assertion, never before it: the answer of an earlier question may be old when that one had its turn.
 */
import type { AuthenticatedClient } from '../agents/authenticate-client.ts';
import type { ResourceClient } from '../agents/client.ts';
import { refuse } from '../errors/refusal.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { AccessTokenClaims } from './access-token.ts';
import type { TokenStore } from './token-store.ts';

export type Introspection = { active: false } | ({ active: true; token_type: 'DPoP' } & AccessTokenClaims);

export type TokenReader = (text: string) => (AccessTokenClaims & { kid: string }) | null;

export type TokenIntrospector = {
  /** @throws {Refusal} `invalid_client` when the assertion was used before */
  introspect(request: {
    token: string;
    by: AuthenticatedClient & { client: ResourceClient };
    requestId: string;
    /** Address that asked. */
    source: string;
  }): Promise<Introspection>;
};

export function createTokenIntrospector(options: {
  store: TokenStore;
  readToken: TokenReader;
  clock: Clock;
}): TokenIntrospector {
  const { store, readToken, clock } = options;
  return {
    async introspect({ token, by, requestId, source }) {
      const claims = readToken(token);
      const mine = claims?.aud === by.client.resource.audience ? claims : null;
      const { fresh, alive } = await store.introspect(mine?.jti ?? null, {
        assertion: by.assertion,
        entry: {
          id: newIdentifier('aud', clock),
          action: 'token.introspected',
          outcome: 'allowed',
          requestId,
          actor: by.client.id,
          details: { source },
        },
      });
      if (!fresh) refuse('assertion_replayed');
      if (mine === null || !alive) return { active: false };
      const { kid: _kid, ...members } = mine;
      return { active: true, token_type: 'DPoP', ...members };
    },
  };
}
