/**
 * The audit log as sinks read it: only what a signed head covers, so that nothing is sent that the log could still turn
 * out not to have; and without the entries whose text is past its retention, of which there is nothing to send.
 */
import type { EntryDocument } from '../audit/entry-document.ts';
import type { LogEntry, LogReader } from './sink-entry.ts';

type Placed = { index: number; entry: EntryDocument | null };

/** Leaves at once where texts are gone. */
const MAX_SKIPPED = 5_000;
/** So that a claim does not run out over them; the next call goes on from there. */
const MAX_LOOKS = 20;

/** @param options.size of the newest head that was kept */
export function createLoggedEntries({
  readFrom,
  size,
}: {
  readFrom: (index: number, limit: number) => Promise<Placed[]>;
  size: () => Promise<number>;
}): LogReader {
  let gone = { from: 0, to: 0 };

  return {
    async readFrom(index, limit) {
      const end = await size();
      let next = index >= gone.from && index < gone.to ? gone.to : index;
      for (let looks = 0; next < end && looks < MAX_LOOKS; looks += 1) {
        const most = looks === 0 ? limit : MAX_SKIPPED;
        const placed = await readFrom(next, Math.min(most, end - next));
        const entries = placed.filter((each) => each.index < end).flatMap(withText);
        if (entries.length > 0) return entries.slice(0, limit);
        next = (placed.at(-1)?.index ?? end) + 1;
        gone = { from: index, to: next };
      }
      return [];
    },
  };
}

function withText({ index, entry }: Placed): LogEntry[] {
  return entry === null ? [] : [{ index, document: entry }];
}
