/** What somebody does with a proof who has pinned keys of the log, and remembers nothing else. */
import { type OpenedCheckpoint, openCheckpoint } from '../../src/audit/checkpoint.ts';
import type { LogProof } from '../../src/audit/log-proof.ts';
import { verifyInclusion } from '../../src/audit/merkle-proof.ts';
import type { NoteSigner } from '../../src/audit/signed-note.ts';
import type { VerifierKey } from '../../src/audit/verifier-key.ts';

export type VerifiedLogProof =
  | Exclude<OpenedCheckpoint, { outcome: 'verified' }>
  | { outcome: 'not-included' }
  | { outcome: 'verified'; index: number; size: number; signers: readonly NoteSigner[] };

/** @param leaf the hash of the entry that the reader has, not one that came with the proof */
export function verifyLogProof(
  { index, proof, checkpoint }: LogProof,
  trust: {
    leaf: Uint8Array;
    origin: string;
    keys: readonly VerifierKey[];
    witnesses?: readonly VerifierKey[];
  },
): VerifiedLogProof {
  const opened = openCheckpoint(checkpoint, trust);
  if (opened.outcome !== 'verified') return opened;
  const { size, root } = opened.checkpoint;
  const isIncluded = verifyInclusion({ index, size, leaf: trust.leaf, proof, root });
  if (!isIncluded) return { outcome: 'not-included' };
  return { outcome: 'verified', index, size, signers: opened.signers };
}
