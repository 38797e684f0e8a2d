/** The head of a log that is shown now, held against what this reader remembers, with proofs made of its hashes. */
import { parseCheckpoint } from './checkpoint.ts';
import type { OfferedHandOver } from './follow-hand-overs.ts';
import { AuditFormatError } from './format-error.ts';
import { readHandOver } from './hand-over.ts';
import { type Judgement, judgeCheckpoint, type Offer, type TrustPolicy } from './judge-checkpoint.ts';
import type { LogTree } from './log-tree.ts';
import { parseSignedNote } from './signed-note.ts';
import type { TrustedLog } from './trusted-log.ts';

/** `handOvers` are the notes, in their order. */
export type ShownHead = { checkpoint: string; handOvers: readonly string[] };

/** @param log its tree as it was when it had so many leaves, as far as its hashes are true */
export async function judgeLive(
  log: { tree(size: number): LogTree },
  { trusted, policy }: { trusted: TrustedLog; policy: TrustPolicy },
  shown: ShownHead,
): Promise<Judgement> {
  const size = sizeIn(shown.checkpoint);
  const tree = size === null ? null : log.tree(size);
  return judgeCheckpoint(trusted, await offerOf(tree, trusted, shown), policy);
}

async function offerOf(
  tree: LogTree | null,
  { newest }: TrustedLog,
  { checkpoint, handOvers }: ShownHead,
): Promise<Offer> {
  return {
    checkpoint,
    ...(newest !== null && { consistency: await proofFrom(newest.size, tree) }),
    handOvers: await offeredHandOvers(tree, handOvers),
  };
}

/** Without those that came after the head: the key of that head had not been handed over yet. */
export async function offeredHandOvers(
  tree: LogTree | null,
  notes: readonly string[],
): Promise<OfferedHandOver[]> {
  const offered: OfferedHandOver[] = [];
  for (const note of notes) {
    const read = readHandOver(note);
    const size = typeof read === 'string' ? 0 : read.handOver.size;
    if (tree !== null && size > tree.size) continue;
    offered.push({ note, consistency: await proofFrom(size, tree) });
  }
  return offered;
}

/** Of a tree that is larger there is no proof, and none is needed to see that. */
async function proofFrom(first: number, tree: LogTree | null): Promise<Buffer[]> {
  return tree === null || first > tree.size ? [] : tree.consistency(first);
}

/** Read only: nobody's signature is looked at. */
export function sizeIn(checkpoint: string): number | null {
  try {
    return parseCheckpoint(parseSignedNote(checkpoint).text).size;
  } catch (error) {
    if (error instanceof AuditFormatError) return null;
    throw error;
  }
}
