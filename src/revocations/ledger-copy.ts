/**
 * A copy of the ledger: what is needed to apply the rule (L8) to a token in constant time, and nothing more. It only
 * moves forward, page by page; what it may have forgotten it refuses, for a token below the floor is dead (L5).
 *
 * State without a clock: whether the copy is fresh enough to be believed is the lease's business.
 */
import type { LedgerEntry, LedgerPage } from './ledger-entry.ts';
import { isWide, type LedgerKey, ledgerKey } from './revocation.ts';
import type { Revocable } from './rule.ts';

export type LedgerCopy = {
  readonly generation: number;
  readonly epoch: number;
  readonly floor: number;
  /** Of the ledger at `epoch`; null while only a part of the pages up to the head has come. */
  readonly digest: string | null;
  /** How many keys are remembered. */
  readonly size: number;
  /** True when an entry kills what was minted or opened at `subject.epoch`. */
  isDead(subject: Revocable): boolean;
  /**
   * Takes in one more page; a late or repeated one changes nothing.
   * @returns false when the page does not continue this copy: a gap, a snapshot or another generation. The copy is
   *   then as it was; ask for a snapshot.
   */
  append(page: LedgerPage): boolean;
};

/** What is known of one key. */
type Marks = {
  /** The newest entry that kills what is older than it. */
  newest: number;
  /** Standing entries that nobody has released yet. */
  standing: Set<number>;
};

/** Forgetting looks at every key, so it waits until there are that many times more than after the last time. */
const GROWTH_BEFORE_FORGETTING = 2;
const MIN_SIZE_BEFORE_FORGETTING = 1_000;

/**
 * A copy from the pages of one snapshot, swapped in whole (L3); its floor is the largest seen (L5).
 * @returns null when the pages are not one snapshot
 */
export function copyOfSnapshot(pages: readonly LedgerPage[]): LedgerCopy | null {
  const [first, ...rest] = pages;
  if (first === undefined || !first.snapshot) return null;
  const copy = createCopy(first);
  for (const page of rest) {
    const continues = page.snapshot && page.since === copy.epoch && page.generation === copy.generation;
    if (!continues) return null;
    copy.take(page);
  }
  return copy;
}

function createCopy(first: LedgerPage): LedgerCopy & { take(page: LedgerPage): void } {
  const { generation } = first;
  const marks = new Map<LedgerKey, Marks>();
  let [epoch, floor] = [first.since, first.floor];
  let digest: string | null = null;
  let sizeAfterForgetting = MIN_SIZE_BEFORE_FORGETTING;

  function take(page: LedgerPage): void {
    for (const entry of page.entries) mark(marks, entry);
    epoch = page.through;
    digest = page.head.epoch === page.through ? page.head.digest : null;
    floor = Math.max(floor, page.floor);
    if (marks.size < sizeAfterForgetting * GROWTH_BEFORE_FORGETTING) return;
    forget(marks, floor);
    sizeAfterForgetting = Math.max(marks.size, MIN_SIZE_BEFORE_FORGETTING);
  }

  take(first);
  return {
    generation,
    get epoch() {
      return epoch;
    },
    get floor() {
      return floor;
    },
    get digest() {
      return digest;
    },
    get size() {
      return marks.size;
    },
    take,
    isDead: (subject) => subject.epoch < floor || isKilled(subject, marks),
    append(page) {
      if (page.generation !== generation || page.snapshot || page.since > epoch) return false;
      if (page.through > epoch)
        take({ ...page, entries: page.entries.filter((entry) => entry.epoch > epoch) });
      return true;
    },
  };
}

function mark(marks: Map<LedgerKey, Marks>, entry: LedgerEntry): void {
  const key = ledgerKey(entry.kind === 'all' ? { kind: 'all' } : { kind: entry.kind, id: entry.target });
  const known = marks.get(key) ?? { newest: 0, standing: new Set<number>() };
  marks.set(key, known);
  if (entry.releases !== null) {
    known.standing.delete(entry.releases);
    return;
  }
  known.newest = Math.max(known.newest, entry.epoch);
  if (entry.standing && entry.released_epoch === null) known.standing.add(entry.epoch);
}

/** What only kills below the floor kills nothing that is alive. Revoked signing keys are never forgotten. */
function forget(marks: Map<LedgerKey, Marks>, floor: number): void {
  for (const [key, { newest, standing }] of marks) {
    if (newest <= floor && standing.size === 0 && !key.startsWith('signing-key:')) marks.delete(key);
  }
}

function isKilled(
  { epoch, keys, signingKey, exemptFromWide }: Revocable,
  marks: ReadonlyMap<LedgerKey, Marks>,
): boolean {
  if (signingKey !== undefined && marks.has(signingKey)) return true;
  for (const key of keys) {
    const known = marks.get(key);
    if (known === undefined || (exemptFromWide && isWide(key))) continue;
    if (known.newest > epoch || known.standing.size > 0) return true;
  }
  return false;
}
