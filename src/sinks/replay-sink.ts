/** What a person asks of a sink: some of the log once more, or one event to see whether it arrives. */
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import { endsOf, MAX_BATCH_ENTRIES, withinBytes } from './batch.ts';
import type { Delivery, Receiver } from './receiver.ts';
import type { LogEntry, LogReader } from './sink-entry.ts';
import type { SinkStore } from './sink-store.ts';

export type Replayed = {
  /** Entries that the receiver took. */
  sent: number;
  /** Entries that it would not take, at most {@link MAX_TOLD_REFUSALS}. */
  refused: { index: number; id: string; because: string }[];
  /** Why it ended early, and the leaf it ended at; null when everything was sent. */
  stopped: { at: number; because: string } | null;
  /** Dead letters that are settled by it. */
  settled: number;
};

export const MAX_TOLD_REFUSALS = 100;
const MAX_FAILURES = 3;

/**
 * Sends the leaves from `from` to `to` (both included) once more, with their ids, beside whatever the brokers send; the
 * cursor stays where it is. Dead letters among them are settled when everything was taken.
 */
export async function replaySink({
  name,
  from,
  to,
  receiver,
  reader,
  store,
}: {
  name: string;
  from: number;
  to: number;
  receiver: Receiver;
  reader: LogReader;
  store: Pick<SinkStore, 'settleDeadLetters'>;
}): Promise<Replayed> {
  const result: Replayed = { sent: 0, refused: [], stopped: null, settled: 0 };
  let [position, limit, failures] = [from, MAX_BATCH_ENTRIES, 0];
  while (position <= to) {
    const batch = withinBytes(await readUpTo(reader, { from: position, to, limit }));
    if (batch.length === 0) break;
    const delivery = await receiver.deliver(batch);
    if (delivery.outcome === 'failed') {
      failures += 1;
      if (failures >= MAX_FAILURES)
        return { ...result, stopped: { at: position, because: delivery.because } };
      continue;
    }
    if (delivery.outcome === 'refused' && batch.length > 1) {
      limit = batch.length >> 1;
      continue;
    }
    note(result, delivery, batch);
    if (result.refused.length >= MAX_TOLD_REFUSALS)
      return { ...result, stopped: { at: position, because: 'refusals' } };
    position = endsOf(batch).next;
    limit = Math.min(limit * 2, MAX_BATCH_ENTRIES);
  }
  if (receiver.confirm !== undefined && !(await receiver.confirm())) {
    return {
      ...result,
      stopped: { at: from, because: 'the other side did not say that it had read everything' },
    };
  }
  if (result.refused.length === 0) result.settled = await store.settleDeadLetters(name, from, to);
  return result;
}

/** @returns what became of one event that says that it is a test, and is in no log */
export async function testSink({
  name,
  receiver,
  clock,
}: {
  name: string;
  receiver: Receiver;
  clock: Clock;
}): Promise<{ id: string; delivery: Delivery }> {
  const id = newIdentifier('aud', clock);
  const at = `${new Date(clock.milliseconds()).toISOString().slice(0, -1)}000Z`;
  const details = { test: true, sink: name };
  const document = { id, at, action: 'sink.tested', outcome: 'allowed' as const, repetitions: 1, details };
  const delivery = await receiver.deliver([{ index: null, document }]);
  if (delivery.outcome !== 'accepted' || receiver.confirm === undefined || (await receiver.confirm())) {
    return { id, delivery };
  }
  const because = 'the other side did not say that it had read everything';
  return { id, delivery: { outcome: 'failed', because } };
}

async function readUpTo(
  reader: LogReader,
  { from, to, limit }: { from: number; to: number; limit: number },
): Promise<LogEntry[]> {
  const entries = await reader.readFrom(from, Math.min(limit, to - from + 1));
  return entries.filter(({ index }) => index <= to);
}

function note(result: Replayed, delivery: Delivery, batch: readonly LogEntry[]): void {
  const rejected =
    delivery.outcome === 'refused'
      ? { entries: batch.length, because: delivery.because }
      : delivery.outcome === 'accepted'
        ? delivery.rejected
        : undefined;
  result.sent += batch.length - Math.min(rejected?.entries ?? 0, batch.length);
  if (rejected === undefined) return;
  const room = MAX_TOLD_REFUSALS - result.refused.length;
  const told = batch
    .slice(0, room)
    .map(({ index, document: { id } }) => ({ index, id, because: rejected.because }));
  result.refused.push(...told);
}
