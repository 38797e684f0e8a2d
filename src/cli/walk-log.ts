/**
 * Goes through all of a live log, tile by tile, and puts the signed root together from its leaves: what was changed,
 * removed or moved shows even where nobody asked for that entry. Keeps no more than the edge of the tree.
 */
import {
  appendLeaves,
  EMPTY_FRONTIER,
  type Frontier,
  leafHash,
  rootOf,
  type Subtree,
} from '../audit/merkle-tree.ts';
import { HASH_BYTES } from '../audit/note-text.ts';
import { formatTilePath, TILE_WIDTH, type Tile, widthOfTile } from '../audit/tiles.ts';
import type { TreeHead } from '../audit/trusted-log.ts';
import type { Bundle } from './entry-texts.ts';

export type LogWalk =
  | { outcome: 'sound'; bodiesAbsent: number }
  /** The first bad entry, exactly. */
  | { outcome: 'entry-changed' | 'body-absent'; index: number }
  /** Hashes contradict each other or the root: what is wrong lies at or after `from`, and before `to`. */
  | { outcome: 'leaves-changed'; from: number; to: number };

export type WalkOptions = {
  head: TreeHead;
  /** A tree of this log that was seen before; its leaves are sound if they still have its root. */
  seen: TreeHead | null;
  fetchTile: (tile: Tile) => Promise<Buffer>;
  /** The texts of all entries, bundle by bundle as tiles of level 0 are; hashes alone when left out. */
  bundles?: AsyncGenerator<Bundle>;
  /** From which index on every entry must still have its text. */
  bodiesFrom: number;
};

const TILE_HEIGHT = 8;

export async function walkLog({ head, seen, fetchTile, bundles, bodiesFrom }: WalkOptions): Promise<LogWalk> {
  const { size, root } = head;
  let frontier: Frontier = EMPTY_FRONTIER;
  let bodiesAbsent = 0;
  let soundUntil = 0;
  const held = new Map<number, { path: string; bytes: Buffer }>();

  /** A hash of a higher level; each of its tiles is asked for once, since subtrees are completed in order. */
  async function servedHash({ level, index }: Subtree): Promise<Buffer> {
    const place = { level: level / TILE_HEIGHT, index: Math.floor(index / TILE_WIDTH) };
    const tile = { ...place, width: widthOfTile(place, size) };
    const path = formatTilePath(tile);
    let kept = held.get(place.level);
    if (kept?.path !== path) kept = { path, bytes: await fetchTile(tile) };
    held.set(place.level, kept);
    const start = (index % TILE_WIDTH) * HASH_BYTES;
    return kept.bytes.subarray(start, start + HASH_BYTES);
  }

  async function append(leaves: readonly Buffer[]): Promise<LogWalk | null> {
    const complete: [Subtree, Buffer][] = [];
    const before = frontier;
    frontier = appendLeaves(frontier, leaves, (subtree, hash) => {
      if (subtree.level > 0 && subtree.level % TILE_HEIGHT === 0) complete.push([subtree, hash]);
    });
    for (const [subtree, hash] of complete) {
      if ((await servedHash(subtree)).equals(hash)) continue;
      const span = 2 ** subtree.level;
      return { outcome: 'leaves-changed', from: subtree.index * span, to: (subtree.index + 1) * span };
    }
    if (seen !== null && before.size < seen.size && seen.size <= frontier.size) {
      const then = appendLeaves(before, leaves.slice(0, seen.size - before.size));
      if (!rootOf(then).equals(seen.root)) return { outcome: 'leaves-changed', from: 0, to: seen.size };
      soundUntil = seen.size;
    }
    return null;
  }

  async function firstBadText(leaves: readonly Buffer[], first: number): Promise<LogWalk | null> {
    const { value } = (await bundles?.next()) ?? { value: undefined };
    if (value === undefined) return null;
    for (const { index, document } of (value as Bundle).entries) {
      const leaf = leaves[index - first];
      if (document === null) {
        bodiesAbsent += 1;
        if (index >= bodiesFrom) return { outcome: 'body-absent', index };
      } else if (leaf === undefined || !leafHash(Buffer.from(document)).equals(leaf)) {
        return { outcome: 'entry-changed', index };
      }
    }
    return null;
  }

  for (let index = 0; index * TILE_WIDTH < size; index += 1) {
    const tile = { level: 0, index, width: widthOfTile({ level: 0, index }, size) };
    const leaves = hashesIn(await fetchTile(tile));
    const bad = (await firstBadText(leaves, index * TILE_WIDTH)) ?? (await append(leaves));
    if (bad !== null) return bad;
  }
  if (!rootOf(frontier).equals(root)) return { outcome: 'leaves-changed', from: soundUntil, to: size };
  return { outcome: 'sound', bodiesAbsent };
}

function hashesIn(tile: Buffer): Buffer[] {
  return Array.from({ length: tile.length / HASH_BYTES }, (_, at) =>
    tile.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES),
  );
}
