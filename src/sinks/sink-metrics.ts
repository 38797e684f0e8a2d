/** What sinks count. Names of sinks are declared, never taken from a request. */
export type SinkMetrics = {
  /** Entries that a receiver has taken. */
  sent(sink: string, entries: number): void;
  /** An attempt that came to nothing. */
  failed(sink: string): void;
  /** Entries that went among the dead letters. */
  parked(sink: string, entries: number): void;
};

export const noSinkMetrics: SinkMetrics = { sent() {}, failed() {}, parked() {} };
