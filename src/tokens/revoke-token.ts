/**
 * Revocation by the client itself (RFC 7009). It needs no proof of the session's key: whoever lost that key has
 * to be able to revoke. The answer is the same for every token (§2.2), dead, foreign or made up; so it is, too, while a
 * synchronous standby does not say that it has the revocation: 503, and whoever asks again learns when it has (§2.2.1).
 */
import type { AuthenticatedClient } from '../agents/authenticate-client.ts';
import type { AuditEntry } from '../audit/audit-entry.ts';
import type { Lanes } from '../bounds/lanes.ts';
import { refuse } from '../errors/refusal.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { TokenReader } from './introspect-token.ts';
import type { OwnRevocation, OwnRevocationStore, Spent } from './own-revocation-store.ts';
import type { RecordedToken, TokenStore } from './token-store.ts';

/** `source`: the address that asked. */
type Asked = { by: AuthenticatedClient; requestId: string; source: string };

export type TokenRevoker = {
  /**
   * Resolves when the ledger has the entry, or when there is nothing to revoke.
   * @returns whose token it was not: true when a client tried to revoke a token of another one
   * @throws {Refusal} `invalid_client` when the assertion was used before, `rate_limited` when it revokes too much,
   *   `temporarily_unavailable` when it is revoked here and it is not known whether the standby has it (L21)
   */
  revokeOwnToken(request: Asked & { token: string }): Promise<{ foreign: boolean }>;
};

const NOT_CONFIRMED = 'A synchronous standby does not answer; ask again, with a new assertion.';

export type TokenRevokerOptions = {
  store: Pick<TokenStore, 'find'>;
  /** For where there is nothing to revoke. */
  spend: OwnRevocationStore['spend'];
  readToken: TokenReader;
  ownRevocations: Pick<Lanes<OwnRevocation, Spent>, 'submit'>;
  /** How many entries one client may make. @throws {Refusal} `rate_limited` */
  admit: (clientId: string) => void;
  /** Told when the ledger has an entry more. */
  announce: () => void;
  clock: Clock;
};

export function createTokenRevoker(options: TokenRevokerOptions): TokenRevoker {
  const { store, spend, readToken, ownRevocations, admit, announce, clock } = options;

  /** There is nothing to revoke; that somebody asked is recorded all the same. */
  function spendInVain({ by, requestId, source }: Asked, recorded: RecordedToken | null): Promise<Spent> {
    const token = recorded === null ? {} : { tokenId: recorded.jti, sessionId: recorded.sessionId };
    const about = recorded === null ? {} : { agent: recorded.agentId };
    const entry: AuditEntry = {
      id: newIdentifier('aud', clock),
      action: 'token.revoked',
      outcome: 'allowed',
      requestId,
      actor: by.client.id,
      ...token,
      details: { effect: 'none', source, ...about },
    };
    return spend({ assertion: by.assertion, entry });
  }

  function revoke({ by, requestId, source }: Asked, { jti }: RecordedToken): Promise<Spent> {
    return ownRevocations.submit({
      lineId: newIdentifier('aud', clock),
      entryId: newIdentifier('rev', clock),
      jti,
      assertion: by.assertion,
      reason: 'revoked by the client that it was issued to',
      actor: by.client.id,
      requestId,
      source,
    });
  }

  return {
    async revokeOwnToken({ token, ...asked }) {
      const { by } = asked;
      const claims = readToken(token);
      const own = claims?.client_id === by.client.id ? claims : null;
      const recorded = own === null ? null : await store.find(own.jti);
      const living = recorded?.alive ? recorded : null;
      if (living !== null) admit(by.client.id);
      const { fresh, replicated } =
        living === null ? await spendInVain(asked, recorded) : await revoke(asked, living);
      if (!fresh) refuse('assertion_replayed');
      if (living !== null) announce();
      if (!replicated) refuse('replication_unknown', { hint: NOT_CONFIRMED });
      return { foreign: claims !== null && own === null };
    },
  };
}
