/**
 * A part of the log that can be taken away and checked without asking anybody: lines of JSON, the first of which has
 * the checkpoint and all that is needed to believe it; each other line is one entry with its inclusion proof. The
 * entries are those of `from` up to, and without, `to`, in their order and with none left out: a filter would hide
 * whatever it pleases.
 *
 * A document stands in its line as text, so that nobody has to spell it again before hashing it. The lines hold
 * printable ASCII only: no reader finds line ends, or a terminal's commands, where there are none.
 */
import { z } from 'zod';
import { JsonError, parseStrictJson } from '../json/strict-json.ts';
import { MAX_ENTRY_BYTES } from './entry-bundle.ts';
import { AuditFormatError } from './format-error.ts';
import { formatHash, MAX_PROOF_HASHES, parseHash, parseProof } from './note-text.ts';
import { MAX_NOTE_BYTES } from './signed-note.ts';
import { parseVerifierKey } from './verifier-key.ts';

export const PACK_FORMAT = 'mayfly-audit-pack-v1';

export type PackHeader = {
  origin: string;
  /** The log's keys as lines; to be shown. Whoever reads the pack believes only the one that he has pinned. */
  keys: readonly string[];
  /** Every hand-over up to the checkpoint, with the proof from its size to the checkpoint's. */
  handOvers: readonly { note: string; consistency: readonly Buffer[] }[];
  /** The signed note, cosignatures included. */
  checkpoint: string;
  from: number;
  to: number;
  /** From a tree that the reader has seen. */
  consistency?: { from: number; proof: readonly Buffer[] };
};

/** `document` is null where retention took it; what is left of the entry is its leaf hash. */
export type PackEntry = { index: number; proof: readonly Buffer[] } & (
  | { document: string; leaf?: never }
  | { document: null; leaf: Buffer }
);

const MAX_HAND_OVERS = 1_000;
/** The longest document, each of its characters escaped, and its proof; a header with very many hand-overs. */
export const MAX_PACK_LINE_LENGTH = 8_388_608;
const BOUNDS = {
  maxDepth: 8,
  maxMembers: (MAX_PROOF_HASHES + 8) * (MAX_HAND_OVERS + 2),
  numbers: 'integers',
} as const;

const index = z.int().nonnegative();
const proof = z.array(z.string()).max(MAX_PROOF_HASHES);
const note = z.string().max(MAX_NOTE_BYTES);
const headerSchema = z.strictObject({
  format: z.literal(PACK_FORMAT),
  origin: z.string(),
  keys: z.array(z.string()).max(MAX_HAND_OVERS + 1),
  hand_overs: z.array(z.strictObject({ note, consistency: proof })).max(MAX_HAND_OVERS),
  checkpoint: note,
  from: index,
  to: index,
  consistency: z.strictObject({ from: index, proof }).optional(),
});
const entrySchema = z.union([
  z.strictObject({ index, document: z.string().max(MAX_ENTRY_BYTES), proof }),
  z.strictObject({ index, document: z.null(), leaf: z.string(), proof }),
]);

/** One line, with its line feed. */
export function formatPackHeader({ handOvers, consistency, ...header }: PackHeader): string {
  const { origin, keys, checkpoint, from, to } = header;
  return line({
    format: PACK_FORMAT,
    origin,
    keys,
    hand_overs: handOvers.map((handOver) => ({
      note: handOver.note,
      consistency: spelled(handOver.consistency),
    })),
    checkpoint,
    from,
    to,
    ...(consistency && { consistency: { from: consistency.from, proof: spelled(consistency.proof) } }),
  });
}

/** One line, with its line feed. */
export function formatPackEntry({ index, document, leaf, proof }: PackEntry): string {
  const left = document === null ? { leaf: formatHash(leaf) } : {};
  return line({ index, document, ...left, proof: spelled(proof) });
}

/** @throws {AuditFormatError} */
export function parsePackHeader(text: string): PackHeader {
  const { hand_overs, consistency, format: _, ...rest } = readLine(text, headerSchema);
  const header: PackHeader = {
    ...rest,
    handOvers: hand_overs.map((handOver) => ({
      note: handOver.note,
      consistency: parseProof(handOver.consistency),
    })),
    ...(consistency && { consistency: { from: consistency.from, proof: parseProof(consistency.proof) } }),
  };
  for (const key of header.keys) refuseStranger(key, header.origin);
  return asWritten(header, text, formatPackHeader(header));
}

/** A key is shown and not believed; but what is shown is at least a key of this log. */
function refuseStranger(vkey: string, origin: string): void {
  const { name, kind } = parseVerifierKey(vkey);
  if (name !== origin || kind !== 'log') throw new AuditFormatError('a key in it is none of this log');
}

/** @throws {AuditFormatError} */
export function parsePackEntry(text: string): PackEntry {
  const { index, ...read } = readLine(text, entrySchema);
  const hashes = parseProof(read.proof);
  const entry: PackEntry =
    read.document !== null
      ? { index, document: read.document, proof: hashes }
      : { index, document: null, leaf: parseHash(read.leaf), proof: hashes };
  return asWritten(entry, text, formatPackEntry(entry));
}

/** A line has one spelling: no bit of it can be another one and mean the same. */
function asWritten<Line>(line: Line, text: string, written: string): Line {
  if (written.length === text.length + 1 && written.startsWith(text)) return line;
  throw new AuditFormatError('it is not spelled as a pack spells it');
}

function readLine<Line>(text: string, schema: z.ZodType<Line>): Line {
  if (text.length > MAX_PACK_LINE_LENGTH) throw new AuditFormatError('a line of a pack is not that long');
  try {
    const result = schema.safeParse(parseStrictJson(text, BOUNDS));
    if (result.success) return result.data;
    const path = result.error.issues[0]?.path.join('.') ?? '';
    throw new AuditFormatError(`not a line of a pack${path === '' ? '' : ` (at ${path})`}`);
  } catch (error) {
    if (error instanceof JsonError) throw new AuditFormatError(error.message, { cause: error });
    throw error;
  }
}

const spelled = (hashes: readonly Buffer[]) => hashes.map(formatHash);

function line(value: unknown): string {
  return `${JSON.stringify(value).replace(/[^ -~]/g, escaped)}\n`;
}

/** Each UTF-16 code unit by itself: JSON knows no other way (RFC 8259 §7). */
function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
