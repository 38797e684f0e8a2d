/**
 * Connections that are there before they are needed, and stay: when somebody has taken every other connection of this
 * broker, or of the whole database, what has to work still does (ledger rule L2). A heartbeat opens them at the start
 * and finds one whose other end is gone, so that it is not the emergency that finds it.
 */
import type { Log } from '../errors/log.ts';
import { type Repeated, repeat } from '../time/repeat.ts';
import type { Pool } from './pool.ts';

export type Reserved = {
  /** Opens them all, or what can be opened now. Never rejects. */
  open(): Promise<void>;
  /** Whether every one of them answered the last time that it was asked. */
  isOpen(): boolean;
  close(): Promise<void>;
};

const HEARTBEAT_MILLISECONDS = 2_000;
const ANSWER_MILLISECONDS = 1_000;

/** @param pools made with `keepOpen` */
export function reserveConnections({
  pools,
  everyMilliseconds = HEARTBEAT_MILLISECONDS,
  log,
}: {
  pools: readonly Pool[];
  everyMilliseconds?: number;
  log: Log;
}): Reserved {
  let areOpen = false;

  async function beat(): Promise<void> {
    const outcomes = await Promise.allSettled(pools.map(ask));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    const wereOpen = areOpen;
    areOpen = failed === undefined;
    if (wereOpen && !areOpen) {
      log.error({ err: failed?.reason }, 'connections that are kept for the kill switch were lost');
    }
    if (!wereOpen && areOpen) log.info({}, 'the connections that are kept for the kill switch are open');
  }

  const beats: Repeated = repeat({ everyMilliseconds, task: beat, onFailure: () => {} });
  return {
    open: beat,
    isOpen: () => areOpen,
    close: () => beats.stop(),
  };
}

/** Each connection of the pool; one that is at work is open, and is not made to wait for this. */
async function ask(pool: Pool): Promise<void> {
  const free = pool.options.max - (pool.totalCount - pool.idleCount);
  const question = { text: 'select 1', query_timeout: ANSWER_MILLISECONDS };
  await Promise.all(Array.from({ length: free }, () => pool.query(question)));
}
