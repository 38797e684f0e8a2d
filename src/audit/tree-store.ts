/**
 * The tree as the database has it, read in pieces: tiles as they are served, roots and proofs put together from the
 * hashes of complete subtrees. A tree of a million leaves is proved with one statement that reads some hundred rows.
 */
import type { Pool } from 'pg';
import { type ProofPlan, planConsistency, planInclusion } from './merkle-proof.ts';
import { foldSubtrees, rootOfLeaves, type Subtree, subtreesOf } from './merkle-tree.ts';
import { TILE_WIDTH, type Tile } from './tiles.ts';

export type StoredTree = {
  /** @throws {MissingHashError} when the tables have less than that many leaves */
  rootAt(size: number): Promise<Buffer>;
  inclusion(leaf: { index: number; size: number }): Promise<Buffer[]>;
  consistency(trees: { first: number; second: number }): Promise<Buffer[]>;
  /** The tile's bytes: its hashes one after another. */
  tile(tile: Tile): Promise<Buffer>;
};

/** Hashes that have to be there are not: rows of the log were removed. */
export class MissingHashError extends Error {
  override readonly name = 'MissingHashError';
}

/** Neighbouring hashes of one level of tiles. */
type Range = { level: number; first: number; count: number };

const TILE_HEIGHT = 8;

const READ_RANGES = {
  name: 'read_hashes',
  text: `
    select r.place::int as place, h.hash
      from unnest($1::smallint[], $2::bigint[], $3::bigint[]) with ordinality as r (level, first, last, place)
     cross join lateral (
       select l.leaf_index as at, l.hash from audit_leaves l
        where r.level = 0 and l.leaf_index between r.first and r.last
       union all
       select n.node_index, n.hash from audit_nodes n
        where r.level > 0 and n.level = r.level and n.node_index between r.first and r.last) as h
     order by r.place, h.at`,
};

export function createStoredTree(pool: Pick<Pool, 'query'>): StoredTree {
  async function readRanges(ranges: readonly Range[]): Promise<Buffer[][]> {
    if (ranges.length === 0) return [];
    const { rows } = await pool.query<{ place: number; hash: Buffer }>({
      ...READ_RANGES,
      values: [
        ranges.map(({ level }) => level),
        ranges.map(({ first }) => first),
        ranges.map(({ first, count }) => first + count - 1),
      ],
    });
    const found: Buffer[][] = ranges.map(() => []);
    for (const { place, hash } of rows) found[place - 1]?.push(hash);
    ranges.forEach(({ level, first, count }, at) => {
      if (found[at]?.length === count) return;
      throw new MissingHashError(
        `of level ${level} the hashes from ${first} to ${first + count - 1} are wanting`,
      );
    });
    return found;
  }

  async function readSubtrees(subtrees: readonly Subtree[]): Promise<Buffer[]> {
    return (await readRanges(subtrees.map(rangeOf))).map(rootOfLeaves);
  }

  async function prove(plan: ProofPlan): Promise<Buffer[]> {
    const hashes = await readSubtrees(plan.flat());
    let at = 0;
    return plan.map((subtrees) => {
      at += subtrees.length;
      return foldSubtrees(hashes.slice(at - subtrees.length, at));
    });
  }

  return {
    rootAt: async (size) => foldSubtrees(await readSubtrees(subtreesOf(0, size))),
    inclusion: (leaf) => prove(planInclusion(leaf)),
    consistency: (trees) => prove(planConsistency(trees)),
    async tile({ level, index, width }) {
      const [hashes = []] = await readRanges([{ level, first: index * TILE_WIDTH, count: width }]);
      return Buffer.concat(hashes);
    },
  };
}

/** The hashes of tiles below which the subtree stands: itself, or up to 128 of the next stored level. */
function rangeOf({ level, index }: Subtree): Range {
  const count = 2 ** (level % TILE_HEIGHT);
  return { level: Math.floor(level / TILE_HEIGHT), first: index * count, count };
}
