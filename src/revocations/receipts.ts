/**
 * Waiting for enforcement points, and stating how far they are. What is stated is complete only once each of them
 * has applied the entry or must have stopped; until then those that are outstanding are named (L21).
 */
import type { Clock } from '../time/clock.ts';
import type { MessageSigner } from './ledger-message.ts';
import { receiptOf, type SettledEntry, signReceipt } from './receipt.ts';
import type { ReceiptStore } from './receipt-store.ts';
import { createSingleFlight } from './single-flight.ts';

export type Receipts = {
  /**
   * For whoever has appended an entry, after its commit.
   * @param options.replicated whether that commit was confirmed by the standby, where there is one; null when it is
   *   not known and has to be found out
   * @returns once all have applied it, the time is over or the signal says that nobody listens any more
   */
  settle(
    epoch: number,
    options: { replicated: boolean | null; withinMilliseconds: number; signal?: AbortSignal },
  ): Promise<SettledEntry>;
  /** How far they are now. @returns null when the ledger has no such entry (any more) */
  stateOf(id: string): Promise<SettledEntry | null>;
  /** Compact JWS. */
  sign(settled: SettledEntry): string;
};

/**
 * Between two looks: short at first, for verifiers that are woken apply an entry within milliseconds; then a part of what
 * was waited already, so that nobody waits much longer than it takes.
 */
const LOOK_MILLISECONDS = { least: 10, most: 100 };
const LOOK_SHARE = 0.25;
/** Of those who wait at once; others get their answer at once, and can ask again. */
const MAX_WAITING = 64;

export function createReceipts(options: {
  issuer: string;
  store: ReceiptStore;
  signer: () => MessageSigner;
  /** Whether a commit from now on is confirmed by the standby: then so is every one before it. */
  confirm: () => Promise<boolean>;
  clock: Clock;
}): Receipts {
  const { issuer, store, signer, confirm, clock } = options;
  let waiting = 0;
  /** Of each entry that somebody waits for: those who wait look together, and so at the same moments from then on. */
  const lookouts = new Map<number, { look: () => Promise<SettledEntry>; waiting: number }>();

  async function look(epoch: number, { replicated = false } = {}): Promise<SettledEntry> {
    await store.settle(epoch, { replicated });
    const settled = await store.find(epoch);
    if (settled === null) throw new Error('the ledger has lost an entry that was committed');
    return settled;
  }

  /** The first look, by one who may know of the standby. */
  async function lookFirst(epoch: number, replicated: boolean | null): Promise<SettledEntry> {
    const settled = await look(epoch, { replicated: replicated === true });
    const isOpen = replicated === null && !settled.replicated;
    return isOpen && (await confirm()) ? look(epoch, { replicated: true }) : settled;
  }

  /** Each look begins after it was asked for. */
  async function lookTogether(epoch: number): Promise<SettledEntry> {
    const lookout = lookouts.get(epoch) ?? { look: createSingleFlight(() => look(epoch)), waiting: 0 };
    lookouts.set(epoch, lookout);
    lookout.waiting += 1;
    try {
      return await lookout.look();
    } finally {
      lookout.waiting -= 1;
      if (lookout.waiting === 0) lookouts.delete(epoch);
    }
  }

  async function settle(
    epoch: number,
    { replicated, withinMilliseconds, signal }: Parameters<Receipts['settle']>[1],
  ): Promise<SettledEntry> {
    const beganAt = clock.monotonicMilliseconds();
    let settled = await lookFirst(epoch, replicated);
    while (isWorthWaiting(settled) && signal?.aborted !== true) {
      const waited = clock.monotonicMilliseconds() - beganAt;
      if (waited >= withinMilliseconds) break;
      const { least, most } = LOOK_MILLISECONDS;
      const pause = Math.min(most, Math.max(least, waited * LOOK_SHARE));
      await sleep(Math.min(pause, withinMilliseconds - waited), signal);
      settled = await lookTogether(epoch);
    }
    return settled;
  }

  return {
    async settle(epoch, { withinMilliseconds, ...rest }) {
      if (waiting >= MAX_WAITING) return settle(epoch, { ...rest, withinMilliseconds: 0 });
      waiting += 1;
      try {
        return await settle(epoch, { ...rest, withinMilliseconds });
      } finally {
        waiting -= 1;
      }
    },
    async stateOf(id) {
      const epoch = await store.epochOf(id);
      return epoch === null ? null : lookFirst(epoch, null);
    },
    sign: (settled) => signReceipt(receiptOf(settled, { issuer }), signer()),
  };
}

/** What else keeps it from being complete takes longer than anybody waits. */
function isWorthWaiting({ complete, verifiers }: SettledEntry): boolean {
  return !complete && verifiers.some(({ stops_at }) => stops_at !== undefined);
}

/** Ends early when nobody waits for it any more. */
function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal?.addEventListener('abort', end);
  });
}
