/**
 * Refusals are recorded too, but a flood of them must not become a flood of writes. Entries that wait together
 * go in one statement; and of identical refusals of one caller only the first {@link FOLD_AFTER} of a minute get
 * lines of their own, the rest (and what comes while too many wait) become one line with a count when the minute
 * ends, which says what all of them have in common. Which refusals are identical hangs on nothing that a caller can
 * make up: action, reason, who it is or declares to be, and its network.
 *
 * A challenge for a nonce is a step of the protocol and not yet a decision: of those there are counts alone.
 *
 * A refusal is never undone because its line could not be written: it is logged as lost, and counted.
 */

import type { Log } from '../errors/log.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { AuditAction, AuditEntry } from './audit-entry.ts';
import type { AuditStore } from './audit-store.ts';

export const FOLD_AFTER = 100;
const FOLDED_AT_ONCE: ReadonlySet<AuditAction> = new Set(['proof.challenged']);
export const FOLD_WINDOW_MILLISECONDS = 60_000;

/** Callers and reasons that are told apart within one window; beyond, all callers share one count for each reason. */
const MAX_FOLDED_KINDS = 10_000;
const MAX_WAITING = 10_000;
const MAX_BATCH = 500;

/** An answer waits no longer for its line: with a database that is silent, the line may come late or not at all. */
const PATIENCE_MILLISECONDS = 1_000;

export type RefusalEntry = Omit<AuditEntry, 'id' | 'outcome' | 'repetitions'> & {
  /** Refusals fold by network: whoever has a whole IPv6 network is one caller. */
  source: { address: string; network: string };
};

export type RefusalRecorder = {
  /** Resolves when the line is written, folded or given up, or when it takes too long. Never rejects. */
  record(refusal: RefusalEntry): Promise<void>;
  /** Writes the counts of windows that have ended; with `all`, of every window. */
  writeFolded(options?: { all?: boolean }): Promise<void>;
};

/** `lines` of the `seen` refusals have a line of their own; `folded` is what the others have in common. */
type Window = { endsAt: number; seen: number; lines: number; isApart: boolean; folded: FoldedEntry | null };
type FoldedEntry = Omit<RefusalEntry, 'source'>;
type Waiting = { entry: AuditEntry; done: () => void };

export function createRefusalRecorder(options: {
  store: AuditStore;
  clock: Clock;
  log: Log;
  onLost?: (entries: number) => void;
}): RefusalRecorder {
  const { store, clock, log, onLost = () => {} } = options;
  const windows = new Map<string, Window>();
  const waiting: Waiting[] = [];
  let writing = false;

  function windowOf(entry: RefusalEntry): Window {
    const what = `${entry.action} ${entry.reason}`;
    const kind = `${what} ${entry.actor ?? ''} ${entry.details?.claimed_client ?? ''} ${entry.source.network}`;
    const isApart = windows.has(kind) || windows.size < MAX_FOLDED_KINDS;
    const key = isApart ? kind : what;
    const known = windows.get(key);
    if (known !== undefined) return known;
    const endsAt = clock.monotonicMilliseconds() + FOLD_WINDOW_MILLISECONDS;
    const window = { endsAt, seen: 0, lines: 0, isApart, folded: null };
    windows.set(key, window);
    return window;
  }

  function write(entry: AuditEntry): Promise<void> {
    return new Promise((resolve) => {
      waiting.push({ entry, done: resolve });
      if (!writing) void drain();
    });
  }

  async function drain(): Promise<void> {
    writing = true;
    while (waiting.length > 0) {
      const batch = waiting.splice(0, MAX_BATCH);
      try {
        await store.append(batch.map(({ entry }) => entry));
      } catch (error) {
        log.warn({ err: error, entries: batch.length }, 'refusals could not be recorded');
        onLost(batch.length);
      }
      for (const { done } of batch) done();
    }
    writing = false;
  }

  return {
    record(entry) {
      const window = windowOf(entry);
      window.seen += 1;
      const lines = FOLDED_AT_ONCE.has(entry.action) ? 0 : FOLD_AFTER;
      if (window.lines >= lines || waiting.length >= MAX_WAITING) {
        window.folded = fold(window, entry);
        return Promise.resolve();
      }
      window.lines += 1;
      return withPatience(write(asLine(entry, clock)));
    },
    async writeFolded({ all = false } = {}) {
      const now = clock.monotonicMilliseconds();
      const ended = [...windows].filter(([, window]) => all || window.endsAt <= now);
      for (const [key] of ended) windows.delete(key);
      const counts = ended.flatMap(([, { folded, seen, lines }]) =>
        folded === null ? [] : [{ ...folded, repetitions: seen - lines }],
      );
      await Promise.all(
        counts.map((count) => write({ id: newIdentifier('aud', clock), outcome: 'refused', ...count })),
      );
    },
  };
}

async function withPatience(written: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, PATIENCE_MILLISECONDS);
  });
  await Promise.race([written, tooLong]);
  clearTimeout(timer);
}

function asLine({ source, details, ...entry }: RefusalEntry, clock: Clock): AuditEntry {
  return {
    id: newIdentifier('aud', clock),
    outcome: 'refused',
    ...entry,
    details: { ...details, source: source.address },
  };
}

function fold({ isApart, folded }: Window, entry: RefusalEntry): FoldedEntry {
  if (!isApart) return folded ?? ofManyCallers(entry);
  const next = ofOneCaller(entry);
  if (folded === null) return next;
  const details = inCommon(folded.details ?? {}, next.details ?? {});
  return { ...inCommon(folded, { ...next, details: folded.details }), details };
}

function inCommon<Members extends object>(members: Members, others: object): Members {
  const same = Object.entries(members).filter(
    ([name, value]) => (others as Members)[name as keyof Members] === value,
  );
  return Object.fromEntries(same) as Members;
}

function ofOneCaller({ source, details, ...entry }: RefusalEntry): FoldedEntry {
  return { ...entry, details: { ...details, source: source.network } };
}

/** Names nobody: it would blame whoever happened to be the first for what all of them did. */
function ofManyCallers({ action, reason }: RefusalEntry): FoldedEntry {
  return { action, ...(reason === undefined ? {} : { reason }), details: { mixed: true } };
}
