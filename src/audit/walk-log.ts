/**
 * Goes through all of a log, tile by tile, and puts the signed root together from its leaves: what was changed, removed
 * or moved shows even where nobody asked for that entry. Keeps no more than the edge of the tree.
 */
import { type BadEntry, badEntry, createEntryCheck, type EntryCheck } from './check-entries.ts';
import { provedTogether } from './entry-evidence.ts';
import type { Subtree } from './merkle-tree.ts';
import { HASH_BYTES } from './note-text.ts';
import { formatTilePath, TILE_HEIGHT, TILE_WIDTH, type Tile, widthOfTile } from './tiles.ts';
import type { SeenTree, TreeHead } from './trusted-log.ts';

/** `document` is the canonical JSON; null where its retention has passed. */
export type LoggedText = { index: number; document: string | null };

/** A log as it is shown to somebody. Nothing of it is believed. */
export type LogSource = {
  /** As many hashes as the tile is wide, one after another; null when the log does not have them all. */
  tile(tile: Tile): Promise<Buffer | null>;
  /** The texts of all entries, bundle by bundle as tiles of level 0 are; hashes alone are looked at without it. */
  texts?: (size: number) => AsyncGenerator<readonly LoggedText[]>;
};

export type LogWalk = {
  bad: BadEntry | null;
  bodiesAbsent: number;
  /** Where it leaves a tree that was seen before: the first entry that is another one is one of these. */
  departure: { from: number; to: number } | null;
  /** The roots of its complete subtrees, the largest first. */
  subtrees: readonly Buffer[];
};

/**
 * @param options.head of the log, signed
 * @param options.known trees of this log that were seen before
 * @param options.bodiesFrom from which index on every entry must still have its text
 */
export async function walkLog(
  { tile: fetchTile, texts }: LogSource,
  { head, known, bodiesFrom }: { head: TreeHead; known: readonly SeenTree[]; bodiesFrom: number },
): Promise<LogWalk> {
  const { size } = head;
  const evidence = provedTogether(head, known);
  const check = createEntryCheck({ from: 0, to: size, bodiesFrom, evidence });
  const bundles = texts?.(size);
  const served = servedHashes(fetchTile, size);

  async function firstBad(): Promise<BadEntry | null> {
    let unserved: BadEntry | null = null;
    for (let index = 0; index * TILE_WIDTH < size; index += 1) {
      const tile = { level: 0, index, width: widthOfTile({ level: 0, index }, size) };
      const leaves = await leavesThere(fetchTile, tile);
      const bad = takeLeaves(check, { leaves, texts: await bundles?.next() });
      if (bad !== null) return bad;
      for (const { subtree, hash } of evidence.completed()) {
        const stored = await served(subtree);
        if (stored === null) unserved ??= above(subtree, 'the hash above them is gone');
        else if (!stored.equals(hash))
          return above(subtree, 'their hashes do not lead to the one above them');
      }
      if (leaves.length < tile.width)
        return badEntry('missing', check.next(), wantingSince(evidence.soundUntil()));
    }
    return check.end() ?? unserved;
  }

  const bad = await firstBad();
  return {
    bad,
    bodiesAbsent: check.bodiesAbsent(),
    departure: evidence.departure(),
    subtrees: evidence.subtrees(),
  };
}

/** The stored tree has to be that of the leaves: where it is not, that tells in which of its parts to look. */
function above({ level, index }: Subtree, why: string): BadEntry {
  const span = 2 ** level;
  return { flaw: 'leaves-changed', index: index * span, until: (index + 1) * span, why };
}

function wantingSince(soundUntil: number): string {
  return `it was signed, and its hash is gone; without it nothing proves those before it, from ${soundUntil} on`;
}

function takeLeaves(
  check: EntryCheck,
  { leaves, texts }: { leaves: readonly Buffer[]; texts: IteratorResult<readonly LoggedText[]> | undefined },
): BadEntry | null {
  const bundle: readonly LoggedText[] = texts?.value ?? [];
  for (const [at, leaf] of leaves.entries()) {
    const text = bundle[at];
    if (texts !== undefined && text === undefined) {
      return badEntry('missing', check.next(), 'it was signed, and is not shown');
    }
    const bad = check.take({ index: check.next(), ...text, leaf });
    if (bad !== null) return bad;
  }
  return null;
}

/** Hashes of higher levels; each of their tiles is asked for once, since subtrees are completed in order. */
function servedHashes(fetchTile: LogSource['tile'], size: number) {
  const held = new Map<number, { path: string; bytes: Buffer | null }>();
  return async ({ level, index }: Subtree): Promise<Buffer | null> => {
    const place = { level: level / TILE_HEIGHT, index: Math.floor(index / TILE_WIDTH) };
    const tile = { ...place, width: widthOfTile(place, size) };
    const path = formatTilePath(tile);
    let kept = held.get(place.level);
    if (kept?.path !== path) kept = { path, bytes: await fetchTile(tile) };
    held.set(place.level, kept);
    const start = (index % TILE_WIDTH) * HASH_BYTES;
    return kept.bytes?.subarray(start, start + HASH_BYTES) ?? null;
  };
}

/** Of a tile that is not there as a whole, what is. */
async function leavesThere(fetchTile: LogSource['tile'], tile: Tile): Promise<Buffer[]> {
  const whole = await fetchTile(tile);
  if (whole !== null) return hashesIn(whole);
  let [there, wanting] = [0, tile.width];
  while (wanting - there > 1) {
    const width = Math.floor((there + wanting) / 2);
    if ((await fetchTile({ ...tile, width })) === null) wanting = width;
    else there = width;
  }
  return there === 0 ? [] : hashesIn((await fetchTile({ ...tile, width: there })) ?? Buffer.of());
}

function hashesIn(tile: Buffer): Buffer[] {
  return Array.from({ length: tile.length / HASH_BYTES }, (_, at) =>
    tile.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES),
  );
}
