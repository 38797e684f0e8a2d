/**
 * The tree cut into tiles (C2SP tlog-tiles): a tile of level l holds up to 256 neighbouring hashes, each over 256^l
 * leaves. Full tiles never change; a partial one is named with its width, so that it never changes either. Readers
 * fetch tiles and build every proof by themselves; nobody has to answer a question, or to be believed.
 *
 * Tiles that came from elsewhere prove nothing until a root or a proof made of them was compared with a checkpoint.
 */
import type { ProofPlan, ReadSubtree } from './merkle-proof.ts';
import { foldSubtrees, rootOfLeaves, type Subtree, subtreesOf } from './merkle-tree.ts';
import { HASH_BYTES } from './note-text.ts';

export const TILE_WIDTH = 256;
export const TILE_HEIGHT = 8;
const MAX_TILE_LEVEL = 63;

/** `entries` are the leaves' bytes themselves, in bundles that are cut like level 0. */
export type TileLevel = number | 'entries';

/** `width` hashes or entries: 1 to 255 for a partial tile, 256 for a full one. */
export type Tile<Level extends TileLevel = number> = { level: Level; index: number; width: number };

const PATH = /^tile\/(entries|[0-9]{1,2})\/((?:x[0-9]{3}\/){0,5}[0-9]{3})(?:\.p\/([0-9]{1,3}))?$/;

/** e.g. `tile/0/x001/x234/067` or `tile/entries/000.p/8`. */
export function formatTilePath({ level, index, width }: Tile<TileLevel>): string {
  const digits = String(index);
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, '0');
  const groups = padded.match(/[0-9]{3}/g) ?? [];
  const path = groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join('/');
  return `tile/${level}/${path}${width === TILE_WIDTH ? '' : `.p/${width}`}`;
}

/** @returns null for everything that is not the one spelling of a tile's path */
export function parseTilePath(path: string): Tile<TileLevel> | null {
  const [, level = '', groups = '', width] = PATH.exec(path) ?? [];
  if (groups === '') return null;
  const tile: Tile<TileLevel> = {
    level: level === 'entries' ? level : Number(level),
    index: Number(groups.replaceAll(/[x/]/g, '')),
    width: width === undefined ? TILE_WIDTH : Number(width),
  };
  const isWithin =
    Number.isSafeInteger(tile.index) &&
    (tile.level === 'entries' || tile.level <= MAX_TILE_LEVEL) &&
    tile.width >= 1 &&
    (width === undefined || tile.width < TILE_WIDTH);
  return isWithin && formatTilePath(tile) === path ? tile : null;
}

/** How many hashes this tile has in a tree of `size` leaves: 0 to 256. */
export function widthOfTile({ level, index }: { level: TileLevel; index: number }, size: number): number {
  const hashes = Math.floor(size / TILE_WIDTH ** (level === 'entries' ? 0 : level));
  return Math.min(Math.max(hashes - index * TILE_WIDTH, 0), TILE_WIDTH);
}

/** The tiles of hashes that a tree of `to` leaves has and one of `from` had not, or not so wide. */
export function tilesOfGrowth({ from, to }: { from: number; to: number }): Tile[] {
  const tiles: Tile[] = [];
  for (let level = 0, span = 1; span <= to; level += 1, span *= TILE_WIDTH) {
    const [before, after] = [Math.floor(from / span), Math.floor(to / span)];
    for (let index = Math.floor(before / TILE_WIDTH); index * TILE_WIDTH < after; index += 1) {
      const width = widthOfTile({ level, index }, to);
      if (width > widthOfTile({ level, index }, from)) tiles.push({ level, index, width });
    }
  }
  return tiles;
}

/** The tile in which a subtree's hash stands, or can be computed, in a tree of `size` leaves. */
export function tileOfSubtree({ level, index }: Subtree, size: number): Tile {
  const [tileLevel, height] = placeOf(level);
  const place = { level: tileLevel, index: Math.floor((index * 2 ** height) / TILE_WIDTH) };
  return { ...place, width: widthOfTile(place, size) };
}

/** Every tile that a proof is made of, each once. */
export function tilesOfPlan(plan: ProofPlan, size: number): Tile[] {
  const tiles = plan.flat().map((subtree) => tileOfSubtree(subtree, size));
  return [...new Map(tiles.map((tile) => [formatTilePath(tile), tile])).values()];
}

/**
 * Reads subtrees of a tree of `size` leaves out of its tiles.
 * @param read the tile's bytes; those of a wider one will do
 * @throws {RangeError} from the reader, when a tile is too short for what was asked
 */
export function createTileReader({
  size,
  read,
}: {
  size: number;
  read: (tile: Tile) => Uint8Array;
}): ReadSubtree {
  return (subtree) => {
    const tile = tileOfSubtree(subtree, size);
    const height = placeOf(subtree.level)[1];
    const first = (subtree.index * 2 ** height) % TILE_WIDTH;
    return rootOfLeaves(hashesOf(read(tile), { first, count: 2 ** height, path: formatTilePath(tile) }));
  };
}

/** The root of the tree whose tiles these are. */
export function rootOfTiles({ size, read }: { size: number; read: (tile: Tile) => Uint8Array }): Buffer {
  return foldSubtrees(subtreesOf(0, size).map(createTileReader({ size, read })));
}

/** The level of the tile, and how many levels above its hashes the subtree stands. */
function placeOf(level: number): [tileLevel: number, height: number] {
  return [Math.floor(level / TILE_HEIGHT), level % TILE_HEIGHT];
}

function hashesOf(
  tile: Uint8Array,
  { first, count, path }: { first: number; count: number; path: string },
): Buffer[] {
  if (tile.length < (first + count) * HASH_BYTES || tile.length % HASH_BYTES !== 0) {
    throw new RangeError(`${path} has ${tile.length} bytes, and ${(first + count) * HASH_BYTES} are needed`);
  }
  return Array.from({ length: count }, (_, at) =>
    Buffer.from(tile.subarray((first + at) * HASH_BYTES, (first + at + 1) * HASH_BYTES)),
  );
}
