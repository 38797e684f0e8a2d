/**
 * From the key that a reader trusts to the key of today, one signed hand-over after the other. Only signatures are
 * looked at here; that the trees named by the hand-overs belong to the log is asked once its checkpoint is open.
 */
import { type HandOver, openHandOver, readHandOver } from './hand-over.ts';
import type { KeyTerm, SeenCheckpoint, TreeHead, TrustedLog } from './trusted-log.ts';
import type { VerifierKey } from './verifier-key.ts';

/** `consistency` leads from the size of the hand-over to the checkpoint that is offered with it. */
export type OfferedHandOver = { note: string; consistency: readonly Buffer[] };

export type FollowedHandOvers = {
  terms: readonly KeyTerm[];
  /** Those that were not known before: each is a tree that the log has signed. */
  fresh: readonly (SeenCheckpoint & { consistency: readonly Buffer[] })[];
};

/** @param handOvers in their order; those that were followed before may be among them */
export function followHandOvers(
  trusted: TrustedLog,
  handOvers: readonly OfferedHandOver[],
): FollowedHandOvers | { why: string } {
  const fresh = sincePinned(trusted, handOvers).filter(({ note }) => !wasFollowed(trusted, note));
  const followed: (SeenCheckpoint & OfferedHandOver)[] = [];
  let { terms } = trusted;
  for (const offered of fresh) {
    const next = nextHandOver({ ...trusted, terms }, offered.note);
    if ('why' in next) return next;
    followed.push({ ...offered, size: next.size, root: next.root });
    terms = extended(terms, next);
  }
  return { terms, fresh: followed };
}

/** A reader who pinned a later key has no use for those that led to it. */
function sincePinned(
  { origin, terms: [pinned] }: TrustedLog,
  handOvers: readonly OfferedHandOver[],
): readonly OfferedHandOver[] {
  const [first] = handOvers;
  if (pinned === undefined || first === undefined) return handOvers;
  const isByPinned = openHandOver(first.note, { origin, oldKey: pinned.key }).outcome === 'verified';
  const at = handOvers.findIndex(({ note }) => newKeyIn(note) === pinned.key.vkey);
  return isByPinned ? handOvers : handOvers.slice(at + 1);
}

function newKeyIn(note: string): string | null {
  const read = readHandOver(note);
  return typeof read === 'string' ? null : read.handOver.newKey.vkey;
}

function nextHandOver({ origin, terms, newest }: TrustedLog, note: string): HandOver | { why: string } {
  const today = terms.at(-1);
  if (today === undefined) return { why: 'no key is trusted' };
  const opened = openHandOver(note, { origin, oldKey: today.key });
  if (opened.outcome === 'malformed') return opened;
  if (opened.outcome !== 'verified') return { why: `not signed by the key before it (${opened.outcome})` };
  const { size, newKey } = opened.handOver;
  // What was seen until now has the signature of the key that is handed over, which is good for no larger tree.
  if (size < Math.max(today.from, newest?.size ?? 0)) {
    return { why: `the old key has spoken for a tree of more than ${size} entries` };
  }
  const isUsed = terms.some(({ key }) => key.vkey === newKey.vkey);
  return isUsed ? { why: 'a key that was handed over does not come back' } : opened.handOver;
}

function extended(
  terms: readonly KeyTerm[],
  { size, root, newKey }: TreeHead & { newKey: VerifierKey },
): KeyTerm[] {
  const ended = terms.map((term) => (term.until === null ? { ...term, until: { size, root } } : term));
  return [...ended, { key: newKey, from: size, until: null }];
}

function wasFollowed({ terms }: TrustedLog, note: string): boolean {
  const read = readHandOver(note);
  if (typeof read === 'string') return false;
  const { size, root, newKey } = read.handOver;
  return terms.some(
    ({ until }, at) =>
      until?.size === size && until.root.equals(root) && terms[at + 1]?.key.vkey === newKey.vkey,
  );
}
