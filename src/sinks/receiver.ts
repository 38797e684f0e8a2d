/** The other end of a sink: takes batches, and says what became of each. */
import { printable } from '../catalogue/problem.ts';
import type { SinkEvent } from './sink-entry.ts';

export type Delivery =
  /** All of it was taken. `rejected`: the receiver threw some away and does not say which. */
  | { outcome: 'accepted'; rejected?: { entries: number; because: string } }
  /** Nothing was taken, because of what is in it: the same bytes will not be taken later either. */
  | { outcome: 'refused'; because: string }
  /** Perhaps nothing was taken, because of the circumstances: the same bytes may be taken later. */
  | { outcome: 'failed'; because: string; retryAfterMilliseconds?: number };

export type Receiver = {
  /** One batch, in order. Takes a bounded time, and does not reject. */
  deliver(batch: readonly SinkEvent[]): Promise<Delivery>;
  /**
   * Only where a delivery is no acknowledgement (syslog): whether the other side has read all that was delivered
   * since the last time. When not, all of that is sent again.
   */
  confirm?(): Promise<boolean>;
  /** Gives up what is under way, and lets go of connections and files. Can be called again. */
  close(): Promise<void>;
};

/** What went wrong in a few printable words, without what the other side wrote, and without an address or a secret. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const { code } = error as NodeJS.ErrnoException;
  return printable(typeof code === 'string' ? code : error.name === 'Error' ? error.message : error.name);
}
