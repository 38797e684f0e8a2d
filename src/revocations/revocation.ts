/**
 * An entry of the revocation ledger: from this epoch on, what matches its target is dead (L8). Nothing is ever
 * enumerated; ending a session with a million tokens is one entry.
 */

export const TARGET_KINDS = [
  'token',
  'session',
  'agent',
  'zone',
  'action',
  'resource',
  'subject',
  'signing-key',
  'all',
] as const;

export type TargetKind = (typeof TARGET_KINDS)[number];

export type RevocationTarget = { kind: Exclude<TargetKind, 'all'>; id: string } | { kind: 'all' };

/** How an entry and a token are matched: by the equality of such keys, and by nothing else. */
export type LedgerKey = string;

export type Revocation = {
  epoch: number;
  key: LedgerKey;
  /** A standing revocation also stops what is minted after it, until it is released. */
  standing: boolean;
  /** The epoch of the entry that released it. */
  releasedEpoch: number | null;
  /** The epoch of the standing entry that this entry releases; such an entry kills nothing itself. */
  releases: number | null;
};

export function ledgerKey(target: RevocationTarget): LedgerKey {
  return target.kind === 'all' ? 'all' : `${target.kind}:${target.id}`;
}

/** Wide targets do not reach the management API, so that a kill of everything can be read and released (L4). */
const WIDE_KINDS: readonly TargetKind[] = ['zone', 'action', 'resource', 'all'];

export function isWide(key: LedgerKey): boolean {
  return WIDE_KINDS.some((kind) => key === kind || key.startsWith(`${kind}:`));
}
