/** A log as somebody shows it, all of it in memory: what a broker serves out of its tables. */
import type { ShownHead } from '../../src/audit/judge-live.ts';
import { appendLeaves, EMPTY_FRONTIER } from '../../src/audit/merkle-tree.ts';
import { TILE_HEIGHT, TILE_WIDTH } from '../../src/audit/tiles.ts';
import type { LoggedText, LogSource } from '../../src/audit/walk-log.ts';

export type WholeLog = {
  /** The bytes of each entry, in the order of their indexes; null where retention took them. */
  entries: readonly (Uint8Array | null)[];
  leaves: readonly Buffer[];
  /** The stored hashes above the leaves, by the level of their tiles; those of the leaves when left out. */
  nodes?: ReadonlyMap<number, readonly Buffer[]>;
  /** The signed note over all of these leaves. */
  checkpoint: string;
  handOvers?: readonly string[];
};

export function shownLog(whole: WholeLog): LogSource & ShownHead {
  const { entries, leaves, checkpoint, handOvers = [] } = whole;
  let nodes = whole.nodes;
  return {
    checkpoint,
    handOvers,
    async tile({ level, index, width }) {
      if (level > 0) nodes ??= nodesOf(leaves);
      const row = level === 0 ? leaves : (nodes?.get(level) ?? []);
      const hashes = row.slice(index * TILE_WIDTH, index * TILE_WIDTH + width);
      return hashes.length < width ? null : Buffer.concat(hashes);
    },
    async *texts(size) {
      for (let from = 0; from < size; from += TILE_WIDTH) {
        yield entries
          .slice(from, Math.min(from + TILE_WIDTH, size))
          .map((entry, at) => textOf(entry, from + at));
      }
    },
  };
}

function textOf(entry: Uint8Array | null, index: number): LoggedText {
  return { index, document: entry === null ? null : Buffer.from(entry).toString() };
}

export function nodesOf(leaves: readonly Buffer[]): Map<number, Buffer[]> {
  const nodes = new Map<number, Buffer[]>();
  appendLeaves(EMPTY_FRONTIER, leaves, ({ level }, hash) => {
    if (level === 0 || level % TILE_HEIGHT !== 0) return;
    const row = nodes.get(level / TILE_HEIGHT) ?? [];
    nodes.set(level / TILE_HEIGHT, row);
    row.push(hash);
  });
  return nodes;
}
