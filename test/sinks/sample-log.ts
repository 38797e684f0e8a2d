/** A log in memory, a clock that waits by moving on, and what a sink needs besides. */
import { setTimeout as realPause } from 'node:timers/promises';
import type { EntryDocument } from '../../src/audit/entry-document.ts';
import { silentLog } from '../../src/errors/log.ts';
import type { LogEntry, LogReader } from '../../src/sinks/sink-entry.ts';
import type { SinkMetrics } from '../../src/sinks/sink-metrics.ts';
import type { Pause } from '../../src/time/pause.ts';

export const START = Date.parse('2026-09-01T12:00:00.000Z');

export function sampleDocument(index: number, overrides: Partial<EntryDocument> = {}): EntryDocument {
  const at = new Date(START + index).toISOString().replace('Z', `${String(index % 1000).padStart(3, '0')}Z`);
  return {
    id: `aud_01k5h0m2v3${String(index).padStart(16, '0')}`,
    at,
    action: 'token.minted',
    outcome: 'allowed',
    request_id: `req_${index}`,
    actor: 'report-writer',
    session_id: 'ses_01k5h0m2v3x8q6d0w9r7t4y1zb',
    token_id: `tok_${index}`,
    repetitions: 1,
    details: { source: '192.0.2.7', jkt: 'thumbprint' },
    ...overrides,
  };
}

export type SampleLog = LogReader & {
  entries: LogEntry[];
  ids(): string[];
  size(): Promise<number>;
};

export function sampleLog(count: number, document = sampleDocument): SampleLog {
  const entries = Array.from({ length: count }, (_, index) => ({ index, document: document(index) }));
  return {
    entries,
    ids: () => entries.map(({ document: { id } }) => id),
    size: async () => entries.length,
    readFrom: async (index, limit) => entries.filter((entry) => entry.index >= index).slice(0, limit),
  };
}

/** Waiting moves this clock on; what is due by then happens before the waiting ends. */
export function manualTime() {
  const due: { at: number; run: () => Promise<unknown> }[] = [];
  const waits: number[] = [];
  let now = START;
  const pause: Pause = async (milliseconds, signal) => {
    if (signal.aborted) return;
    now += milliseconds;
    waits.push(milliseconds);
    for (const event of due.splice(0)) {
      if (event.at <= now) await event.run();
      else due.push(event);
    }
    await realPause(1);
  };
  return {
    clock: { milliseconds: () => now, monotonicMilliseconds: () => now },
    pause,
    waits,
    /** @param hours from now */
    in(hours: number, run: () => Promise<unknown>) {
      due.push({ at: now + hours * 3_600_000, run });
    },
  };
}

export function countingMetrics() {
  const counts = { sent: 0, failed: 0, parked: 0 };
  const metrics: SinkMetrics = {
    sent: (_, entries) => {
      counts.sent += entries;
    },
    failed: () => {
      counts.failed += 1;
    },
    parked: (_, entries) => {
      counts.parked += entries;
    },
  };
  return { counts, metrics };
}

export async function becomesTrue(condition: () => boolean | Promise<boolean>, what = 'it'): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`${what} did not become true within 30 s`);
    await realPause(5);
  }
}

/** Each id once, in the order of its first arrival. */
export const firstArrivals = (ids: readonly string[]): string[] => [...new Set(ids)];

export { silentLog };
