/**
 * The rule of the ledger (L8), in one pure place. It compares numbers and no clocks: a token carries the epoch at
 * which it was minted, and is dead iff an entry with a larger epoch matches it, or an unreleased standing entry
 * does, or its signing key is revoked, or its epoch lies below what the copy of the ledger still remembers.
 *
 * A mint that raced a revocation carries the older epoch, and so is dead on arrival. The mint's SQL and the
 * introspection's state the same rule; a property test holds them together.
 */
import { isWide, type LedgerKey, ledgerKey, type Revocation } from './revocation.ts';

/** What of a token, or of a session, the ledger can name. */
export type Revocable = {
  /** The ledger's position when it was minted or opened. */
  epoch: number;
  keys: ReadonlySet<LedgerKey>;
  /** Of the signing key. That kind ignores epochs, for a thief of the key writes any epoch. */
  signingKey?: LedgerKey;
  /** The management API's own tokens, and those of operator clients: wide targets pass them by (L4). */
  exemptFromWide: boolean;
};

export type LedgerView = {
  entries: readonly Revocation[];
  /** Below this epoch entries were pruned, so that nothing can be said: refuse (L5). */
  floor: number;
};

export function isDead(subject: Revocable, ledger: LedgerView): boolean {
  if (subject.epoch < ledger.floor) return true;
  return ledger.entries.some((entry) => kills(entry, subject));
}

function kills(entry: Revocation, { epoch, keys, signingKey, exemptFromWide }: Revocable): boolean {
  if (entry.releases !== null) return false;
  if (entry.key === signingKey) return true;
  if (!keys.has(entry.key) || (exemptFromWide && isWide(entry.key))) return false;
  return entry.epoch > epoch || (entry.standing && entry.releasedEpoch === null);
}

export type SessionFacts = { sessionId: string; clientId: string; subject: string; zone: string };

/** What names a session, and every token minted in it. */
export function sessionKeys({ sessionId, clientId, subject, zone }: SessionFacts): LedgerKey[] {
  return [
    ledgerKey({ kind: 'session', id: sessionId }),
    ledgerKey({ kind: 'agent', id: clientId }),
    ledgerKey({ kind: 'subject', id: subject }),
    ledgerKey({ kind: 'zone', id: zone }),
    ledgerKey({ kind: 'all' }),
  ];
}

export type TokenFacts = SessionFacts & { jti: string; resource: string; actions: readonly string[] };

/** Everything by which the ledger can name one token. */
export function tokenKeys(token: TokenFacts): LedgerKey[] {
  return [
    ...sessionKeys(token),
    ledgerKey({ kind: 'token', id: token.jti }),
    ledgerKey({ kind: 'resource', id: token.resource }),
    ...token.actions.map((action) => ledgerKey({ kind: 'action', id: action })),
  ];
}
