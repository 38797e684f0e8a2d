/**
 * Checks a whole log against its own checkpoint and against a reader's memory: every entry has the hash of its leaf,
 * the leaves have the signed root, and the signed tree continues what the reader saw before. What was changed,
 * removed, inserted, moved or cut off shows, whoever did it; the first bad entry is named wherever the leaves still
 * tell it.
 */

import { readHandOver } from './hand-over.ts';
import { judgeCheckpoint, type Offer, type RefusedCheckpoint, type TrustPolicy } from './judge-checkpoint.ts';
import { createMemoryTree, type MemoryTree } from './memory-tree.ts';
import { leafHash } from './merkle-tree.ts';
import type { TrustedLog } from './trusted-log.ts';

export type WholeLog = {
  /** The bytes of each entry, in the order of their indexes; null where retention took them. */
  entries: readonly (Uint8Array | null)[];
  leaves: readonly Buffer[];
  /** The signed note over all of these leaves. */
  checkpoint: string;
  handOvers?: readonly string[];
};

export type LogVerdict =
  | { outcome: 'sound'; entries: number; bodiesAbsent: number; trusted: TrustedLog }
  /** `index` is the first bad entry. */
  | { outcome: 'entry-changed' | 'entry-missing' | 'entry-added' | 'body-absent'; index: number }
  /** Entries and leaves agree with each other and not with the root: at or after `soundUntil`, something changed. */
  | { outcome: 'leaves-changed'; soundUntil: number }
  | RefusedCheckpoint;

/** @param bodiesFrom the index from which on every entry must still have its bytes */
export function verifyLog(
  log: WholeLog,
  { trusted, bodiesFrom = 0, ...policy }: TrustPolicy & { trusted: TrustedLog; bodiesFrom?: number },
): LogVerdict {
  const tree = createMemoryTree(log.leaves);
  const judgement = judgeCheckpoint(trusted, offerOf(log, tree, trusted), policy);
  const wrong = firstWrongEntry(log, bodiesFrom);
  // A checkpoint that is not to be believed says more than an entry: it is the ground of everything else.
  if (judgement.outcome !== 'accepted' && judgement.outcome !== 'not-consistent') return judgement;
  if (wrong !== null) return wrong;
  const { size, root } = judgement.outcome === 'accepted' ? judgement.checkpoint : judgement.offered;
  if (log.leaves.length < size) return { outcome: 'entry-missing', index: log.leaves.length };
  if (log.leaves.length > size) return { outcome: 'entry-added', index: size };
  if (!tree.rootAt(size).equals(root)) {
    return { outcome: 'leaves-changed', soundUntil: soundUntil(tree, trusted) };
  }
  if (judgement.outcome !== 'accepted') return judgement;
  const bodiesAbsent = log.entries.filter((entry) => entry === null).length;
  return { outcome: 'sound', entries: size, bodiesAbsent, trusted: judgement.trusted };
}

/** The proofs that the log would give, made of its leaves. */
function offerOf({ checkpoint, handOvers = [] }: WholeLog, tree: MemoryTree, { newest }: TrustedLog): Offer {
  // Of a larger tree there is no proof, and it needs none to be seen.
  const prove = (first: number) => (first <= tree.size ? tree.consistency(first) : []);
  return {
    checkpoint,
    consistency: prove(newest?.size ?? 0),
    handOvers: handOvers.map((note) => {
      const read = readHandOver(note);
      return { note, consistency: typeof read === 'string' ? [] : prove(read.handOver.size) };
    }),
  };
}

function firstWrongEntry({ entries, leaves }: WholeLog, bodiesFrom: number): LogVerdict | null {
  const count = Math.min(entries.length, leaves.length);
  for (let index = 0; index < count; index += 1) {
    const [entry, leaf] = [entries[index], leaves[index]];
    if (entry === null && index >= bodiesFrom) return { outcome: 'body-absent', index };
    if (entry && leaf && !leafHash(entry).equals(leaf)) return { outcome: 'entry-changed', index };
  }
  if (entries.length < leaves.length) return { outcome: 'entry-missing', index: count };
  return entries.length > leaves.length ? { outcome: 'entry-added', index: count } : null;
}

/** What was seen before is sound where the leaves still have its root. */
function soundUntil(tree: MemoryTree, { newest }: TrustedLog): number {
  if (newest === null || newest.size > tree.size) return 0;
  return tree.rootAt(newest.size).equals(newest.root) ? newest.size : 0;
}
