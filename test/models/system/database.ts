/**
 * The Postgres of the model: the ledger, its head, the rows of the verifiers, and what can happen to a database. Each
 * function is one statement. Its clock is the true time, and everybody else's is held against it.
 */
import { createHash } from 'node:crypto';
import type { LedgerEntry, LedgerPage } from '../../../src/revocations/ledger-entry.ts';
import type { TargetKind } from '../../../src/revocations/revocation.ts';
import type { Rule } from './rules.ts';

/** Shorter than tokens live, so that the floor has work to do. */
const HORIZON_MILLISECONDS = 20_000;
const EPOCH_MARGIN = 1_000_000;

export type Written = Pick<LedgerEntry, 'epoch' | 'digest' | 'kind' | 'target' | 'standing' | 'releases'> & {
  at: number;
};

export type VerifierRow = {
  generation: number;
  applied: number;
  renewedAt: number;
  leaseEndsAt: number;
  closed: boolean;
};

type Stored = {
  entries: readonly Written[];
  epoch: number;
  generation: number;
  digest: string;
  floor: number;
  timeline: number;
  movedAt: number;
  rows: ReadonlyMap<string, VerifierRow>;
};

export type NewEntry = {
  kind: TargetKind;
  target: string;
  standing: boolean;
  releases: number | null;
  /** Of the entry that is released: another one may have its epoch in another ledger. */
  releasedDigest?: string;
  /** Of an entry that was given its number before. */
  epoch?: number;
};

export type ModelDatabase = ReturnType<typeof createModelDatabase>;

export function createModelDatabase(options: {
  now: () => number;
  /** The most that a page holds. */
  pageEntries: number;
  off: Rule | undefined;
}) {
  const { now, pageEntries, off } = options;
  const empty = digestOf(['a ledger']);
  const before = new Map<string, string>();
  /** Releases that no entry tells of, where that rule is switched off. */
  const withoutEntry = new Map<number, number>();
  let timeline = 1;
  let incarnation = 1;
  let numbered = 0;
  /** By whomever: what a database forgot, those who read it have not. */
  let highest = { epoch: 0, generation: 1 };
  let stored: Stored = {
    entries: [],
    epoch: 0,
    generation: 1,
    digest: empty,
    floor: 0,
    timeline,
    movedAt: Number.NEGATIVE_INFINITY,
    rows: new Map(),
  };

  function append({ epoch = stored.epoch + 1, releasedDigest: _, ...entry }: NewEntry): Written {
    const digest = digestOf([stored.digest, epoch, entry.kind, entry.target, entry.standing, entry.releases]);
    const written = { ...entry, epoch, digest, at: now() };
    before.set(digest, stored.digest);
    const isNewest = epoch > stored.epoch;
    highest = { ...highest, epoch: Math.max(epoch, highest.epoch) };
    stored = {
      ...stored,
      entries: [...stored.entries, written].sort((one, other) => one.epoch - other.epoch),
      epoch: Math.max(epoch, stored.epoch),
      digest: isNewest ? digest : stored.digest,
    };
    return written;
  }

  function digestAt(epoch: number): string | null {
    if (epoch === stored.epoch) return stored.digest;
    return stored.entries.find((entry) => entry.epoch === epoch)?.digest ?? null;
  }

  function entryOf({ at: _, ...written }: Written, through: number): LedgerEntry {
    const released = releasedAt(written.epoch);
    return { ...written, released_epoch: released !== null && released <= through ? released : null };
  }

  function releasedAt(epoch: number): number | null {
    const release = stored.entries.find(({ releases }) => releases === epoch);
    return release?.epoch ?? withoutEntry.get(epoch) ?? null;
  }

  function lasts({ kind, standing, epoch }: Written): boolean {
    return kind === 'signing-key' || (standing && releasedAt(epoch) === null);
  }

  return {
    append,
    digestAt,
    head: () => ({ epoch: stored.epoch, generation: stored.generation, digest: stored.digest }),
    entries: () => stored.entries,
    movedAt: () => stored.movedAt,
    /** Changes whenever connections broke. */
    incarnation: () => incarnation,
    isKnownTimeline: () => stored.timeline === timeline,
    isOpen: (epoch: number, digest: string | undefined) =>
      digestAt(epoch) === digest && releasedAt(epoch) === null,
    isReleased: (epoch: number) => releasedAt(epoch) !== null,
    releaseInPlace: (epoch: number) => void withoutEntry.set(epoch, stored.epoch),
    /** Of a sequence, without any lock. */
    nextNumber() {
      numbered = Math.max(numbered, stored.epoch) + 1;
      return numbered;
    },

    /** @param generation null when only what comes after `since` is wanted, be it a part of a snapshot */
    read({ since: asked, generation }: { since: number; generation: number | null }): LedgerPage {
      const isKnown = generation === null || generation === stored.generation;
      const snapshot = !isKnown || asked === 0 || asked < stored.floor;
      const since = snapshot && generation !== null ? 0 : Math.min(asked, stored.epoch);
      const all = stored.entries.filter(
        (entry) => entry.epoch > since && (!snapshot || entry.epoch > stored.floor || lasts(entry)),
      );
      const some = all.slice(0, pageEntries);
      const through = some.length < all.length ? (some.at(-1)?.epoch ?? since) : stored.epoch;
      return {
        generation: stored.generation,
        snapshot,
        floor: off === 'L5: what is forgotten lies below a floor' ? 0 : stored.floor,
        since,
        since_digest: since === 0 ? null : digestAt(since),
        through,
        head: { epoch: stored.epoch, digest: stored.digest },
        entries: some.map((entry) => entryOf(entry, through)),
      };
    },

    row: (name: string) => stored.rows.get(name),
    rows: () => [...stored.rows],
    write(name: string, row: VerifierRow) {
      stored = { ...stored, rows: new Map(stored.rows).set(name, row) };
    },

    raiseFloor() {
      const old = stored.entries.filter(({ at }) => at < now() - HORIZON_MILLISECONDS);
      stored = { ...stored, floor: Math.max(stored.floor, old.at(-1)?.epoch ?? 0) };
    },

    backup: () => stored,
    /** What came after the backup is lost; it shows in the timeline only if this was a failover. */
    restore(backup: Stored, { failover }: { failover: boolean }) {
      stored = backup;
      incarnation += 1;
      if (failover) timeline += 1;
    },

    /** The owner of the database: from here on the ledger goes on in this one. @returns the entry that kills all */
    moveHead(): Written | null {
      const revokes = off !== 'L25: a moved head revokes all';
      const seen = off === 'L25: a moved head is above every epoch seen' ? stored : highest;
      highest = { ...highest, generation: Math.max(seen.generation + 1, highest.generation) };
      stored = {
        ...stored,
        generation: seen.generation + 1,
        epoch: revokes ? seen.epoch + EPOCH_MARGIN : stored.epoch,
        timeline,
        movedAt: now(),
      };
      return revokes ? append({ kind: 'all', target: '', standing: false, releases: null }) : null;
    },

    /** Whether the ledger that ends with one digest has the entry with the other in it. */
    hasIn(ledger: string | null, entry: string): boolean {
      for (let digest = ledger ?? undefined; digest !== undefined; digest = before.get(digest)) {
        if (digest === entry) return true;
      }
      return false;
    },
  };
}

function digestOf(parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}
