/** What a running sink shows of itself, and what it needs. */
import type { Log } from '../errors/log.ts';
import type { Clock } from '../time/clock.ts';
import type { Pause } from '../time/pause.ts';
import type { Receiver } from './receiver.ts';
import type { LogReader } from './sink-entry.ts';
import type { SinkMetrics } from './sink-metrics.ts';
import type { SinkCursors } from './sink-store.ts';

export type SinkStatus = {
  name: string;
  /** Whether this broker is the one that sends. */
  holds: boolean;
  /** The leaf that is sent next; null before the first claim. */
  nextIndex: number | null;
  /** Entries of the log that were not received yet. */
  lagEntries: number;
  /** How old the oldest entry is that was read and not received. */
  lagSeconds: number;
  /** Why the last attempt failed; null when it did not. */
  failure: string | null;
};

export type RunningSink = {
  status(): Promise<SinkStatus>;
  /** There is something new in the log: no need to wait for the next look. Shortens no back-off. */
  wake(): void;
  /** Sends what is there already, if the receiver takes it, for a bounded time; then lets the sink go. */
  stop(): Promise<void>;
};

export type RunSinkOptions = {
  name: string;
  receiver: Receiver;
  reader: LogReader;
  cursors: SinkCursors;
  /** This broker, among all that could have the sink. */
  holder: string;
  /** How many entries the log has. */
  logSize: () => Promise<number>;
  clock: Clock;
  log: Log;
  metrics: SinkMetrics;
  pause?: Pause;
  random?: () => number;
};
