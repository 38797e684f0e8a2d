/**
 * What one verifier knows of the ledger: a copy that only grows, and the furthest that a broker is known to have
 * been. Pages come from brokers, signed, but in any order, late and repeatedly, over whatever carries them; so each
 * is held against what is known before it is taken in.
 *
 *   seen further than applied     pages are missing; `missing` says where the next one begins
 *   another digest at an epoch    two ledgers claim to be one (L17): alarm, until a new generation
 *   another, newer generation     everything is forgotten; only a whole new copy counts (L17)
 *   a revoked key signed some     whoever has that key may have left out what was revoked, digests or not: nothing
 *                                 is decided by this copy until a whole new one is here, of which that key signed nothing
 *
 * No clock here: how long this may be believed is the lease's business.
 */
import type { LedgerCopy } from '../revocations/ledger-copy.ts';
import type { LedgerPage } from '../revocations/ledger-entry.ts';
import { ledgerKey } from '../revocations/revocation.ts';
import type { Revocable } from '../revocations/rule.ts';
import { createKnownDigests } from './known-digests.ts';
import { copyOfPages, createSnapshotLoading, type SignedPage } from './snapshot-loading.ts';

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
  /** @param signedBy `kid` of the ledger key */
  take(page: LedgerPage, signedBy: string): Taken;
  /** Whether a ledger key that signed some of the copy was revoked; until `take` has a whole new one. */
  isDoubted(): boolean;
  /** True once the ledger says that this signing key was revoked. */
  isRevokedKey(kid: string): boolean;
  /** Whether the ledger that is known here has this very head in it: null while it is not applied. */
  contains(head: Head): boolean | null;
  /** @throws {TypeError} while there is no copy */
  isDead(subject: Revocable): boolean;
};

function isBefore(one: Position, other: Position): boolean {
  if (one.generation !== other.generation) return one.generation < other.generation;
  return one.epoch < other.epoch;
}

export function createKnownLedger(): KnownLedger {
  let copy: LedgerCopy | null = null;
  let seen: Position = { generation: 0, epoch: 0 };
  let alarm: Alarm | null = null;
  const loading = createSnapshotLoading();
  /** Brokers remember too little to go on from this copy. */
  let leftBehind = false;
  /** Never falls (L5), whatever copies come. */
  let floor = 0;
  /** Of the copy's generation. */
  const digests = createKnownDigests();
  /** The keys that signed what is in the copy. */
  let signers = new Set<string>();
  let doubted = false;

  function forget(): void {
    copy = null;
    alarm = null;
    loading.clear();
    leftBehind = false;
    digests.clear();
    signers.clear();
    doubted = false;
  }

  function isRevokedKey(kid: string): boolean {
    if (copy === null) return false;
    const signingKey = ledgerKey({ kind: 'signing-key', id: kid });
    // Above every floor: a floor kills tokens, not keys, and a copy whose last page came late may end below it.
    return copy.isDead({ epoch: Number.MAX_SAFE_INTEGER, keys: new Set(), signingKey, exemptFromWide: true });
  }

  function doubtIfRevoked(): void {
    if (doubted || ![...signers].some(isRevokedKey)) return;
    doubted = true;
    loading.clear();
  }

  function remember({ entries, head }: LedgerPage): void {
    for (const { epoch, digest } of entries) digests.set(epoch, digest);
    if (copy?.epoch === head.epoch) digests.set(head.epoch, head.digest);
    floor = Math.max(floor, copy?.floor ?? 0);
  }

  function append({ page, signedBy }: SignedPage): Taken {
    if (copy === null || page.since > copy.epoch) return 'incomplete';
    if (page.through <= copy.epoch) return 'nothing new';
    if (!copy.append(page)) return 'unusable';
    remember(page);
    signers.add(signedBy);
    doubtIfRevoked();
    return page.through < page.head.epoch ? 'incomplete' : 'applied';
  }

  function load(signed: SignedPage): Taken {
    const loaded = loading.add(signed);
    if (loaded === 'apart') leftBehind ||= copy !== null && signed.page.since >= copy.epoch;
    if (loaded === 'apart' || loaded === 'incomplete') return 'incomplete';
    return loaded === 'too long' ? 'unusable' : swapIn(loaded);
  }

  /** In one step (L3), and never for less than is known already (L13). */
  function swapIn(signed: readonly SignedPage[]): Taken {
    const leastFloor = doubted ? 0 : floor;
    const pages = signed.map(({ page }) => ({ ...page, floor: Math.max(page.floor, leastFloor) }));
    const fresh = copyOfPages(pages);
    if (fresh === null) return 'unusable';
    if (copy !== null && fresh.epoch < copy.epoch) return 'nothing new';
    if (doubted) digests.clear();
    copy = fresh;
    floor = leastFloor;
    leftBehind = false;
    for (const page of pages) remember(page);
    signers = new Set(signed.map(({ signedBy }) => signedBy));
    doubted = false;
    doubtIfRevoked();
    return 'applied';
  }

  return {
    position: () =>
      copy === null
        ? { generation: 0, epoch: 0, digest: null }
        : { generation: copy.generation, epoch: copy.epoch, digest: digests.at(copy.epoch) },
    seen: () => seen,
    alarm: () => alarm,
    raise(raised) {
      alarm ??= raised;
    },

    missing() {
      const through = loading.through();
      if (through !== null) return through;
      if (copy === null || leftBehind || doubted) return seen.generation === 0 ? null : 0;
      return copy.epoch < seen.epoch ? copy.epoch : null;
    },

    isDoubted: () => doubted,
    isRevokedKey,

    take(page, signedBy) {
      const head = { generation: page.generation, epoch: page.head.epoch };
      if (head.generation < seen.generation) return 'nothing new';
      if (head.generation > seen.generation) forget();
      if (isBefore(seen, head)) seen = head;
      if (!doubted && digests.contradicts(page)) {
        alarm ??= 'ledger_forked';
        return 'forked';
      }
      if (!isOrderly(page)) return 'unusable';
      if (page.snapshot || loading.through() === page.since) return load({ page, signedBy });
      return isGapless(page) ? append({ page, signedBy }) : 'unusable';
    },

    contains({ generation, epoch, digest }) {
      if (copy === null || isBefore(copy, { generation, epoch })) return null;
      return generation === copy.generation && digests.at(epoch) === digest;
    },

    isDead(subject) {
      if (copy === null) throw new TypeError('there is no copy of the ledger');
      return copy.isDead(subject);
    },
  };
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
