/**
 * How the log changes its key without asking readers to trust a new one: a note that names the tree as it stands and
 * the new key, signed by the old key, which says whom it trusts, and by the new one, which shows that somebody has
 * it. From then on the old key is good for checkpoints up to that size and no further. A new key without such a note
 * is a break, and whoever reads the log has to pin it by hand.
 *
 * Its second line is a word where a checkpoint has a number: neither can be taken for the other.
 */
import { AuditFormatError } from './format-error.ts';
import { formatHash, linesOf, parseDecimal, parseHash } from './note-text.ts';
import { type SigningKey, signNote } from './sign-note.ts';
import { openNote, parseSignedNote } from './signed-note.ts';
import { isKeyName, parseVerifierKey, type VerifierKey } from './verifier-key.ts';

/** `size` and `root`: the last tree for which the old key speaks. */
export type HandOver = { origin: string; size: number; root: Buffer; newKey: VerifierKey };

export type OpenedHandOver =
  | { outcome: 'verified'; handOver: HandOver }
  | { outcome: 'malformed'; why: string }
  | { outcome: 'wrong-origin' | 'wrong-key' | 'bad-signature' };

const SECOND_LINE = 'hand-over';
const LINES = 5;

export function formatHandOver({ origin, size, root, newKey }: HandOver): string {
  return `${origin}\n${SECOND_LINE}\n${size}\n${formatHash(root)}\n${newKey.vkey}\n`;
}

/** @throws {AuditFormatError} */
export function parseHandOver(text: string): HandOver {
  const lines = linesOf(text);
  const [origin = '', word, size = '', root = '', vkey = ''] = lines;
  if (lines.length !== LINES || word !== SECOND_LINE || !isKeyName(origin)) {
    throw new AuditFormatError('a hand-over has five lines: origin, "hand-over", size, root and the new key');
  }
  const newKey = parseVerifierKey(vkey);
  if (newKey.name !== origin || newKey.kind !== 'log') {
    throw new AuditFormatError('the new key has to be a key of this log');
  }
  return { origin, size: parseDecimal(size), root: parseHash(root), newKey };
}

export function signHandOver(
  tree: { origin: string; size: number; root: Buffer },
  { from, to }: { from: SigningKey; to: SigningKey },
): string {
  return signNote(formatHandOver({ ...tree, newKey: to.key }), [from, to]);
}

/** @param oldKey the key of the log that the reader trusts until now */
export function openHandOver(
  source: string | Uint8Array,
  { origin, oldKey }: { origin: string; oldKey: VerifierKey },
): OpenedHandOver {
  const read = readHandOver(source);
  if (typeof read === 'string') return { outcome: 'malformed', why: read };
  const { note, handOver } = read;
  if (handOver.origin !== origin) return { outcome: 'wrong-origin' };
  const opened = openNote(note, [oldKey, handOver.newKey]);
  if (opened.outcome === 'bad-signature') return { outcome: opened.outcome };
  // A key that hands over to itself is one signer.
  const hasBoth = opened.outcome === 'verified' && opened.signers.length === 2;
  return hasBoth ? { outcome: 'verified', handOver } : { outcome: 'wrong-key' };
}

/** Read only: nobody's signature is looked at. Says why when it is no hand-over. */
export function readHandOver(source: string | Uint8Array) {
  try {
    const note = parseSignedNote(source);
    return { note, handOver: parseHandOver(note.text) };
  } catch (error) {
    if (error instanceof AuditFormatError) return error.message;
    throw error;
  }
}
