/**
 * The loop of one sink: claim, read, deliver, move the cursor; in the order of the log, one batch at a time. It shares
 * nothing with minting or with other sinks but the database, asks that for one batch at a time, and keeps nothing
 * longer: while a receiver is away the log itself is the queue.
 *
 * The cursor moves after the receiver has taken a batch, so a crash in between sends it again: at least once, and the
 * same id each time. What became of a batch decides how it goes on:
 * - accepted: the cursor moves, and the next batch may be twice as large, up to the limit;
 * - failed (an outage): nothing moves; the same batch again, later each time, up to a minute. Forever: an outage of a
 *   week loses nothing;
 * - refused (for what is in it): half of the batch, and so on down to the entry that is to blame. That one is tried
 *   {@link MAX_ATTEMPTS} times and then parked among the dead letters. A receiver that refuses one entry after another
 *   is itself to blame: after {@link MAX_PARKED_IN_A_ROW} nothing is parked any more until something is accepted.
 */
import { pause as realPause } from '../time/pause.ts';
import { createBackOff } from './back-off.ts';
import { endsOf, MAX_BATCH_ENTRIES, withinBytes } from './batch.ts';
import { type Delivery, reasonOf } from './receiver.ts';
import type { RunningSink, RunSinkOptions } from './running-sink.ts';
import type { LogEntry } from './sink-entry.ts';

export const MAX_ATTEMPTS = 5;
export const MAX_PARKED_IN_A_ROW = 20;
const IDLE_MILLISECONDS = 1_000;
/** How often a broker asks whether the one that has the sink is gone. */
const CLAIM_MILLISECONDS = 10_000;
const DRAIN_MILLISECONDS = 5_000;
/** With what a batch can take, less than what a claim lasts (`CLAIM_SECONDS`). */
const RENEW_MILLISECONDS = 20_000;
/** Of a receiver that has to be asked whether it has read everything: when it is asked. */
export const MAX_UNCONFIRMED_ENTRIES = 5_000;
export const MAX_UNCONFIRMED_MILLISECONDS = 5_000;

/** Something that is not over yet: how long until the next attempt. */
type Rest = number;

export function runSink(options: RunSinkOptions): RunningSink {
  const { name, receiver, reader, cursors, holder, logSize, clock, log, metrics } = options;
  const { pause = realPause, random = Math.random } = options;
  let cursor: number | null = null; // null: not ours
  let position = 0; // what is sent next: ahead of the cursor while something is not confirmed
  let claimedAt = 0;
  let unconfirmedSince = 0;
  let limit = MAX_BATCH_ENTRIES;
  const backOff = createBackOff(random);
  let attemptsAlone = 0;
  let parkedInARow = 0;
  let oldestUnsent: number | null = null;
  let failure: string | null = null;
  let stopping = false;
  let awake = new AbortController();
  let isIdle = false; // nothing to send: only then does news end the waiting
  let hasNews = false;

  async function step(): Promise<Rest> {
    if (cursor === null || clock.monotonicMilliseconds() - claimedAt >= RENEW_MILLISECONDS) await claim();
    if (cursor === null) return notOurs();
    hasNews = false;
    const batch = withinBytes(await reader.readFrom(position, limit));
    const [first] = batch;
    if (first === undefined) return rest(cursor);
    oldestUnsent ??= Date.parse(first.document.at);
    return after(await receiver.deliver(batch), batch, cursor);
  }

  async function claim(): Promise<void> {
    claimedAt = clock.monotonicMilliseconds();
    const claimed = await cursors.claim(name, holder);
    if (claimed !== null && claimed !== cursor) position = claimed;
    cursor = claimed;
  }

  /** Nothing to send. What was sent may have to be confirmed. */
  async function rest(from: number): Promise<Rest> {
    if (position > from && (stopping || isConfirmationDue(from))) return confirm(from);
    if (position === from) oldestUnsent = null;
    if (hasNews) return 0;
    isIdle = true;
    return IDLE_MILLISECONDS;
  }

  function notOurs(): Rest {
    [cursor, oldestUnsent, failure, attemptsAlone] = [null, null, null, 0];
    return CLAIM_MILLISECONDS;
  }

  async function after(delivery: Delivery, batch: readonly LogEntry[], from: number): Promise<Rest> {
    if (delivery.outcome === 'accepted') return taken(delivery, batch, from);
    metrics.failed(name);
    if (delivery.outcome === 'refused') return refused(delivery.because, batch, from);
    limit = batch.length; // the same batch, under the same name
    position = from;
    return waitAfter(delivery.because, delivery.retryAfterMilliseconds);
  }

  async function taken(
    { rejected }: Extract<Delivery, { outcome: 'accepted' }>,
    batch: readonly LogEntry[],
    from: number,
  ): Promise<Rest> {
    limit = Math.min(limit * 2, MAX_BATCH_ENTRIES);
    [attemptsAlone, parkedInARow] = [0, 0];
    const { first, next } = endsOf(batch);
    if (rejected !== undefined) {
      const refusedEntries = Math.min(rejected.entries, batch.length);
      return park({ first, next, refused: refusedEntries, because: rejected.because }, from);
    }
    metrics.sent(name, batch.length);
    if (receiver.confirm === undefined) return move(from, next);
    if (position === from) unconfirmedSince = clock.monotonicMilliseconds();
    position = next;
    return isConfirmationDue(from) ? confirm(from) : 0;
  }

  async function refused(because: string, batch: readonly LogEntry[], from: number): Promise<Rest> {
    if (batch.length > 1) {
      limit = batch.length >> 1;
      return 0;
    }
    attemptsAlone += 1;
    limit = 1;
    if (attemptsAlone < MAX_ATTEMPTS || parkedInARow >= MAX_PARKED_IN_A_ROW) return waitAfter(because);
    const { first, next } = endsOf(batch);
    parkedInARow += 1;
    attemptsAlone = 0;
    return park({ first, next, refused: 1, because }, from);
  }

  async function park(
    { first, next, refused, because }: { first: number; next: number; refused: number; because: string },
    from: number,
  ): Promise<Rest> {
    const letter = { sink: name, holder, expected: from, first, last: next - 1, refused, because };
    log.error(letter, 'a sink would not take entries of the audit log; they are among its dead letters');
    if (!(await cursors.park(letter))) return lost();
    metrics.parked(name, refused);
    return moved(next);
  }

  async function move(from: number, next: number): Promise<Rest> {
    return (await cursors.advance({ sink: name, holder, expected: from, next })) ? moved(next) : lost();
  }

  function moved(next: number): Rest {
    if (failure !== null) log.info({ sink: name }, 'the sink takes entries again');
    backOff.reset();
    [cursor, position, failure, oldestUnsent] = [next, Math.max(position, next), null, null];
    return 0;
  }

  /** Another broker moved the cursor, or has the sink. */
  function lost(): Rest {
    [cursor, attemptsAlone] = [null, 0];
    return 0;
  }

  function isConfirmationDue(from: number): boolean {
    const age = clock.monotonicMilliseconds() - unconfirmedSince;
    return position - from >= MAX_UNCONFIRMED_ENTRIES || age >= MAX_UNCONFIRMED_MILLISECONDS;
  }

  async function confirm(from: number): Promise<Rest> {
    if (await receiver.confirm?.()) return move(from, position);
    metrics.failed(name);
    position = from;
    return waitAfter('the other side did not say that it had read everything');
  }

  async function waitAfter(because: string, atLeast = 0): Promise<Rest> {
    const before = failure;
    failure = because;
    if (stopping) return 0; // we gave up ourselves: that is no news of the receiver
    if (before === null) log.warn({ sink: name, because }, 'a sink of the audit log takes nothing');
    if (before !== because) await cursors.noteFailure(name, holder, because);
    return backOff.next(atLeast);
  }

  async function safeStep(): Promise<Rest> {
    try {
      return await step();
    } catch (error) {
      if (failure === null) log.warn({ err: error, sink: name }, 'a sink of the audit log cannot go on');
      [cursor, failure] = [null, reasonOf(error)];
      return backOff.next();
    }
  }

  async function run(): Promise<void> {
    while (!stopping) {
      const milliseconds = await safeStep();
      if (milliseconds > 0 && !stopping) await pause(milliseconds, awake.signal);
      isIdle = false;
      if (awake.signal.aborted) awake = new AbortController();
    }
    await drain();
  }

  async function drain(): Promise<void> {
    const deadline = clock.monotonicMilliseconds() + DRAIN_MILLISECONDS;
    while (failure === null && cursor !== null && clock.monotonicMilliseconds() < deadline) {
      if ((await safeStep()) > 0) break;
    }
    if (cursor !== null) await cursors.release(name, holder).catch(() => {});
    await receiver.close();
  }

  const running = run();
  return {
    async status() {
      const size = await logSize();
      const waited = oldestUnsent === null ? 0 : (clock.milliseconds() - oldestUnsent) / 1000;
      return {
        name,
        holds: cursor !== null,
        nextIndex: cursor,
        lagEntries: cursor === null ? 0 : Math.max(0, size - cursor),
        lagSeconds: Math.max(0, waited),
        failure,
      };
    },
    wake() {
      hasNews = true;
      if (isIdle) awake.abort();
    },
    async stop() {
      stopping = true;
      awake.abort();
      // One that takes nothing anyway is not waited for.
      const timer = setTimeout(() => receiver.close(), failure === null ? DRAIN_MILLISECONDS : 0);
      timer.unref();
      await running;
      clearTimeout(timer);
    },
  };
}
