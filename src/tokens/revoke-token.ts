/**
 * Revocation by the client itself (RFC 7009). It needs no proof of the session's key: whoever lost that key has
 * to be able to revoke. The answer is the same for every token (§2.2), dead, foreign or made up.
 */
import type { AuthenticatedClient } from '../agents/authenticate-client.ts';
import type { AuditEntry } from '../audit/audit-entry.ts';
import { refuse } from '../errors/refusal.ts';
import type { NewRevocation } from '../revocations/revocation-store.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { TokenReader } from './introspect-token.ts';
import type { TokenStore } from './token-store.ts';

export type TokenRevoker = {
  /**
   * Resolves when the ledger has the entry, or when there is nothing to revoke.
   * @returns whose token it was not: true when a client tried to revoke a token of another one
   * @throws {Refusal} `invalid_client` when the assertion was used before, `rate_limited` when it revokes too much
   */
  revokeOwnToken(request: {
    token: string;
    by: AuthenticatedClient;
    requestId: string;
  }): Promise<{ foreign: boolean }>;
};

export function createTokenRevoker(options: {
  store: TokenStore;
  readToken: TokenReader;
  /** How many entries one client may make. @throws {Refusal} `rate_limited` */
  admit: (clientId: string) => void;
  /** Told when the ledger has an entry more. */
  announce: () => void;
  clock: Clock;
}): TokenRevoker {
  const { store, readToken, admit, announce, clock } = options;
  return {
    async revokeOwnToken({ token, by, requestId }) {
      const claims = readToken(token);
      const own = claims?.client_id === by.client.id ? claims : null;
      const recorded = own === null ? null : await store.find(own.jti);
      const living = recorded?.alive ? recorded : null;
      if (living !== null) admit(by.client.id);
      const entry: AuditEntry = {
        id: newIdentifier('aud', clock),
        action: 'token.revoked',
        outcome: 'allowed',
        requestId,
        actor: by.client.id,
        ...(recorded === null ? {} : { tokenId: recorded.jti, sessionId: recorded.sessionId }),
        details: { effect: living === null ? 'none' : 'revoked' },
      };
      const revocation =
        living === null ? undefined : revocationOf(living.jti, { actor: by.client.id, requestId });
      const fresh = await store.spend({ assertion: by.assertion, entry }, revocation);
      if (!fresh) refuse('assertion_replayed');
      if (revocation !== undefined) announce();
      return { foreign: claims !== null && own === null };
    },
  };
}

function revocationOf(jti: string, by: { actor: string; requestId: string }): NewRevocation {
  const reason = 'revoked by the client that it was issued to';
  return { target: { kind: 'token', id: jti }, standing: false, reason, ...by };
}
