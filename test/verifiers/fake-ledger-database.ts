/**
 * A database as the order of a renewal sees it, one step at a time: a statement arrives and takes its snapshot, its
 * commit makes what it wrote visible, its answer travels back. Whoever drives the test says which step is next, and
 * time passes with each.
 */
import type { LedgerPage } from '../../src/revocations/ledger-entry.ts';
import type { PageQuestion } from '../../src/revocations/ledger-store.ts';
import type { Attendance, Registered, VerifierStore } from '../../src/verifiers/verifier-store.ts';

export type VerifierRow = { appliedEpoch: number; leaseEndsAt: number };

/** How a database, or who uses it, could be wrong about the order. `none` of them is. */
export type Fault =
  | 'none'
  | 'reads before its rows are committed'
  | 'answers from a reading of another batch';

type State = { head: number; rows: ReadonlyMap<string, VerifierRow> };

/** A lease in ticks, one of which is one step of anybody: long enough for a whole renewal beside a whole revocation. */
export const LEASE_TICKS = 30;

export type FakeDatabase = ReturnType<typeof createFakeDatabase>;

export function createFakeDatabase(fault: Fault) {
  let committed: State = { head: 0, rows: new Map() };
  let now = 0;
  const waiting: (() => void)[] = [];
  let lastHead: number | null = null;
  let snapshotOfBatch: State | null = null;

  /** Waits for its turn. */
  function step(): Promise<void> {
    return new Promise((resolve) => waiting.push(resolve));
  }

  function commit(change: (state: State) => State): void {
    committed = change(committed);
  }

  const store: VerifierStore = {
    async register(attendances) {
      await step(); // it arrives
      if (fault === 'reads before its rows are committed') snapshotOfBatch = committed;
      const startedAt = now; // the database's now() is that of the statement's beginning
      await step(); // it commits
      commit((state) => ({ ...state, rows: written(state.rows, attendances, startedAt) }));
      await step(); // the answer arrives
      return attendances.map((): Registered => ({ own: true, open: true, doubt: null }));
    },
  };

  async function read(questions: readonly PageQuestion[]): Promise<LedgerPage[]> {
    await step(); // it arrives
    const { head } = snapshotOfBatch ?? committed;
    await step(); // the answer arrives
    lastHead = head;
    return questions.map((question) => pageOf(question, head));
  }

  return {
    store,
    async readPages(questions: readonly PageQuestion[]): Promise<LedgerPage[]> {
      const remembered = lastHead;
      if (fault !== 'answers from a reading of another batch' || remembered === null) return read(questions);
      lastHead = null;
      return questions.map((question) => pageOf(question, remembered));
    },

    /** One autocommit statement (L1). @returns its epoch, known when its answer arrives */
    async revoke(): Promise<number> {
      await step();
      await step(); // it commits
      commit((state) => ({ ...state, head: state.head + 1 }));
      const epoch = committed.head;
      await step();
      return epoch;
    },

    /** Who may still act without this epoch, by a statement of its own (L20). */
    async outstanding(epoch: number): Promise<ReadonlyMap<string, VerifierRow>> {
      await step();
      const found = [...committed.rows].filter(
        ([, row]) => row.leaseEndsAt > now && row.appliedEpoch < epoch,
      );
      await step();
      return new Map(found);
    },

    now: () => now,
    steps: () => waiting.length,
    /** Lets one of those that wait go on, and time pass. */
    take(pick: number): void {
      now += 1;
      waiting.splice(pick % waiting.length, 1)[0]?.();
    },
    step,
  };
}

function written(
  rows: ReadonlyMap<string, VerifierRow>,
  attendances: readonly Attendance[],
  at: number,
): ReadonlyMap<string, VerifierRow> {
  const next = new Map(rows);
  for (const { instance, appliedEpoch } of attendances) {
    const before = next.get(instance);
    next.set(instance, {
      appliedEpoch: Math.max(appliedEpoch, before?.appliedEpoch ?? 0),
      leaseEndsAt: Math.max(at + LEASE_TICKS, before?.leaseEndsAt ?? 0),
    });
  }
  return next;
}

function pageOf({ since }: PageQuestion, head: number): LedgerPage {
  const digest = 'd'.repeat(43);
  return {
    generation: 1,
    snapshot: false,
    floor: 0,
    since,
    since_digest: null,
    through: head,
    head: { epoch: head, digest },
    entries: [],
  };
}
