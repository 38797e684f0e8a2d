/** What a sink carries: entries of the audit log in the order of their leaves. */

/** One entry as the log hashes it (its canonical JSON is the leaf). Absent members are absent, never null. */
export type AuditDocument = {
  /** `aud_…`: what a receiver knows a repetition by. */
  id: string;
  /** `YYYY-MM-DDTHH:MM:SS.ffffffZ` */
  at: string;
  /** Past tense: `token.minted`. */
  action: string;
  outcome: 'allowed' | 'refused';
  reason?: string;
  request_id?: string;
  actor?: string;
  session_id?: string;
  token_id?: string;
  /** How many identical refusals this entry stands for. */
  repetitions: number;
  details: Readonly<Record<string, unknown>>;
};

/** `index` is the entry's leaf; null for an event that is in no log, such as a test. */
export type SinkEvent = { index: number | null; document: AuditDocument };
export type LogEntry = { index: number; document: AuditDocument };

/** The committed log, by leaf index. */
export type LogReader = {
  /**
   * Entries from `index` on, in order, at most `limit`. What retention has removed is skipped, so that the first one
   * may have a higher index than was asked for.
   */
  readFrom(index: number, limit: number): Promise<LogEntry[]>;
};
