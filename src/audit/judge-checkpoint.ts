/**
 * Whether a checkpoint that a log shows fits everything that this reader knows: signed by the key that speaks for its
 * size, continuing the newest checkpoint he saw and every hand-over, and cosigned by as many witnesses as he asks for.
 * Each other outcome has a name of its own, since they call for different deeds. Pure: keeping the memory that an
 * `accepted` returns is the caller's business.
 */
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { followHandOvers, type OfferedHandOver } from './follow-hand-overs.ts';
import { verifyConsistency } from './merkle-proof.ts';
import type { NoteSigner } from './signed-note.ts';
import {
  type KeyTerm,
  type SeenCheckpoint,
  type TreeHead,
  type TrustedLog,
  termMissed,
} from './trusted-log.ts';
import type { VerifierKey } from './verifier-key.ts';

/** What the log shows. Every proof leads to the checkpoint. */
export type Offer = {
  /** The signed note. */
  checkpoint: string;
  /** From the newest checkpoint that the reader saw; unless he saw none, or one of the same size. */
  consistency?: readonly Buffer[];
  handOvers?: readonly OfferedHandOver[];
};

export type TrustPolicy = {
  witnesses?: readonly VerifierKey[];
  /** How many of the witnesses must have cosigned. */
  quorum?: number;
  /** Take a checkpoint that is older than the newest seen, as an archived pack has. It is then compared with nothing. */
  allowOlder?: boolean;
};

export type Judgement =
  | { outcome: 'accepted'; trusted: TrustedLog; checkpoint: Checkpoint; cosigners: readonly NoteSigner[] }
  | RefusedCheckpoint;

export type RefusedCheckpoint =
  /** The signature is good, and the tree is older than the one that was seen: a stale copy, or a restored backup. */
  | { outcome: 'rollback'; seen: TreeHead; offered: TreeHead }
  /** Two roots for one size, both signed by the log: it told two stories. The notes are the evidence. */
  | { outcome: 'split-view'; size: number; seen: string; offered: string }
  /** No proof that the offered tree continues the one seen. If the log has no better proof, it is a split view. */
  | { outcome: 'not-consistent'; seen: TreeHead; offered: TreeHead }
  /** Without this proof nothing can be said: ask the log for it and judge again. */
  | { outcome: 'proof-needed'; from: number; to: number }
  /** Signed by a key of the log that does not speak for this size: `boundary` is where its term ends or begins. */
  | { outcome: 'after-hand-over' | 'before-hand-over'; key: VerifierKey; boundary: number; size: number }
  | { outcome: 'bad-hand-over'; why: string }
  | { outcome: 'too-few-witnesses'; cosigned: number; quorum: number }
  /** Signed by nobody whom the reader knows: forged, or a new key without a hand-over. */
  | { outcome: 'wrong-key' }
  | { outcome: 'bad-signature'; key: VerifierKey }
  | { outcome: 'wrong-origin'; origin: string }
  | { outcome: 'malformed'; why: string };

export function judgeCheckpoint(trusted: TrustedLog, offer: Offer, policy: TrustPolicy = {}): Judgement {
  const followed = followHandOvers(trusted, offer.handOvers ?? []);
  if ('why' in followed) return { outcome: 'bad-hand-over', why: followed.why };
  const { terms, fresh } = followed;
  const keys = terms.map(({ key }) => key);
  const { origin, newest } = trusted;
  const opened = openCheckpoint(offer.checkpoint, { origin, keys, witnesses: policy.witnesses ?? [] });
  if (opened.outcome !== 'verified') return opened;
  const { checkpoint, signers } = opened;
  const missed = termMissed(terms, { size: checkpoint.size, signers });
  if (missed !== null) return outOfTerm(missed, checkpoint.size);

  const isOlder = newest !== null && newest.size > checkpoint.size;
  const isCompared = newest !== null && !(isOlder && policy.allowOlder === true);
  const seen = isCompared ? [{ ...newest, consistency: offer.consistency }] : [];
  const conflict = firstConflict([...seen, ...fresh], { checkpoint, note: offer.checkpoint });
  if (conflict !== null) return conflict;
  const cosigners = signers.filter(({ key }) => key.kind === 'witness');
  const lack = lackOfWitnesses(cosigners, policy);
  if (lack !== null) return lack;
  const { size, root } = checkpoint;
  const subtrees = newest?.size === size ? newest.subtrees : undefined;
  const seenNow = { size, root, note: offer.checkpoint, ...(subtrees && { subtrees }) };
  const after = isOlder ? trusted : { origin, terms, newest: seenNow };
  return { outcome: 'accepted', trusted: after, checkpoint, cosigners };
}

function outOfTerm({ key, from, until }: KeyTerm, size: number): RefusedCheckpoint {
  if (size < from) return { outcome: 'before-hand-over', key, boundary: from, size };
  return { outcome: 'after-hand-over', key, boundary: until?.size ?? size, size };
}

type Known = SeenCheckpoint & { consistency: readonly Buffer[] | undefined };

/** Every tree that the log has signed before is to be the beginning of the one that it signs now. */
function firstConflict(
  known: readonly Known[],
  offered: { checkpoint: Checkpoint; note: string },
): RefusedCheckpoint | null {
  for (const tree of known) {
    const conflict = conflictOf(tree, offered);
    if (conflict !== null) return conflict;
  }
  return null;
}

function conflictOf(
  seen: Known,
  { checkpoint: { size, root }, note }: { checkpoint: Checkpoint; note: string },
): RefusedCheckpoint | null {
  const trees = { seen: { size: seen.size, root: seen.root }, offered: { size, root } };
  if (seen.size > size) return { outcome: 'rollback', ...trees };
  if (seen.size === size) {
    return seen.root.equals(root) ? null : { outcome: 'split-view', size, seen: seen.note, offered: note };
  }
  if (seen.consistency === undefined) return { outcome: 'proof-needed', from: seen.size, to: size };
  const claim = { first: seen.size, second: size, firstRoot: seen.root, secondRoot: root };
  return verifyConsistency({ ...claim, proof: seen.consistency })
    ? null
    : { outcome: 'not-consistent', ...trees };
}

/** Two keys of one witness are one witness. */
function lackOfWitnesses(
  cosigners: readonly NoteSigner[],
  { quorum = 0 }: TrustPolicy,
): RefusedCheckpoint | null {
  const cosigned = new Set(cosigners.map(({ key }) => key.name)).size;
  return cosigned < quorum ? { outcome: 'too-few-witnesses', cosigned, quorum } : null;
}
