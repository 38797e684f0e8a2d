/** The head of a log that a broker shows now, held against what this reader remembers. */
import { parseCheckpoint } from '../audit/checkpoint.ts';
import type { OfferedHandOver } from '../audit/follow-hand-overs.ts';
import { AuditFormatError } from '../audit/format-error.ts';
import { readHandOver } from '../audit/hand-over.ts';
import { type Judgement, judgeCheckpoint, type Offer } from '../audit/judge-checkpoint.ts';
import type { LogTree } from '../audit/log-tree.ts';
import { parseSignedNote } from '../audit/signed-note.ts';
import type { TrustedLog } from '../audit/trusted-log.ts';
import type { LogTrust } from './log-trust.ts';
import type { PublicLog } from './public-log.ts';

export type Accepted = Extract<Judgement, { outcome: 'accepted' }>;

/** @param handOvers the notes, in their order */
export async function judgeLive(
  log: PublicLog,
  { trusted, policy }: Pick<LogTrust, 'trusted' | 'policy'>,
  { checkpoint, handOvers }: { checkpoint: string; handOvers: readonly string[] },
): Promise<Judgement> {
  const size = sizeIn(checkpoint);
  const tree = size === null ? null : log.tree(size);
  return judgeCheckpoint(trusted, await offerOf(tree, trusted, { checkpoint, handOvers }), policy);
}

async function offerOf(
  tree: LogTree | null,
  { newest }: TrustedLog,
  { checkpoint, handOvers }: { checkpoint: string; handOvers: readonly string[] },
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
