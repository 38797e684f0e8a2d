/** A log as its tables hold it, shown by what the broker itself shows it with, to whoever checks it from outside. */
import type { Pool } from 'pg';
import { leafOfDocument } from '../../src/audit/entry-document.ts';
import { createLogReader } from '../../src/audit/entry-store.ts';
import type { ShownHead } from '../../src/audit/judge-live.ts';
import { TILE_WIDTH } from '../../src/audit/tiles.ts';
import { createStoredTree, MissingHashError } from '../../src/audit/tree-store.ts';
import type { LogSource } from '../../src/audit/walk-log.ts';

/** Whatever the tables say, sense or not; the newest signed head of them. */
export async function storedLog(client: Pick<Pool, 'query'>): Promise<LogSource & ShownHead> {
  const [tree, reader] = [createStoredTree(client), createLogReader(client)];
  const { rows: heads } = await client.query(
    'select note from audit_checkpoints order by audit_checkpoints.size desc limit 1',
  );
  const { rows: notes } = await client.query('select note from audit_hand_overs order by size');
  return {
    checkpoint: heads[0]?.note ?? '',
    handOvers: notes.map(({ note }) => note),
    async tile(tile) {
      try {
        return await tree.tile(tile);
      } catch (error) {
        if (error instanceof MissingHashError) return null;
        throw error;
      }
    },
    async *texts(size) {
      for (let from = 0; from < size; from += TILE_WIDTH) {
        const entries = await reader.readFrom(from, Math.min(TILE_WIDTH, size - from));
        yield entries.map(({ index, entry }) => ({
          index,
          document: entry === null ? null : leafOfDocument(entry, { isParsed: true }).bytes.toString(),
        }));
      }
    },
  };
}
