/**
 * What one reader of a log remembers, so that nobody can tell him two stories: the key that a person pinned, the
 * hand-overs that led from it to the key of today, and the newest checkpoint that he saw. A new checkpoint has to
 * continue all of it (judge-checkpoint.ts). Memory is what makes a signature worth something: the log's key signs
 * whatever its administrator wants, but not two histories for one reader.
 */
import type { NoteSigner } from './signed-note.ts';
import { parseVerifierKey, type VerifierKey } from './verifier-key.ts';

/** A tree by its size and root. */
export type TreeHead = { size: number; root: Buffer };

/** For which sizes a key speaks: from its own hand-over to the next. `until` is null for the key of today. */
export type KeyTerm = { key: VerifierKey; from: number; until: TreeHead | null };

/** A tree of which the complete subtrees are known, the largest first, where all of it was read: they tell where to look. */
export type SeenTree = TreeHead & { subtrees?: readonly Buffer[] };

export type SeenCheckpoint = SeenTree & { note: string };

export type TrustedLog = {
  origin: string;
  /** The first is the pinned key, the last that of today; at least one. */
  terms: readonly KeyTerm[];
  newest: SeenCheckpoint | null;
};

/**
 * @param vkey the line that a person got from somewhere better than the log itself; its name is the origin
 * @throws {AuditFormatError}
 */
export function pinLog(vkey: string): TrustedLog {
  const key = parseVerifierKey(vkey);
  return { origin: key.name, terms: [{ key, from: 0, until: null }], newest: null };
}

/** Every tree of this log that the reader has seen signed. */
export function knownTrees({ terms, newest }: TrustedLog): SeenTree[] {
  return [...terms.map(({ until }) => until), newest].filter((tree) => tree !== null);
}

/** The term of a signature that came too early or too late; null when one of the signers speaks for this size. */
export function termMissed(
  terms: readonly KeyTerm[],
  { size, signers }: { size: number; signers: readonly NoteSigner[] },
): KeyTerm | null {
  const signed = terms.filter(({ key }) => signers.some((signer) => signer.key.vkey === key.vkey));
  return signed.some((term) => covers(term, size)) ? null : (signed[0] ?? null);
}

function covers({ from, until }: KeyTerm, size: number): boolean {
  return size >= from && (until === null || size <= until.size);
}
