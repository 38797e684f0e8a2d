/** How much is sent at once. */
import type { LogEntry } from './sink-entry.ts';

export const MAX_BATCH_ENTRIES = 500;
export const MAX_BATCH_BYTES = 1_048_576;

/** As many entries as fit, and at least one. */
export function withinBytes(batch: readonly LogEntry[]): readonly LogEntry[] {
  let bytes = 0;
  const end = batch.findIndex(({ document }, index) => {
    bytes += JSON.stringify(document).length;
    return index > 0 && bytes > MAX_BATCH_BYTES;
  });
  return end === -1 ? batch : batch.slice(0, end);
}

/** The leaf that a batch begins with, and the one after its last; retention leaves holes, so they are not counted. */
export function endsOf(batch: readonly LogEntry[]): { first: number; next: number } {
  return { first: batch[0]?.index ?? 0, next: (batch.at(-1)?.index ?? 0) + 1 };
}
