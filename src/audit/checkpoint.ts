/**
 * A checkpoint (C2SP tlog-checkpoint): the log's signed word that its first `size` entries have this root. Three
 * lines and no others: the standard allows more, which nobody could audit, so that ours has none and we read none.
 */
import { AuditFormatError } from './format-error.ts';
import { EMPTY_ROOT } from './merkle-tree.ts';
import { formatHash, linesOf, parseDecimal, parseHash } from './note-text.ts';
import { type SigningKey, signNote } from './sign-note.ts';
import { type NoteSigner, openNote, parseSignedNote } from './signed-note.ts';
import { isKeyName, type VerifierKey } from './verifier-key.ts';

/** `origin` names the log and is the name of its key. */
export type Checkpoint = { origin: string; size: number; root: Buffer };

export type OpenedCheckpoint =
  | { outcome: 'verified'; checkpoint: Checkpoint; text: string; signers: readonly NoteSigner[] }
  | { outcome: 'malformed'; why: string }
  | { outcome: 'wrong-origin'; origin: string }
  | { outcome: 'wrong-key' }
  | { outcome: 'bad-signature'; key: VerifierKey };

const LINES = 3;

export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${formatHash(root)}\n`;
}

/** @throws {AuditFormatError} for other than these three lines */
export function parseCheckpoint(text: string): Checkpoint {
  const lines = linesOf(text);
  const [origin = '', size = '', root = ''] = lines;
  if (lines.length !== LINES)
    throw new AuditFormatError('a checkpoint has three lines: origin, size and root');
  if (!isKeyName(origin)) throw new AuditFormatError('an origin has no spaces and no "+"');
  return { origin, size: parseDecimal(size), root: parseHash(root) };
}

export function signCheckpoint(checkpoint: Checkpoint, signers: readonly SigningKey[]): string {
  return signNote(formatCheckpoint(checkpoint), signers);
}

/**
 * Reads a checkpoint of this log, signed by one of these keys, whose name is the origin. Whether it continues what
 * was seen before is for the reader's memory to judge.
 * @param witnesses whose cosignatures are verified too, when they are there
 */
export function openCheckpoint(
  source: string | Uint8Array,
  {
    origin,
    keys,
    witnesses = [],
  }: { origin: string; keys: readonly VerifierKey[]; witnesses?: readonly VerifierKey[] },
): OpenedCheckpoint {
  const read = readCheckpoint(source);
  if (typeof read === 'string') return { outcome: 'malformed', why: read };
  const { note, checkpoint } = read;
  if (checkpoint.origin !== origin) return { outcome: 'wrong-origin', origin: checkpoint.origin };
  const ofTheLog = keys.filter(({ name, kind }) => name === origin && kind === 'log');
  const opened = openNote(note, [...ofTheLog, ...witnesses.filter(({ kind }) => kind === 'witness')]);
  if (opened.outcome === 'bad-signature') return opened;
  if (opened.outcome === 'unknown-keys') return { outcome: 'wrong-key' };
  if (!opened.signers.some(({ key }) => key.kind === 'log')) return { outcome: 'wrong-key' };
  const isPossible = checkpoint.size > 0 || checkpoint.root.equals(EMPTY_ROOT);
  if (!isPossible) return { outcome: 'malformed', why: 'an empty tree has one root, and it is another' };
  return { ...opened, checkpoint };
}

/** Read only: nobody's signature is looked at. */
function readCheckpoint(source: string | Uint8Array) {
  try {
    const note = parseSignedNote(source);
    return { note, checkpoint: parseCheckpoint(note.text) };
  } catch (error) {
    if (error instanceof AuditFormatError) return error.message;
    throw error;
  }
}
