/**
 * What this verifier could prove of the ledger: the pages that brokers signed, as they came. After a failover to a
 * standby that was behind, they are all that is left of what was revoked last (L25); `mayfly ledger recover` takes them.
 *
 * So nothing is forgotten here because a broker says that the ledger goes on elsewhere. A page is kept while it holds
 * something of use that no newer page holds: what stands, a revoked signing key, an ordinary entry above the floor, or
 * the release of something that is kept.
 */
import type { LedgerEntry, LedgerPage } from '../revocations/ledger-entry.ts';

export type Evidence = {
  /** @param text as it was received; its signature and issuer were checked */
  keep(text: string, page: LedgerPage): void;
  /** Compact JWS, oldest first. */
  pages(): string[];
};

type Kept = { text: string; entries: readonly LedgerEntry[] };

const MAX_PAGES = 2_000;
/** About fifty thousand entries; a JWS is ASCII. */
const MAX_BYTES = 16_777_216;
/** Making room takes a look at every entry, so it makes some more at once. */
const ROOM = 0.75;

export function createEvidence({ maxPages = MAX_PAGES, maxBytes = MAX_BYTES } = {}): Evidence {
  let kept: Kept[] = [];
  /** Since nothing younger than it can be alive below. */
  let floor = 0;
  const bytesOf = (pages: readonly Kept[]) => pages.reduce((sum, { text }) => sum + text.length, 0);
  const isFull = (pages: readonly Kept[], share: number) =>
    pages.length > maxPages * share || bytesOf(pages) > maxBytes * share;

  function makeRoom(): void {
    kept = ofUse(kept, floor);
    if (!isFull(kept, ROOM)) return;
    const needed = new Set(kept.filter(({ entries }) => entries.some(isLasting)));
    for (const keepNeeded of [true, false]) {
      for (const page of kept) {
        if (!isFull(kept, ROOM)) return;
        if (!(keepNeeded && needed.has(page))) kept = kept.filter((each) => each !== page);
      }
    }
  }

  return {
    keep(text, page) {
      floor = Math.max(floor, page.floor);
      if (page.entries.length === 0) return;
      kept.push({ text, entries: page.entries });
      if (isFull(kept, 1)) makeRoom();
    },
    pages() {
      kept = ofUse(kept, floor);
      return kept.map(({ text }) => text);
    },
  };
}

/** Newer pages first, since they know of more releases. */
function ofUse(pages: readonly Kept[], floor: number): Kept[] {
  const held = new Set(pages.flatMap(({ entries }) => entries.filter(isLasting).map(({ epoch }) => epoch)));
  const released = releasedIn(pages);
  const covered = new Set<string>();

  function isOfUse(entry: LedgerEntry): boolean {
    if (covered.has(nameOf(entry))) return false;
    if (entry.epoch > floor || entry.kind === 'signing-key') return true;
    if (entry.releases !== null) return held.has(entry.releases);
    return entry.standing && !released.has(entry.epoch);
  }

  return pages
    .toReversed()
    .filter(({ entries }) => {
      const isNeeded = entries.some(isOfUse);
      if (isNeeded) for (const entry of entries) covered.add(nameOf(entry));
      return isNeeded;
    })
    .toReversed();
}

/** The epochs of the standing entries that some page says are released. */
function releasedIn(pages: readonly Kept[]): Set<number> {
  return new Set(
    pages.flatMap(({ entries }) =>
      entries.flatMap(({ epoch, releases, released_epoch }) =>
        released_epoch === null ? (releases ?? []) : epoch,
      ),
    ),
  );
}

function isLasting({ kind, standing, releases }: LedgerEntry): boolean {
  return standing || kind === 'signing-key' || releases !== null;
}

/** One epoch may be told of with two digests, by brokers of two databases. */
function nameOf({ epoch, digest, released_epoch }: LedgerEntry): string {
  return `${epoch} ${digest} ${released_epoch ?? ''}`;
}
