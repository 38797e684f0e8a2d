/** What a sink carries: entries of the audit log in the order of their leaves. */

import type { EntryDocument } from '../audit/entry-document.ts';

/** `index` is the entry's leaf; null for an event that is in no log, such as a test. */
export type SinkEvent = { index: number | null; document: EntryDocument };
export type LogEntry = { index: number; document: EntryDocument };

/** A challenge for a nonce is answered at once by the same request with one: nobody decided against anything. */
export function isChallenge({ action }: Pick<EntryDocument, 'action'>): boolean {
  return action === 'proof.challenged';
}

/** What a receiver may want to warn somebody of. */
export function isWarning(document: Pick<EntryDocument, 'action' | 'outcome'>): boolean {
  return document.outcome === 'refused' && !isChallenge(document);
}

/** The committed log, by leaf index. */
export type LogReader = {
  /**
   * Entries from `index` on, in order, at most `limit`. What retention has removed is skipped, so that the first one
   * may have a higher index than was asked for.
   */
  readFrom(index: number, limit: number): Promise<LogEntry[]>;
};
