/**
 * What the ledger's digest was at the epochs that a verifier knows. One ledger has one digest at an epoch, so whoever
 * says another speaks of another ledger (L17).
 */
import type { LedgerPage } from '../revocations/ledger-entry.ts';

export type KnownDigests = {
  at(epoch: number): string | null;
  set(epoch: number, digest: string): void;
  contradicts(page: LedgerPage): boolean;
  clear(): void;
};

/** Late pages and answers are compared that far back. */
const REMEMBERED_DIGESTS = 2_048;

export function createKnownDigests(): KnownDigests {
  const digests = new Map<number, string>();

  const differs = (epoch: number, digest: string | null) =>
    digest !== null && (digests.get(epoch) ?? digest) !== digest;

  return {
    at: (epoch) => digests.get(epoch) ?? null,
    set(epoch, digest) {
      digests.set(epoch, digest);
      for (const oldest of digests.keys()) {
        if (digests.size <= REMEMBERED_DIGESTS) break;
        digests.delete(oldest);
      }
    },
    contradicts: ({ since, since_digest, head, entries }) =>
      differs(since, since_digest) ||
      differs(head.epoch, head.digest) ||
      entries.some(({ epoch, digest }) => differs(epoch, digest)),
    clear: () => digests.clear(),
  };
}
