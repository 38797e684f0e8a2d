/**
 * For how many ends of their own sessions clients get a receipt at once. A receipt is a row for each enforcement point,
 * so whoever ends sessions by the thousand must not be able to have them written; the ends themselves are not bounded
 * by this, and a receipt that was not made is made for whoever asks again.
 */
import { createBuckets, type Rate } from '../http/token-bucket.ts';
import type { Clock } from '../time/clock.ts';

const OF_ONE_CLIENT: Rate = { perSecond: 1, burst: 20 };
const OF_ALL: Rate = { perSecond: 10, burst: 100 };
const MAX_CLIENTS = 10_000;

/** @returns asks whether this client gets one now */
export function createOwnReceiptBound({ clock }: { clock: Clock }): (client: string) => boolean {
  const own = createBuckets({ rate: OF_ONE_CLIENT, maxEntries: MAX_CLIENTS, clock });
  const all = createBuckets({ rate: OF_ALL, maxEntries: 1, clock });
  return (client) => own.take(client) === 0 && all.take('') === 0;
}
