/**
 * Micro-batches that wait for nothing but each other: a lane runs one batch at a time, and what arrives meanwhile is
 * the next batch. An idle broker answers a lone request at once; a busy one shares a statement among many. Another
 * lane starts only for a batch that is worth a statement, or when the batch under way takes long: then it is slow
 * for itself and does not stop the broker.
 */
import { refuse } from '../errors/refusal.ts';

export type Lanes<Item, Outcome> = {
  /** @throws {Refusal} `temporarily_unavailable` when too many wait */
  submit(item: Item): Promise<Outcome>;
  waiting(): number;
  /** Resolves when nothing waits and no batch runs. */
  idle(): Promise<void>;
};

type Waiting<Item, Outcome> = {
  item: Item;
  resolve: (outcome: Outcome) => void;
  reject: (error: unknown) => void;
};

/** A statement for fewer costs more than their waiting for the batch under way. */
const WORTH_A_LANE = 24;
const PATIENCE_MILLISECONDS = 10;

export type LanesOptions<Item, Outcome> = {
  lanes: number;
  maxBatch: number;
  maxWaiting: number;
  /** Waited for before each batch is formed, where it pays to wait for more. */
  gather?: () => Promise<void>;
  /** Settles each item, in the order given. A rejection rejects every item of the batch. */
  run: (items: readonly Item[]) => Promise<readonly PromiseSettledResult<Outcome>[]>;
};

export function createLanes<Item, Outcome>(options: LanesOptions<Item, Outcome>): Lanes<Item, Outcome> {
  const { lanes, maxBatch, maxWaiting, gather, run } = options;
  const worthALane = Math.min(WORTH_A_LANE, maxBatch);
  let queue: Waiting<Item, Outcome>[] = [];
  let busy = 0;
  let patience: NodeJS.Timeout | undefined;
  const idleWaiters: (() => void)[] = [];

  function startLane(): void {
    if (busy >= lanes || queue.length === 0) return;
    if (busy === 0 || queue.length >= worthALane) void work();
    else if (patience === undefined) patience = setTimeout(losePatience, PATIENCE_MILLISECONDS);
  }

  function losePatience(): void {
    patience = undefined;
    if (busy < lanes && queue.length > 0) void work();
  }

  async function work(): Promise<void> {
    busy += 1;
    // One turn of the event loop: requests that arrived together share the batch.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (queue.length > 0) {
      if (gather !== undefined) await gather();
      const batch = queue.length <= maxBatch ? queue : queue.slice(0, maxBatch);
      queue = batch === queue ? [] : queue.slice(maxBatch);
      await settle(batch);
    }
    busy -= 1;
    if (busy > 0) return;
    for (const wake of idleWaiters.splice(0)) wake();
  }

  async function settle(batch: readonly Waiting<Item, Outcome>[]): Promise<void> {
    try {
      const outcomes = await run(batch.map(({ item }) => item));
      batch.forEach(({ resolve, reject }, index) => {
        const outcome = outcomes[index];
        if (outcome?.status === 'fulfilled') resolve(outcome.value);
        else reject(outcome?.reason ?? new Error('a batch left an item without an outcome'));
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  return {
    waiting: () => queue.length,
    submit(item) {
      if (queue.length >= maxWaiting) refuse('queue_full');
      return new Promise((resolve, reject) => {
        queue.push({ item, resolve, reject });
        startLane();
      });
    },
    idle() {
      if (busy === 0) return Promise.resolve();
      return new Promise((resolve) => idleWaiters.push(resolve));
    },
  };
}
