/**
 * What somebody who owns the database can do to a log, and what somebody who owns its key as well can do. Every
 * mutation changes something: none can be the log as it was.
 */

import type { SigningKey } from '../../src/audit/sign-note.ts';
import { nodesOf, type WholeLog } from './memory-log.ts';
import { wholeLogOf } from './sample-log.ts';

export type Random = {
  /** A whole number from 0 up to, and without, `bound`. */
  below(bound: number): number;
};

/** xorshift32: the same mutations for the same seed. */
export function createRandom(seed: number): Random {
  let state = seed | 1;
  return {
    below(bound) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % bound;
    },
  };
}

export type Mutation = { kind: string; log: WholeLog };

/** The log as it was: nothing of it is gone. */
export type SignedLog = ReturnType<typeof wholeLogOf>;

export const at = <Item>(items: readonly Item[], index: number): Item => {
  const item = items[index];
  if (item === undefined) throw new RangeError(`there is no item ${index}`);
  return item;
};

export function flipBit(bytes: Buffer, random: Random): Buffer {
  const copy = Buffer.from(bytes);
  const bit = random.below(copy.length * 8);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
}

/** An entry that is none of the log's. */
export const foreign = (random: Random) =>
  Buffer.from(`{"id":"aud_${random.below(2 ** 31)}","is":"foreign"}`);

/** A different order of the same: two places whose entries change their places. */
export function swapped<Item>(items: readonly Item[], [one, other]: readonly [number, number]): Item[] {
  return items.with(one, at(items, other)).with(other, at(items, one));
}

export function twoPlaces(size: number, random: Random): [number, number] {
  const one = random.below(size);
  return [one, (one + 1 + random.below(size - 1)) % size];
}

/** The entries after somebody was at them. At least one that stood before the end stands there no more. */
const REWRITES: Readonly<Record<string, (entries: readonly Buffer[], random: Random) => Buffer[]>> = {
  edit: (entries, random) => entries.with(random.below(entries.length), foreign(random)),
  delete: (entries, random) => entries.toSpliced(random.below(entries.length), 1),
  insert: (entries, random) => entries.toSpliced(random.below(entries.length), 0, foreign(random)),
  double: (entries, random) => {
    const index = random.below(entries.length - 1);
    return entries.toSpliced(index, 0, at(entries, index));
  },
  swap: (entries, random) => swapped(entries, twoPlaces(entries.length, random)),
  move: (entries, random) => {
    const [from, to] = twoPlaces(entries.length, random);
    return entries.toSpliced(from, 1).toSpliced(to, 0, at(entries, from));
  },
  'truncate the tail': (entries, random) => entries.slice(0, random.below(entries.length)),
  'cut off the head': (entries, random) => entries.slice(1 + random.below(entries.length)),
  'replace all': (entries, random) => entries.map(() => foreign(random)),
  'flip a bit': (entries, random) => {
    const index = random.below(entries.length);
    return entries.with(index, flipBit(at(entries, index), random));
  },
};

function rewritten(kind: string, entries: readonly Buffer[], random: Random): Buffer[] {
  const change = REWRITES[kind];
  if (change === undefined) throw new RangeError(kind);
  return change(entries, random);
}

/** What leaves the entries or the leaves or the checkpoint in contradiction with the others. */
const CONTRADICTIONS: Readonly<Record<string, (whole: SignedLog, random: Random) => WholeLog>> = {
  'edit without its leaf': (whole, random) => ({
    ...whole,
    entries: rewritten('edit', whole.entries, random),
  }),
  'delete without its leaf': (whole, random) => ({
    ...whole,
    entries: rewritten('delete', whole.entries, random),
  }),
  'swap without the leaves': (whole, random) => ({
    ...whole,
    entries: rewritten('swap', whole.entries, random),
  }),
  'empty an entry': (whole, random) => ({
    ...whole,
    entries: whole.entries.with(random.below(whole.entries.length), Buffer.of()),
  }),
  'take an entry as if for retention': (whole, random) => {
    const index = random.below(whole.entries.length);
    return { ...whole, entries: whole.entries.map((entry, place) => (place === index ? null : entry)) };
  },
  'insert without a leaf': (whole, random) => ({
    ...whole,
    entries: rewritten('insert', whole.entries, random),
  }),
  'cut off the last leaves': (whole, random) => ({
    ...whole,
    leaves: whole.leaves.slice(0, random.below(whole.leaves.length)),
    nodes: nodesOf(whole.leaves),
  }),
  'flip a bit of a stored hash above the leaves': (whole, random) => {
    const nodes = nodesOf(whole.leaves);
    const [level, row] = at([...nodes], random.below(nodes.size));
    const index = random.below(row.length);
    return { ...whole, nodes: nodes.set(level, row.with(index, flipBit(at(row, index), random))) };
  },
  'flip a bit of a leaf': (whole, random) => {
    const index = random.below(whole.leaves.length);
    const leaves = whole.leaves.with(index, flipBit(at(whole.leaves, index), random));
    return { ...whole, leaves, ...(random.below(2) === 0 && { nodes: nodesOf(whole.leaves) }) };
  },
  'delete a leaf': (whole, random) => ({
    ...whole,
    leaves: whole.leaves.toSpliced(random.below(whole.leaves.length), 1),
  }),
  'flip a bit of the checkpoint': (whole, random) => ({
    ...whole,
    checkpoint: flipBit(Buffer.from(whole.checkpoint), random).toString(),
  }),
};

/** With the database alone: the checkpoint stays, for nobody can sign another. */
export function tampered(
  whole: SignedLog,
  { signer, random }: { signer: SigningKey; random: Random },
): Mutation {
  const kinds = [...Object.keys(CONTRADICTIONS), ...Object.keys(REWRITES)];
  const kind = at(kinds, random.below(kinds.length));
  const contradict = CONTRADICTIONS[kind];
  if (contradict !== undefined) return { kind, log: contradict(whole, random) };
  const { entries, leaves } = wholeLogOf(rewritten(kind, whole.entries, random), signer);
  return { kind, log: { entries, leaves, checkpoint: whole.checkpoint } };
}

/**
 * With the log's key too: everything is signed again, and only whoever remembers an earlier checkpoint can see it.
 * @param seenSize what the reader remembers: it is there, or before, that history changes
 */
export function resigned(
  { entries }: SignedLog,
  { signer, random, seenSize }: { signer: SigningKey; random: Random; seenSize: number },
): Mutation {
  const kinds = [...Object.keys(REWRITES), 'restore an old copy'];
  const kind = at(kinds, random.below(kinds.length));
  const foreigners = Array.from({ length: random.below(400) }, () => foreign(random));
  if (kind === 'restore an old copy') {
    const old = entries.slice(0, random.below(seenSize));
    return { kind, log: wholeLogOf([...old, ...foreigners], signer) };
  }
  const past = rewritten(kind, entries.slice(0, seenSize), random);
  // The broker goes on afterwards with the entries that came since, with others, or not at all.
  const since = random.below(2) === 0 ? entries.slice(seenSize) : foreigners;
  return { kind: `${kind}, signed again`, log: wholeLogOf([...past, ...since], signer) };
}
