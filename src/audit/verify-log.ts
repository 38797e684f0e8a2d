/**
 * Checks a whole log as it is shown now, against its own signed head and against a reader's memory: the head first, then
 * each entry in its place. What was changed, removed, inserted, moved or cut off shows, whoever did it; the first bad
 * entry is named as closely as the hashes tell it.
 */
import type { BadEntry } from './check-entries.ts';
import { parseCheckpoint } from './checkpoint.ts';
import {
  type Judgement,
  judgeCheckpoint,
  type RefusedCheckpoint,
  type TrustPolicy,
} from './judge-checkpoint.ts';
import { judgeLive, type ShownHead } from './judge-live.ts';
import { fromTiles } from './log-tree.ts';
import { parseSignedNote } from './signed-note.ts';
import type { Tile } from './tiles.ts';
import { knownTrees, type SeenTree, type TreeHead, type TrustedLog } from './trusted-log.ts';
import { type LogSource, walkLog } from './walk-log.ts';

export type Accepted = Extract<Judgement, { outcome: 'accepted' }>;

export type LogVerdict =
  | { outcome: 'sound'; accepted: Accepted; bodiesAbsent: number }
  /** `trusted` is the memory afterwards, when the head is to be believed all the same. */
  | { outcome: 'bad-entry'; bad: BadEntry; trusted?: TrustedLog }
  /** Where this log leaves a tree that was seen before, when its hashes tell: the first bad entry is one of these. */
  | { outcome: 'not-trusted'; judgement: RefusedCheckpoint; departure: { from: number; to: number } | null };

export type LogPolicy = TrustPolicy & {
  trusted: TrustedLog;
  /** The index from which on every entry must still have its text. */
  bodiesFrom?: number;
};

/** What {@link judgeLive} needs of a log that lacks some of its hashes. */
class AbsentTileError extends Error {
  override readonly name = 'AbsentTileError';
}

export async function verifyLog(
  log: LogSource & ShownHead,
  { trusted, bodiesFrom = 0, ...policy }: LogPolicy,
): Promise<LogVerdict> {
  const known = knownTrees(trusted);
  const judgement = await judged(log, { trusted, policy });
  if (judgement.outcome !== 'accepted') return refused(log, judgement, known);
  const { checkpoint: head } = judgement;
  const { bad, bodiesAbsent, subtrees } = await walkLog(log, { head, known, bodiesFrom });
  if (bad !== null) return { outcome: 'bad-entry', bad, trusted: judgement.trusted };
  const accepted = { ...judgement, trusted: withSubtrees(judgement.trusted, { ...head, subtrees }) };
  return { outcome: 'sound', accepted, bodiesAbsent };
}

/** So that another history, later, shows in which part of this one it begins. */
function withSubtrees(trusted: TrustedLog, { size, subtrees }: SeenTree): TrustedLog {
  const { newest } = trusted;
  if (newest?.size !== size || subtrees === undefined) return trusted;
  return { ...trusted, newest: { ...newest, subtrees } };
}

/** Without its hashes nothing is proved: which of them are wanting is found by whoever walks through the log. */
async function judged(
  { tile, checkpoint, handOvers }: LogSource & ShownHead,
  { trusted, policy }: { trusted: TrustedLog; policy: TrustPolicy },
): Promise<Judgement> {
  const fetchTile = async (which: Tile) => (await tile(which)) ?? absent();
  const tree = (size: number) => fromTiles({ size, fetchTile });
  try {
    return await judgeLive({ tree }, { trusted, policy }, { checkpoint, handOvers });
  } catch (error) {
    if (!(error instanceof AbsentTileError)) throw error;
    const unproved = handOvers.map((note) => ({ note, consistency: [] }));
    return judgeCheckpoint(trusted, { checkpoint, consistency: [], handOvers: unproved }, policy);
  }
}

function absent(): never {
  throw new AbsentTileError();
}

/**
 * Two trees were signed only if what is shown leads to the root that was signed last: a proof that is made of hashes
 * that somebody changed does not hold either, and then the entry is named.
 */
async function refused(
  log: LogSource,
  judgement: RefusedCheckpoint,
  known: readonly SeenTree[],
): Promise<LogVerdict> {
  const offered = offeredIn(judgement);
  if (offered === null) return { outcome: 'not-trusted', judgement, departure: null };
  const looked = judgement.outcome === 'not-consistent' ? log : { tile: log.tile };
  const bodiesFrom = Number.POSITIVE_INFINITY;
  const { bad, departure } = await walkLog(looked, { head: offered, known, bodiesFrom });
  if (bad !== null && judgement.outcome === 'not-consistent') return { outcome: 'bad-entry', bad };
  return { outcome: 'not-trusted', judgement, departure };
}

function offeredIn(judgement: RefusedCheckpoint): TreeHead | null {
  if (judgement.outcome === 'split-view') return headIn(judgement.offered);
  const isCompared = judgement.outcome === 'rollback' || judgement.outcome === 'not-consistent';
  return isCompared ? judgement.offered : null;
}

/** Of a note that was opened before. */
function headIn(checkpoint: string): TreeHead {
  return parseCheckpoint(parseSignedNote(checkpoint).text);
}
