/**
 * What one verifier knows of the ledger: a copy that only grows, and the furthest that a broker is known to have
 * been. Pages come from brokers, signed, but in any order, late and repeatedly, over whatever carries them; so each
 * is held against what is known before it is taken in.
 *
 *   seen further than applied     pages are missing; `missing` says where the next one begins
 *   another digest at an epoch    two ledgers claim to be one (L17): alarm, until a new generation
 *   another, newer generation     everything is forgotten; only a whole new copy counts (L17)
 *
 * No clock here: how long this may be believed is the lease's business.
 */
import { copyOfSnapshot, type LedgerCopy } from '../revocations/ledger-copy.ts';
import type { LedgerPage } from '../revocations/ledger-entry.ts';
import type { Revocable } from '../revocations/rule.ts';

export type Position = { generation: number; epoch: number };

/** A position, and the digest of the ledger there. */
export type Head = Position & { digest: string };

/**
 * What came of a page: `applied`, and now everything up to its head is known; `nothing new`, since it was late;
 * `incomplete`, since more pages are needed; `forked`; `unusable`, since no broker in its right mind says that.
 */
export type Taken = 'applied' | 'nothing new' | 'incomplete' | 'forked' | 'unusable';

export type Alarm = 'ledger_forked' | 'ledger_rolled_back';

export type KnownLedger = {
  /** What was applied; generation 0 while there is no copy. */
  position(): Position & { digest: string | null };
  /** The furthest that a signed message spoke of. */
  seen(): Position;
  /** Where the next page that is needed begins, 0 for a whole new copy; null when none is needed. */
  missing(): number | null;
  alarm(): Alarm | null;
  raise(alarm: Alarm): void;
  take(page: LedgerPage): Taken;
  /** Whether the ledger that is known here has this very head in it: null while it is not applied. */
  contains(head: Head): boolean | null;
  /** @throws {TypeError} while there is no copy */
  isDead(subject: Revocable): boolean;
};

/** Half a million entries. */
const MAX_SNAPSHOT_PAGES = 500;

/** Late pages and answers are compared that far back. */
const REMEMBERED_DIGESTS = 2_048;

function isBefore(one: Position, other: Position): boolean {
  if (one.generation !== other.generation) return one.generation < other.generation;
  return one.epoch < other.epoch;
}

export function createKnownLedger(): KnownLedger {
  let copy: LedgerCopy | null = null;
  let seen: Position = { generation: 0, epoch: 0 };
  let alarm: Alarm | null = null;
  /** Pages of a new copy that is not whole yet. */
  let loading: LedgerPage[] = [];
  /** Brokers remember too little to go on from this copy. */
  let leftBehind = false;
  /** Never falls (L5), whatever copies come. */
  let floor = 0;
  /** By epoch, of the copy's generation. */
  const digests = new Map<number, string>();

  function forget(): void {
    copy = null;
    alarm = null;
    loading = [];
    leftBehind = false;
    digests.clear();
  }

  function remember({ entries, head }: LedgerPage): void {
    for (const { epoch, digest } of entries) digests.set(epoch, digest);
    if (copy?.epoch === head.epoch) digests.set(head.epoch, head.digest);
    for (const epoch of digests.keys()) {
      if (digests.size <= REMEMBERED_DIGESTS) break;
      digests.delete(epoch);
    }
    floor = Math.max(floor, copy?.floor ?? 0);
  }

  const differs = (epoch: number, digest: string | null) =>
    digest !== null && (digests.get(epoch) ?? digest) !== digest;

  function contradicts({ since, since_digest, head, entries }: LedgerPage): boolean {
    return (
      differs(since, since_digest) ||
      differs(head.epoch, head.digest) ||
      entries.some(({ epoch, digest }) => differs(epoch, digest))
    );
  }

  function append(page: LedgerPage): Taken {
    if (copy === null || page.since > copy.epoch) return 'incomplete';
    if (page.through <= copy.epoch) return 'nothing new';
    if (!copy.append(page)) return 'unusable';
    remember(page);
    return page.through < page.head.epoch ? 'incomplete' : 'applied';
  }

  function load(page: LedgerPage): Taken {
    const last = loading.at(-1);
    if (page.since === 0) {
      // Each answer begins with the first page; whoever began anew each time would never come to the last.
      if (last !== undefined && last.floor === page.floor) return 'incomplete';
      loading = [];
    } else if (last?.through !== page.since) {
      leftBehind ||= copy !== null && page.since >= copy.epoch;
      return 'incomplete';
    } else if ((page.snapshot && page.floor !== last.floor) || !isNextTo(last, page)) {
      // A release between two floors is in neither page, and pages of two ledgers are a copy of neither: begin anew.
      loading = [];
      return 'incomplete';
    }
    if (loading.length === MAX_SNAPSHOT_PAGES) {
      loading = [];
      return 'unusable';
    }
    loading.push(page);
    if (page.through < page.head.epoch) return 'incomplete';
    const pages = loading;
    loading = [];
    return swapIn(pages);
  }

  /** In one step (L3), and never for less than is known already (L13). */
  function swapIn(pages: readonly LedgerPage[]): Taken {
    const fresh = copyOfPages(pages.map((page) => ({ ...page, floor: Math.max(page.floor, floor) })));
    if (fresh === null) return 'unusable';
    if (copy !== null && fresh.epoch < copy.epoch) return 'nothing new';
    copy = fresh;
    leftBehind = false;
    for (const page of pages) remember(page);
    return 'applied';
  }

  return {
    position: () =>
      copy === null
        ? { generation: 0, epoch: 0, digest: null }
        : { generation: copy.generation, epoch: copy.epoch, digest: digests.get(copy.epoch) ?? null },
    seen: () => seen,
    alarm: () => alarm,
    raise(raised) {
      alarm ??= raised;
    },

    missing() {
      const last = loading.at(-1);
      if (last !== undefined) return last.through;
      if (copy === null || leftBehind) return seen.generation === 0 ? null : 0;
      return copy.epoch < seen.epoch ? copy.epoch : null;
    },

    take(page) {
      const head = { generation: page.generation, epoch: page.head.epoch };
      if (head.generation < seen.generation) return 'nothing new';
      if (head.generation > seen.generation) forget();
      if (isBefore(seen, head)) seen = head;
      if (contradicts(page)) {
        alarm ??= 'ledger_forked';
        return 'forked';
      }
      if (!isOrderly(page)) return 'unusable';
      if (page.snapshot || loading.at(-1)?.through === page.since) return load(page);
      return isGapless(page) ? append(page) : 'unusable';
    },

    contains({ generation, epoch, digest }) {
      if (copy === null || isBefore(copy, { generation, epoch })) return null;
      return generation === copy.generation && digests.get(epoch) === digest;
    },

    isDead(subject) {
      if (copy === null) throw new TypeError('there is no copy of the ledger');
      return copy.isDead(subject);
    },
  };
}

/** The horizon moves while a copy is fetched: its last pages may be ordinary ones. */
function copyOfPages(pages: readonly LedgerPage[]): LedgerCopy | null {
  const copy = copyOfSnapshot(pages.filter(({ snapshot }) => snapshot));
  const isWhole = pages.every((page) => page.snapshot || copy?.append(page) === true);
  return isWhole ? copy : null;
}

function isOrderly({ since, through, head, entries }: LedgerPage): boolean {
  if (through < since || through > head.epoch) return false;
  return entries.every(
    ({ epoch }, index) => epoch > (entries[index - 1]?.epoch ?? since) && epoch <= through,
  );
}

/** Within a generation no epoch is left out (L1). A new copy may reach back over the gap between two generations. */
function isGapless({ since, through, entries }: LedgerPage): boolean {
  return entries.length === through - since;
}

/** The digest of a ledger says what all of it is, so equal digests are one past. */
function isNextTo({ entries, through }: LedgerPage, { since_digest }: LedgerPage): boolean {
  const last = entries.at(-1);
  return last?.epoch !== through || since_digest === null || last.digest === since_digest;
}
