/**
 * Runs the sequencer as long as the broker runs: a few times a second on whichever broker has the lock, which is bound
 * to its connection; the others look now and then whether it has become free. When anything fails, the connection is
 * given up and with it the lock, so that another broker can go on where this one stopped.
 */
import type { connectOnce } from '../database/pool.ts';
import type { Log } from '../errors/log.ts';
import type { Clock } from '../time/clock.ts';
import { repeat } from '../time/repeat.ts';
import type { LogKey } from './log-key.ts';
import { createLogStore, takeLogLock } from './log-store.ts';
import { createSequencer, LogDisagreesError, type Sequencer } from './sequencer.ts';
import { createStoredTree, MissingHashError } from './tree-store.ts';

/**
 * A line has its place and a signed head over it after one of these at most, and what the round takes. Looking costs
 * something, also when there is little to see: more often would be dearer for every token.
 */
const ROUND_MILLISECONDS = 500;
/** With as many lines in one round, more have come meanwhile: the next one begins at once. */
const BUSY_LINES = 1_000;
const LOCK_MILLISECONDS = 2_000;
/** A backlog is worked off in one go, but the loop looks up now and then. */
const MAX_ROUNDS = 100;

/** One connection outside of any pool. */
export type Connection = Awaited<ReturnType<typeof connectOnce>>;

/** From taking the lock until giving it up. Each has a number of its own. */
export type Hold = { number: number; sinceMilliseconds: number };

export type LogKeeper = {
  /** Null while this broker has not got the lock. */
  hold(): Hold | null;
  /** True once the stored log was found to be another than the one that was signed. Until a round finds it well. */
  disagrees(): boolean;
  close(): Promise<void>;
};

export function keepLog(options: {
  connect: () => Promise<Connection>;
  key: () => LogKey;
  log: Log;
  clock: Clock;
  /** Whether witnesses were heard since then. */
  maySign?: (hold: Hold) => boolean;
  /** A head was signed and kept here. */
  onKept?: () => void;
  onUndescribed?: Parameters<typeof createSequencer>[0]['onUndescribed'];
}): LogKeeper {
  const { connect, key, log, clock, maySign = () => true, onKept = () => {} } = options;
  const { onUndescribed = () => {} } = options;
  let held: { connection: Connection; run: Sequencer['run']; hold: Hold } | null = null;
  let holds = 0;
  let disagrees = false;
  let asksAgainAt = Number.NEGATIVE_INFINITY;

  async function take(): Promise<typeof held> {
    if (clock.monotonicMilliseconds() < asksAgainAt) return null;
    asksAgainAt = clock.monotonicMilliseconds() + LOCK_MILLISECONDS;
    const connection = await connect();
    try {
      if (await takeLogLock(connection.client)) {
        holds += 1;
        const hold = { number: holds, sinceMilliseconds: clock.monotonicMilliseconds() };
        return { connection, hold, run: sequencerOn(connection.client, hold) };
      }
    } catch (error) {
      await connection.close();
      throw error;
    }
    await connection.close();
    return null;
  }

  function sequencerOn(client: Connection['client'], hold: Hold): Sequencer['run'] {
    return createSequencer({
      store: createLogStore(client),
      tree: createStoredTree(client),
      key,
      log,
      maySign: () => maySign(hold),
      onKept,
      onUndescribed,
    }).run;
  }

  async function giveUp(): Promise<void> {
    const { connection } = held ?? {};
    held = null;
    await connection?.close();
  }

  async function round(): Promise<void> {
    held ??= await take();
    if (held === null) return;
    for (let rounds = 0; rounds < MAX_ROUNDS; rounds += 1) {
      const { isDone, placed } = await held.run();
      disagrees = false;
      if (isDone && placed < BUSY_LINES) break;
    }
  }

  const rounds = repeat({
    everyMilliseconds: ROUND_MILLISECONDS,
    task: round,
    async onFailure(error) {
      const isAlarm = error instanceof LogDisagreesError || error instanceof MissingHashError;
      if (isAlarm && !disagrees) log.error({ err: error }, error.message);
      if (!isAlarm) log.warn({ err: error }, 'the audit log could not be continued and will be tried again');
      disagrees = isAlarm;
      await giveUp().catch(() => {});
    },
  });

  return {
    hold: () => held?.hold ?? null,
    disagrees: () => disagrees,
    async close() {
      await rounds.stop();
      await giveUp();
    },
  };
}
