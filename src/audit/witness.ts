/**
 * What a witness of a log answers (C2SP tlog-witness, add-checkpoint). It remembers the newest checkpoint that it
 * cosigned of each log and cosigns only what continues it, so that a log which shows two histories finds nobody to
 * sign the second. The decision is pure. Whoever carries it out checks and keeps the new checkpoint in one step that
 * nobody else can get into, and only then answers: of two requests that were decided on one state, one would
 * otherwise roll the other back.
 */
import { type Checkpoint, openCheckpoint, parseCheckpoint } from './checkpoint.ts';
import { AuditFormatError } from './format-error.ts';
import { verifyConsistency } from './merkle-proof.ts';
import { EMPTY_ROOT } from './merkle-tree.ts';
import { formatHash, linesOf, parseDecimal, parseProof, textOf } from './note-text.ts';
import { cosignNote, type SigningKey } from './sign-note.ts';
import { formatSignatureLine, MAX_NOTE_BYTES, parseSignedNote } from './signed-note.ts';
import type { TreeHead } from './trusted-log.ts';
import type { VerifierKey } from './verifier-key.ts';

export type AddCheckpoint = {
  /** The size of the newest checkpoint that the sender believes was cosigned. */
  oldSize: number;
  proof: readonly Buffer[];
  /** The signed note. */
  checkpoint: string;
};

/** What the witness knows of one log: its keys, and what it cosigned last (null before the first time). */
export type WitnessedLog = { keys: readonly VerifierKey[]; latest: TreeHead | null };

export type WitnessDecision =
  /** Keep the checkpoint as the latest of its origin if `latest` still is, then cosign `text` and answer. */
  | { status: 200; checkpoint: Checkpoint; text: string; note: string }
  | { status: 400 | 403 | 404 | 422; why: string }
  /** The answer's body is the size and a line feed, as {@link TREE_SIZE_TYPE}. */
  | { status: 409; why: string; latestSize: number };

export const TREE_SIZE_TYPE = 'text/x.tlog.size';
export const MAX_ADD_CHECKPOINT_BYTES = MAX_NOTE_BYTES + 8_192;

export function formatAddCheckpoint({ oldSize, proof, checkpoint }: AddCheckpoint): string {
  return `${[`old ${oldSize}`, ...proof.map(formatHash)].join('\n')}\n\n${checkpoint}`;
}

/** @throws {AuditFormatError} */
export function parseAddCheckpoint(body: string | Uint8Array): AddCheckpoint {
  if (body.length > MAX_ADD_CHECKPOINT_BYTES) throw new AuditFormatError('the request is not that long');
  const text = textOf(body);
  const end = text.indexOf('\n\n');
  if (end === -1) throw new AuditFormatError('an empty line before the checkpoint was expected');
  const [old = '', ...hashes] = linesOf(text.slice(0, end + 1));
  if (!old.startsWith('old ')) throw new AuditFormatError('the first line has to be "old <size>"');
  return {
    oldSize: parseDecimal(old.slice('old '.length)),
    proof: parseProof(hashes),
    checkpoint: text.slice(end + 2),
  };
}

/** @param logOf what is known of the log with this origin; null when it is none of this witness's */
export function decideAddCheckpoint(
  body: string | Uint8Array,
  logOf: (origin: string) => WitnessedLog | null,
): WitnessDecision {
  const request = readRequest(body);
  if ('why' in request) return { status: 400, why: request.why };
  const log = logOf(request.origin);
  if (log === null) return { status: 404, why: 'the origin is unknown' };
  const opened = openCheckpoint(request.checkpoint, { origin: request.origin, keys: log.keys });
  if (opened.outcome === 'malformed') return { status: 422, why: opened.why };
  if (opened.outcome !== 'verified')
    return { status: 403, why: `the log has not signed this (${opened.outcome})` };
  const { checkpoint, text } = opened;
  const refusal = refusalOf(request, { checkpoint, latest: log.latest });
  return refusal ?? { status: 200, checkpoint, text, note: request.checkpoint };
}

/** The body of a `200`. */
export function formatCosignature(
  text: string,
  options: { signer: SigningKey; timestampSeconds: number },
): string {
  return formatSignatureLine(cosignNote(text, options));
}

function readRequest(body: string | Uint8Array): (AddCheckpoint & { origin: string }) | { why: string } {
  try {
    const request = parseAddCheckpoint(body);
    return { ...request, origin: parseCheckpoint(parseSignedNote(request.checkpoint).text).origin };
  } catch (error) {
    if (error instanceof AuditFormatError) return { why: error.message };
    throw error;
  }
}

/** In the order of the standard. */
function refusalOf(
  { oldSize, proof }: AddCheckpoint,
  { checkpoint, latest }: { checkpoint: Checkpoint; latest: TreeHead | null },
): WitnessDecision | null {
  const seen = latest ?? { size: 0, root: EMPTY_ROOT };
  if (oldSize > checkpoint.size) return { status: 400, why: 'the old size is larger than the new one' };
  if (oldSize !== seen.size) {
    return { status: 409, why: 'another checkpoint was cosigned last', latestSize: seen.size };
  }
  const claim = {
    first: seen.size,
    firstRoot: seen.root,
    second: checkpoint.size,
    secondRoot: checkpoint.root,
  };
  if (verifyConsistency({ ...claim, proof })) return null;
  return { status: 422, why: 'the proof does not show that this checkpoint continues the last' };
}
