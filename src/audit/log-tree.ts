/**
 * Proofs made by the reader himself, out of tiles that he fetches: nobody has to be asked for one, and the server
 * learns nothing of what is being proved. A bounded number of tiles is kept, which is enough to go through a log of any
 * length from one end to the other.
 */
import { createRecent } from '../bounds/recent.ts';
import { type ProofPlan, planConsistency, planInclusion, proofOf } from './merkle-proof.ts';
import { foldSubtrees, type Subtree, subtreesOf } from './merkle-tree.ts';
import { HASH_BYTES } from './note-text.ts';
import {
  createTileReader,
  formatTilePath,
  TILE_WIDTH,
  type Tile,
  tilesOfPlan,
  widthOfTile,
} from './tiles.ts';

export type LogTree = {
  size: number;
  inclusion(index: number): Promise<Buffer[]>;
  /** From the first `first` leaves to the first `second`; all of them when left out. */
  consistency(first: number, second?: number): Promise<Buffer[]>;
  root(): Promise<Buffer>;
  leaf(index: number): Promise<Buffer>;
};

const KEPT_TILES = 128;
const KEPT_HASHES = 8_192;

/** @param fetchTile gives exactly as many hashes as the tile is wide */
export function fromTiles({
  size,
  fetchTile,
}: {
  size: number;
  fetchTile: (tile: Tile) => Promise<Buffer>;
}): LogTree {
  const tiles = createRecent<Buffer>(KEPT_TILES);
  /** Of subtrees: each is a part of the proofs of many neighbours. */
  const hashes = createRecent<Buffer>(KEPT_HASHES);

  async function tileOf(tile: Tile): Promise<Buffer> {
    const path = formatTilePath(tile);
    const held = tiles.get(path) ?? (await fetchTile(tile));
    tiles.set(path, held);
    return held;
  }

  async function readerFor(plan: ProofPlan): Promise<(subtree: Subtree) => Buffer> {
    const found = new Map<string, Buffer>();
    for (const subtree of plan.flat()) {
      const hash = hashes.get(nameOf(subtree));
      if (hash !== undefined) found.set(nameOf(subtree), hash);
    }
    const missing = plan.flat().filter((subtree) => !found.has(nameOf(subtree)));
    const held = new Map<string, Buffer>();
    for (const tile of tilesOfPlan([missing], size)) held.set(formatTilePath(tile), await tileOf(tile));
    const read = createTileReader({ size, read: (tile) => held.get(formatTilePath(tile)) ?? Buffer.of() });
    for (const subtree of missing) {
      const hash = read(subtree);
      hashes.set(nameOf(subtree), hash);
      found.set(nameOf(subtree), hash);
    }
    return (subtree) => found.get(nameOf(subtree)) ?? read(subtree);
  }

  const prove = async (plan: ProofPlan) => proofOf(plan, await readerFor(plan));

  return {
    size,
    inclusion: (index) => prove(planInclusion({ index, size })),
    consistency: (first, second = size) => prove(planConsistency({ first, second })),
    async root() {
      const subtrees = subtreesOf(0, size);
      return foldSubtrees(subtrees.map(await readerFor([subtrees])));
    },
    async leaf(index) {
      const place = { level: 0, index: Math.floor(index / TILE_WIDTH) };
      const tile = await tileOf({ ...place, width: widthOfTile(place, size) });
      const start = (index % TILE_WIDTH) * HASH_BYTES;
      return tile.subarray(start, start + HASH_BYTES);
    },
  };
}

const nameOf = ({ level, index }: Subtree) => `${level}/${index}`;
