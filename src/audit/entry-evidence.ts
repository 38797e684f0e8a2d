/**
 * Why entries are those of a signed tree: a part of a log brings a proof with each entry (`provedOneByOne`), a whole log
 * brings all of its leaves, which have the signed root together (`provedTogether`).
 */
import { badEntry, type Evidence } from './check-entries.ts';
import { verifyInclusion } from './merkle-proof.ts';
import { appendLeaves, EMPTY_FRONTIER, rootOf, type Subtree, subtreesOf } from './merkle-tree.ts';
import { TILE_HEIGHT } from './tiles.ts';
import type { SeenTree, TreeHead } from './trusted-log.ts';

/** Each entry has its own proof. */
export function provedOneByOne({ size, root }: TreeHead): Evidence {
  return {
    admit(leaf, { index, proof = [] }) {
      const isIncluded = verifyInclusion({ index, size, leaf, proof, root });
      const why = `its proof does not lead to the root of the ${size} entries signed`;
      return isIncluded ? null : badEntry('not-included', index, why);
    },
    conclude: () => null,
  };
}

export type WholeEvidence = Evidence & {
  /** The subtrees of which tiles hold the hash, that became complete since this was asked last. */
  completed(): { subtree: Subtree; hash: Buffer }[];
  /** Where these leaves leave a tree that was seen before: the first bad entry is one of these. */
  departure(): { from: number; to: number } | null;
  /** So many of them are those of a tree that was seen before. */
  soundUntil(): number;
  /** The roots of their complete subtrees, the largest first. */
  subtrees(): readonly Buffer[];
};

/**
 * All leaves, from the first to the last.
 * @param known trees of this log that were seen before
 */
export function provedTogether(head: TreeHead, known: readonly SeenTree[]): WholeEvidence {
  const ahead = known
    .filter(({ size }) => size > 0 && size <= head.size)
    .toSorted((one, other) => one.size - other.size);
  let frontier = EMPTY_FRONTIER;
  let soundUntil = 0;
  let departure: { from: number; to: number } | null = null;
  let complete: { subtree: Subtree; hash: Buffer }[] = [];
  const marks = landmarksOf(known);
  let different: { from: number; to: number } | null = null;

  /** A tree that differs differs in one of its subtrees, also where not all of it is there any more. */
  function compareWithMarks(subtree: Subtree, hash: Buffer): void {
    const mark = marks.get(nameOf(subtree));
    if (mark === undefined || different !== null) return;
    const span = 2 ** subtree.level;
    const [from, to] = [subtree.index * span, (subtree.index + 1) * span];
    if (mark.equals(hash)) soundUntil = Math.max(soundUntil, to);
    else different = { from: Math.max(soundUntil, from), to };
  }

  function compareWithKnown(): void {
    while (ahead[0]?.size === frontier.size) {
      const { size, root } = ahead.shift() as TreeHead;
      if (departure !== null) continue;
      if (rootOf(frontier).equals(root)) soundUntil = size;
      else departure = different ?? { from: soundUntil, to: size };
    }
  }

  return {
    admit(leaf) {
      frontier = appendLeaves(frontier, [leaf], (subtree, hash) => {
        if (subtree.level > 0 && subtree.level % TILE_HEIGHT === 0) complete.push({ subtree, hash });
        compareWithMarks(subtree, hash);
      });
      compareWithKnown();
      return null;
    },
    conclude() {
      if (frontier.size === head.size && rootOf(frontier).equals(head.root)) return null;
      const { from, to } = departure ?? different ?? { from: soundUntil, to: head.size };
      return { flaw: 'leaves-changed', index: from, until: to, why: ROOT_MISSED };
    },
    completed() {
      const found = complete;
      complete = [];
      return found;
    },
    departure: () => departure ?? different,
    soundUntil: () => soundUntil,
    subtrees: () => frontier.roots,
  };
}

const nameOf = ({ level, index }: Subtree) => `${level}/${index}`;

function landmarksOf(known: readonly SeenTree[]): Map<string, Buffer> {
  return new Map(
    known.flatMap(({ size, subtrees = [] }) =>
      subtreesOf(0, size).flatMap((subtree, at): [string, Buffer][] => {
        const hash = subtrees[at];
        return hash === undefined ? [] : [[nameOf(subtree), hash]];
      }),
    ),
  );
}

const ROOT_MISSED = 'the hashes of the log do not lead to its signed root';
