/** Tokens of the model, and what revocations mean for them by the order of events. */
import { ledgerKey } from '../../../src/revocations/revocation.ts';
import type { Revocable } from '../../../src/revocations/rule.ts';
import type { Written } from './database.ts';

export const AGENTS = ['reporter', 'mailer'];
/** Shorter than the horizon would have to be, so that floors matter. */
export const LIFETIME_MILLISECONDS = 40_000;

export type Token = {
  jti: string;
  agent: string;
  kid: string;
  epoch: number;
  /** When the snapshot of its checks was taken, in the order of events. */
  order: number;
  /** When that was, on the database clock; it lives from there. */
  at: number;
  /** What it says itself, NumericDate. */
  exp: number;
  isForged: boolean;
};

/** What was revoked, as a person would tell it. */
export type Revoked = {
  entry: Written;
  order: number;
  committedAt: number;
  isReleased: boolean;
  /** A database that forgot it was put in place of the one that had it. */
  isLost: boolean;
};

export function revocableOf({ jti, agent, kid, epoch }: Token): Revocable {
  return {
    epoch,
    keys: new Set([
      ledgerKey({ kind: 'token', id: jti }),
      ledgerKey({ kind: 'agent', id: agent }),
      ledgerKey({ kind: 'all' }),
    ]),
    signingKey: ledgerKey({ kind: 'signing-key', id: kid }),
    exemptFromWide: false,
  };
}

function names({ kind, target }: Written, { jti, agent }: Token): boolean {
  if (kind === 'token') return target === jti;
  return kind === 'all' || (kind === 'agent' && target === agent);
}

/** A forged token has no place in the order of events: only what stands, and its signing key, are sure to mean it. */
export function isKilled(token: Token, { entry, order, isReleased, isLost }: Revoked): boolean {
  if (entry.kind === 'signing-key') return entry.target === token.kid;
  if (!names(entry, token)) return false;
  if (entry.standing && !isReleased && !isLost) return true;
  return !token.isForged && order > token.order;
}
