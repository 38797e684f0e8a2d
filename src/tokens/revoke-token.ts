/**
 * Revocation by the client itself (RFC 7009). It needs no proof of the session's key: whoever lost that key has
 * to be able to revoke. The answer is the same for every token (§2.2), dead, foreign or made up.
 */
import type { AuthenticatedClient } from '../agents/authenticate-client.ts';
import type { AuditEntry } from '../audit/audit-entry.ts';
import type { Lanes } from '../bounds/lanes.ts';
import { refuse } from '../errors/refusal.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { TokenReader } from './introspect-token.ts';
import type { OwnRevocation } from './own-revocation-store.ts';
import type { RecordedToken, TokenStore } from './token-store.ts';

type Asked = { by: AuthenticatedClient; requestId: string };

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
  ownRevocations: Pick<Lanes<OwnRevocation, boolean>, 'submit'>;
  /** How many entries one client may make. @throws {Refusal} `rate_limited` */
  admit: (clientId: string) => void;
  /** Told when the ledger has an entry more. */
  announce: () => void;
  clock: Clock;
}): TokenRevoker {
  const { store, readToken, ownRevocations, admit, announce, clock } = options;

  /** There is nothing to revoke; that somebody asked is recorded all the same. */
  function spendInVain({ by, requestId }: Asked, recorded: RecordedToken | null): Promise<boolean> {
    const token = recorded === null ? {} : { tokenId: recorded.jti, sessionId: recorded.sessionId };
    const entry: AuditEntry = {
      id: newIdentifier('aud', clock),
      action: 'token.revoked',
      outcome: 'allowed',
      requestId,
      actor: by.client.id,
      ...token,
      details: { effect: 'none' },
    };
    return store.spend({ assertion: by.assertion, entry });
  }

  function revoke({ by, requestId }: Asked, { jti, sessionId }: RecordedToken): Promise<boolean> {
    return ownRevocations.submit({
      lineId: newIdentifier('aud', clock),
      ledgerLineId: newIdentifier('aud', clock),
      entryId: newIdentifier('rev', clock),
      jti,
      sessionId,
      assertion: by.assertion,
      reason: 'revoked by the client that it was issued to',
      actor: by.client.id,
      requestId,
    });
  }

  return {
    async revokeOwnToken({ token, by, requestId }) {
      const claims = readToken(token);
      const own = claims?.client_id === by.client.id ? claims : null;
      const recorded = own === null ? null : await store.find(own.jti);
      const living = recorded?.alive ? recorded : null;
      if (living !== null) admit(by.client.id);
      const fresh =
        living === null
          ? await spendInVain({ by, requestId }, recorded)
          : await revoke({ by, requestId }, living);
      if (!fresh) refuse('assertion_replayed');
      if (living !== null) announce();
      return { foreign: claims !== null && own === null };
    },
  };
}
