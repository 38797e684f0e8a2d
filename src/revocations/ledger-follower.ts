/**
 * Keeps a broker abreast of the ledger, whoever appends to it: woken by NOTIFY, and each second whether woken or not.
 * The table is the truth: being woken only means to look, and looking means to read head and entries from where this
 * broker knows the ledger. What it read last it keeps, for those who listen to the feed.
 *
 * One look at a time, so that heads are observed in the order of their snapshots.
 */
import type { Log } from '../errors/log.ts';
import type { Clock } from '../time/clock.ts';
import { repeat } from '../time/repeat.ts';
import type { LedgerPage } from './ledger-entry.ts';
import type { LedgerStore } from './ledger-store.ts';
import type { LedgerTrust, ObservedHead } from './ledger-trust.ts';
import type { PageSigner, SignedPage } from './sign-page.ts';
import { createSingleFlight } from './single-flight.ts';

export type LedgerFollower = {
  /** As it was last read. Null before the first look, and while the ledger is not believed. */
  head(): ObservedHead | null;
  /** What follows this epoch, when it came lately; null when it has to be read from the table. */
  pageAfter(epoch: number): SignedPage | null;
  /** Looks now; resolves when a look that began no earlier than this call is over. Rejects when it failed. */
  look(): Promise<void>;
  /** The same for those who do not wait. */
  wake(): void;
  /** Seconds since the last successful look began. */
  ageSeconds(): number;
  /** @param listener told whenever the head is another one, or none any more; @returns how to stop that */
  onChange(listener: () => void): () => void;
  close(): Promise<void>;
};

export type FollowerOptions = {
  store: LedgerStore;
  trust: LedgerTrust;
  sign: PageSigner;
  /** Starts whatever wakes this broker. */
  listen: (onWake: () => void) => { close(): Promise<void> };
  log: Log;
  clock: Clock;
  pollMilliseconds?: number;
};

const POLL_MILLISECONDS = 1_000;
/** Pages that are kept for who is a little behind; each is what one look found, few entries or a thousand. */
const MAX_TAIL_PAGES = 256;
const MAX_TAIL_ENTRIES = 10_000;

/** Has looked once when it resolves. */
export async function followLedger(options: FollowerOptions): Promise<LedgerFollower> {
  const { store, trust, sign, listen, log, clock, pollMilliseconds = POLL_MILLISECONDS } = options;
  const listeners = new Set<() => void>();
  const tail = new Map<number, SignedPage>(); // by `since`, oldest first
  let tailEntries = 0;
  let head: ObservedHead | null = null;
  let lookedAt = clock.monotonicMilliseconds();

  function change(next: ObservedHead | null): void {
    const isNews = next?.epoch !== head?.epoch || next?.generation !== head?.generation;
    head = next;
    if (isNews) for (const listener of listeners) listener();
  }

  function startAnew(next: ObservedHead | null): void {
    tail.clear();
    tailEntries = 0;
    change(next);
  }

  function keep(page: SignedPage): void {
    tail.set(page.page.since, page);
    tailEntries += page.page.entries.length;
    for (const [since, oldest] of tail) {
      if (tail.size <= MAX_TAIL_PAGES && tailEntries <= MAX_TAIL_ENTRIES) return;
      tail.delete(since);
      tailEntries -= oldest.page.entries.length;
    }
  }

  /** @returns the head after the pages; null when they do not continue what was known */
  async function readOn(from: ObservedHead, to: ObservedHead): Promise<ObservedHead | null> {
    let at = from;
    while (at.epoch < to.epoch) {
      const question = { since: at.epoch, generation: at.generation, goOn: false };
      const [page] = await store.readPages([question]);
      if (page === undefined || page.snapshot || page.generation !== at.generation) return null;
      if (page.since_digest !== null && page.since_digest !== at.digest) trust.distrust('forked');
      if (trust.distrusted() !== null || page.through <= at.epoch) return null;
      keep(sign(page));
      at = headAfter(page, from);
    }
    return at;
  }

  async function lookOnce(): Promise<void> {
    const startedAt = clock.monotonicMilliseconds();
    const found = await store.readHead();
    if (!trust.observe(found)) return startAnew(null);
    const isContinued = head !== null && head.generation === found.generation;
    const reached = isContinued && head !== null ? await readOn(head, found) : null;
    if (reached !== null) change({ ...reached, floor: found.floor, movedAt: found.movedAt });
    else startAnew(trust.distrusted() === null ? found : null);
    lookedAt = startedAt;
  }

  const look = createSingleFlight(lookOnce);
  const wake = () => {
    look().catch((error) => log.warn({ err: error }, 'the ledger could not be read; it is tried again'));
  };
  await look();
  const polling = repeat({ everyMilliseconds: pollMilliseconds, task: look, onFailure: () => {} });
  const listening = listen(wake);

  return {
    head: () => head,
    pageAfter: (epoch) => tail.get(epoch) ?? null,
    look,
    wake,
    ageSeconds: () => (clock.monotonicMilliseconds() - lookedAt) / 1000,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async close() {
      await Promise.all([polling.stop(), listening.close()]);
    },
  };
}

function headAfter(
  { generation, floor, through, head, entries }: LedgerPage,
  before: ObservedHead,
): ObservedHead {
  const digest = through === head.epoch ? head.digest : (entries.at(-1)?.digest ?? head.digest);
  return { ...before, epoch: through, generation, digest, floor };
}
