/** A whole tree in memory. Whoever serves or verifies a log reads tiles instead. */
import { planConsistency, planInclusion, proofOf } from '../../src/audit/merkle-proof.ts';
import {
  appendLeaves,
  EMPTY_FRONTIER,
  foldSubtrees,
  type Subtree,
  subtreesOf,
} from '../../src/audit/merkle-tree.ts';

export type MemoryTree = {
  size: number;
  /** Of a complete subtree. @throws {RangeError} when it is not complete */
  read(subtree: Subtree): Buffer;
  /** Of the first `size` leaves. */
  rootAt(size: number): Buffer;
  inclusion(index: number, size?: number): Buffer[];
  consistency(first: number, second?: number): Buffer[];
};

export function createMemoryTree(leaves: readonly Buffer[]): MemoryTree {
  const levels: Buffer[][] = [];
  const { size } = appendLeaves(EMPTY_FRONTIER, leaves, ({ level }, hash) => {
    const row = levels[level] ?? [];
    levels[level] = row;
    row.push(hash);
  });
  function read({ level, index }: Subtree): Buffer {
    const hash = levels[level]?.[index];
    if (hash === undefined) throw new RangeError(`the subtree ${index} of level ${level} is not complete`);
    return hash;
  }
  return {
    size,
    read,
    rootAt: (at) => foldSubtrees(subtreesOf(0, at).map(read)),
    inclusion: (index, at = size) => proofOf(planInclusion({ index, size: at }), read),
    consistency: (first, second = size) => proofOf(planConsistency({ first, second }), read),
  };
}
