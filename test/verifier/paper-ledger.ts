/**
 * The ledger as brokers read it, on paper: entries, digests, pages and answers by the rules of the real one, and the
 * accidents that can happen to a database.
 */
import { hash } from 'node:crypto';
import type { LedgerEntry, LedgerPage } from '../../src/revocations/ledger-entry.ts';
import { ledgerKey, type Revocation, type RevocationTarget } from '../../src/revocations/revocation.ts';
import type { Head } from '../../src/verifier/known-ledger.ts';

export type NewEntry = { target: RevocationTarget; standing?: boolean; releases?: number };

export type PaperLedger = ReturnType<typeof createPaperLedger>;

const START = digestOf('start', '');

export function createPaperLedger({ maxPageEntries = 1_000 }: { maxPageEntries?: number } = {}) {
  let entries: LedgerEntry[] = [];
  let generation = 1;
  let floor = 0;
  /** Where an empty stretch began: a head that was moved. */
  let moved = { epoch: 0, digest: START };

  function head(): Head {
    const last = entries.at(-1) ?? moved;
    const { epoch, digest } = last.epoch < moved.epoch ? moved : last;
    return { generation, epoch, digest };
  }

  function append({ target, standing = false, releases }: NewEntry): number {
    const { epoch: before, digest: previous } = head();
    const epoch = before + 1;
    const { kind } = target;
    const id = target.kind === 'all' ? '' : target.id;
    const released = releases === undefined ? undefined : entries.find((entry) => entry.epoch === releases);
    if (released !== undefined) released.released_epoch = epoch;
    entries.push({
      epoch,
      digest: digestOf(previous, `${epoch} ${kind} ${id} ${standing} ${releases}`),
      kind,
      target: id,
      standing,
      releases: releases ?? null,
      released_epoch: null,
    });
    return epoch;
  }

  /** What `GET /v1/revocations` says: all that came after `since`, or as much of it as is remembered. */
  function pageSince(since: number): LedgerPage {
    const snapshot = since === 0 || since < floor;
    const wanted = entries.filter(
      (entry) =>
        entry.epoch > since &&
        (!snapshot || entry.epoch > floor || entry.kind === 'signing-key' || isInForce(entry)),
    );
    const sent = wanted.slice(0, maxPageEntries);
    const { epoch, digest } = head();
    const through = wanted.length > sent.length ? (sent.at(-1)?.epoch ?? since) : epoch;
    return {
      generation,
      snapshot,
      floor,
      since,
      since_digest: entries.find((entry) => entry.epoch === since)?.digest ?? null,
      through,
      head: { epoch, digest },
      entries: sent.map((entry) => ({
        ...entry,
        released_epoch: (entry.released_epoch ?? through + 1) <= through ? entry.released_epoch : null,
      })),
    };
  }

  return {
    head,
    append,
    pageSince,

    /** What the answer to a question carries. */
    pageFor({ generation: knows, epoch }: { generation: number; epoch: number }): LedgerPage {
      const { epoch: newest, digest } = head();
      if (knows !== generation || epoch < floor) return pageSince(0);
      if (epoch <= newest) return pageSince(epoch);
      const at = { epoch: newest, digest };
      return {
        generation,
        snapshot: false,
        floor,
        since: newest,
        since_digest: digest,
        through: newest,
        head: at,
        entries: [],
      };
    },

    standing: () => entries.filter((entry) => entry.standing && isInForce(entry)),

    /** The entries as the rule reads them, up to and with `epoch`. */
    asRevocations: (epoch: number): Revocation[] =>
      entries
        .filter((entry) => entry.epoch <= epoch)
        .map((entry) => ({
          epoch: entry.epoch,
          key: ledgerKey(entry.kind === 'all' ? { kind: 'all' } : { kind: entry.kind, id: entry.target }),
          standing: entry.standing,
          releasedEpoch: (entry.released_epoch ?? epoch + 1) <= epoch ? entry.released_epoch : null,
          releases: entry.releases,
        })),

    /** Ordinary entries at or below it are forgotten. */
    raiseFloor(to: number): void {
      floor = Math.max(floor, Math.min(to, head().epoch));
    },

    /** The database is restored to how it was at this epoch: everything after it never was. */
    restoreTo(epoch: number): void {
      entries = entries
        .filter((entry) => entry.epoch <= epoch)
        .map((entry) => ({
          ...entry,
          released_epoch: (entry.released_epoch ?? epoch + 1) <= epoch ? entry.released_epoch : null,
        }));
      floor = Math.min(floor, epoch);
    },

    /** An operator moves the head after such an accident (L25). */
    moveHead(): void {
      const { epoch, digest } = head();
      generation += 1;
      moved = { epoch: epoch + 1_000_000, digest: digestOf(digest, 'moved') };
      append({ target: { kind: 'all' } });
    },
  };
}

function isInForce({ standing, released_epoch: released }: LedgerEntry): boolean {
  return standing && released === null;
}

function digestOf(previous: string, text: string): string {
  return hash('sha256', `${previous}\n${text}`, 'base64url');
}
