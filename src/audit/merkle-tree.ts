/**
 * The Merkle tree of RFC 6962 §2.1 and RFC 9162 §2.1.1 over SHA-256. A leaf is H(0x00 ‖ bytes) and a node is
 * H(0x01 ‖ left ‖ right), so that no leaf can be taken for a node; a tree of n leaves splits at the largest power of
 * two below n. Its root commits to every leaf, to their order and to their number.
 *
 * Whoever appends needs only the frontier: the roots of the complete subtrees that the leaves so far fall into, one
 * for each bit of their number. Complete subtrees never change again, which is why everything else can be stored
 * once and cached for ever.
 */
import { hash as digest } from 'node:crypto';
import { HASH_BYTES } from './note-text.ts';

/** A complete subtree: the leaves from index · 2^level up to, and without, (index + 1) · 2^level. */
export type Subtree = { level: number; index: number };

/** The roots of the complete subtrees of the first `size` leaves, the largest first. */
export type Frontier = { size: number; roots: readonly Buffer[] };

const LEAF_PREFIX = Buffer.of(0x00);
/** What {@link nodeHash} is about to hash: the prefix, left, right. Nothing waits between filling and hashing it. */
const node = Buffer.alloc(1 + 2 * HASH_BYTES, 0x01);

/** RFC 9162 §2.1.1: the root over no leaves at all. */
export const EMPTY_ROOT: Buffer = sha256('');

export const EMPTY_FRONTIER: Frontier = { size: 0, roots: [] };

export function leafHash(bytes: Uint8Array): Buffer {
  return sha256(Buffer.concat([LEAF_PREFIX, bytes]));
}

/** @param left 32 bytes, as `right`: what is joined has a fixed length, or two joins could be one sequence of bytes */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  if (left.length !== HASH_BYTES || right.length !== HASH_BYTES) {
    throw new RangeError(`a hash has ${HASH_BYTES} bytes`);
  }
  node.set(left, 1);
  node.set(right, 1 + HASH_BYTES);
  return sha256(node);
}

/** Through hexadecimal: asking for a buffer costs twice as much. */
function sha256(bytes: string | Uint8Array): Buffer {
  return Buffer.from(digest('sha256', bytes, 'hex'), 'hex');
}

/**
 * A frontier from what was stored.
 * @throws {RangeError} when these cannot be the roots of so many leaves
 */
export function frontierOf(size: number, roots: readonly Uint8Array[]): Frontier {
  const expected = subtreesOf(0, size).length;
  if (roots.length !== expected || roots.some(({ length }) => length !== HASH_BYTES)) {
    throw new RangeError(`the frontier of ${size} leaves has ${expected} roots of ${HASH_BYTES} bytes`);
  }
  return { size, roots: roots.map((root) => Buffer.from(root)) };
}

/**
 * @param onSubtree is told each subtree that became complete, the leaves (level 0) among them, children first
 * @returns the frontier afterwards; the given one stays as it was
 */
export function appendLeaves(
  frontier: Frontier,
  leaves: Iterable<Buffer>,
  onSubtree: (subtree: Subtree, hash: Buffer) => void = () => {},
): Frontier {
  const roots = [...frontier.roots];
  let size = frontier.size;
  for (const leaf of leaves) {
    let [level, index, hash] = [0, size, leaf];
    onSubtree({ level, index }, hash);
    // A right child completes its parent: its left sibling is the last root.
    while (index % 2 === 1) {
      hash = nodeHash(roots.pop() ?? EMPTY_ROOT, hash);
      [level, index] = [level + 1, (index - 1) / 2];
      onSubtree({ level, index }, hash);
    }
    roots.push(hash);
    size += 1;
  }
  return { size, roots };
}

export function rootOf({ roots }: Frontier): Buffer {
  return foldSubtrees(roots);
}

/** The root over these leaf hashes. */
export function rootOfLeaves(leaves: Iterable<Buffer>): Buffer {
  return rootOf(appendLeaves(EMPTY_FRONTIER, leaves));
}

/**
 * The complete subtrees of the leaves from `from` up to, and without, `to`: the largest first.
 * @param from 0, or where a split of the tree lies: a multiple of a power of two that is not below `to - from`
 */
export function subtreesOf(from: number, to: number): Subtree[] {
  const subtrees: Subtree[] = [];
  for (let start = from; start < to; ) {
    const level = levelWithin(to - start);
    subtrees.push({ level, index: start / 2 ** level });
    start += 2 ** level;
  }
  return subtrees;
}

/** The hash over neighbouring complete subtrees, the largest first, as the tree joins them: from the right. */
export function foldSubtrees(roots: readonly Buffer[]): Buffer {
  if (roots.length === 0) return EMPTY_ROOT;
  return roots.reduceRight((right, left) => nodeHash(left, right));
}

/** The largest level with 2^level ≤ leaves. Not a logarithm, which rounds up just below 2^53. */
function levelWithin(leaves: number): number {
  let level = 0;
  while (2 ** (level + 1) <= leaves) level += 1;
  return level;
}
