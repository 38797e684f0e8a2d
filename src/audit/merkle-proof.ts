/**
 * Inclusion and consistency proofs (RFC 9162 §2.1.3 and §2.1.4). A proof is planned first, as the complete subtrees
 * that each of its hashes is made of, so that whoever stores them reads all of them at once; then it is put together.
 * Verifying is the iteration of the RFC and knows no tree: indexes, sizes and hashes only.
 */
import { EMPTY_ROOT, foldSubtrees, nodeHash, type Subtree, subtreesOf } from './merkle-tree.ts';
import { HASH_BYTES } from './note-text.ts';

/** One member for each hash of the proof: the neighbouring complete subtrees that it is folded from. */
export type ProofPlan = readonly (readonly Subtree[])[];

export type ReadSubtree = (subtree: Subtree) => Buffer;

/**
 * PATH(index, D[size]) of RFC 9162 §2.1.3.1.
 * @throws {RangeError} when the index is not below the size
 */
export function planInclusion({ index, size }: { index: number; size: number }): ProofPlan {
  if (!isSize(index) || !isSize(size) || index >= size) {
    throw new RangeError(`there is no leaf ${index} in a tree of ${size}`);
  }
  const plan: Subtree[][] = [];
  for (let [from, to] = [0, size]; to - from > 1; ) {
    const middle = from + split(to - from);
    const isLeft = index < middle;
    plan.push(isLeft ? subtreesOf(middle, to) : subtreesOf(from, middle));
    [from, to] = isLeft ? [from, middle] : [middle, to];
  }
  return plan.reverse();
}

/**
 * PROOF(first, D[second]) of RFC 9162 §2.1.4.1; empty from nothing, and from a tree to itself.
 * @throws {RangeError} when the first tree is larger than the second
 */
export function planConsistency({ first, second }: { first: number; second: number }): ProofPlan {
  if (!isSize(first) || !isSize(second) || first > second) {
    throw new RangeError(`a tree of ${second} does not continue one of ${first}`);
  }
  if (first === 0 || first === second) return [];
  const plan: Subtree[][] = [];
  let [from, to] = [0, second];
  while (first < to) {
    const middle = from + split(to - from);
    const isLeft = first <= middle;
    plan.push(isLeft ? subtreesOf(middle, to) : subtreesOf(from, middle));
    [from, to] = isLeft ? [from, middle] : [middle, to];
  }
  // Where the first tree is itself a complete subtree, whoever verifies has its root already.
  if (from > 0) plan.push(subtreesOf(from, to));
  return plan.reverse();
}

export function proofOf(plan: ProofPlan, read: ReadSubtree): Buffer[] {
  return plan.map((subtrees) => foldSubtrees(subtrees.map(read)));
}

/** RFC 9162 §2.1.3.2. False for everything that is not exactly the proof of this leaf at this index. */
export function verifyInclusion(claim: {
  index: number;
  size: number;
  leaf: Uint8Array;
  proof: readonly Uint8Array[];
  root: Uint8Array;
}): boolean {
  const { index, size, leaf, proof, root } = claim;
  if (!isSize(index) || !isSize(size) || index >= size || !areHashes([leaf, root, ...proof])) return false;
  let [node, last, hash] = [index, size - 1, leaf];
  for (const sibling of proof) {
    if (last === 0) return false;
    if (isRightChild(node) || node === last) {
      hash = nodeHash(sibling, hash);
      [node, last] = climbToRightChild(node, last);
    } else {
      hash = nodeHash(hash, sibling);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 && isSame(hash, root);
}

/**
 * RFC 9162 §2.1.4.2: the first `first` leaves under `secondRoot` are those under `firstRoot`. From nothing every
 * tree follows, without a proof.
 */
export function verifyConsistency(claim: {
  first: number;
  second: number;
  firstRoot: Uint8Array;
  secondRoot: Uint8Array;
  proof: readonly Uint8Array[];
}): boolean {
  const { first, second, firstRoot, secondRoot, proof } = claim;
  if (!isSize(first) || !isSize(second) || first > second) return false;
  if (!areHashes([firstRoot, secondRoot, ...proof])) return false;
  if (first === 0 && !isSame(firstRoot, EMPTY_ROOT)) return false;
  if (first === second) return proof.length === 0 && isSame(firstRoot, secondRoot);
  if (first === 0) return proof.length === 0;
  return proof.length > 0 && leadsToBoth(claim);
}

function leadsToBoth({
  first,
  second,
  firstRoot,
  secondRoot,
  proof,
}: Parameters<typeof verifyConsistency>[0]): boolean {
  const [start = firstRoot, ...rest] = isPowerOfTwo(first) ? [firstRoot, ...proof] : proof;
  let [node, last] = [first - 1, second - 1];
  while (isRightChild(node)) [node, last] = [half(node), half(last)];
  let [firstHash, secondHash] = [start, start];
  for (const sibling of rest) {
    if (last === 0) return false;
    if (isRightChild(node) || node === last) {
      firstHash = nodeHash(sibling, firstHash);
      secondHash = nodeHash(sibling, secondHash);
      [node, last] = climbToRightChild(node, last);
    } else {
      secondHash = nodeHash(secondHash, sibling);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 && isSame(firstHash, firstRoot) && isSame(secondHash, secondRoot);
}

/** A node that is the last of its row and a left child has no sibling there: it stands for its parent. */
function climbToRightChild(node: number, last: number): [node: number, last: number] {
  let [here, end] = [node, last];
  while (!isRightChild(here) && here !== 0) [here, end] = [half(here), half(end)];
  return [here, end];
}

/** The largest power of two below n. */
function split(leaves: number): number {
  let power = 1;
  while (power * 2 < leaves) power *= 2;
  return power;
}

// Not the operators of bits: those know 32 of them.
const isRightChild = (node: number) => node % 2 === 1;
const half = (node: number) => Math.floor(node / 2);
const isSize = (value: number) => Number.isSafeInteger(value) && value >= 0;
const isSame = (left: Uint8Array, right: Uint8Array) => Buffer.compare(left, right) === 0;

function areHashes(values: readonly Uint8Array[]): boolean {
  return values.every(({ length }) => length === HASH_BYTES);
}

function isPowerOfTwo(value: number): boolean {
  let rest = value;
  while (rest % 2 === 0) rest /= 2;
  return rest === 1;
}
