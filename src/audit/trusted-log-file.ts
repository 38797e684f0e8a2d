/** A reader's memory of a log as text, to be kept in a file of his own between two readings. */
import { z } from 'zod';
import { JsonError, parseStrictJson } from '../json/strict-json.ts';
import { AuditFormatError } from './format-error.ts';
import { foldSubtrees, subtreesOf } from './merkle-tree.ts';
import { formatHash, parseHash } from './note-text.ts';
import type { KeyTerm, TreeHead, TrustedLog } from './trusted-log.ts';
import { parseVerifierKey } from './verifier-key.ts';

const FORMAT = 'mayfly-trusted-log-v1';
const MAX_LENGTH = 1_048_576;
const MAX_KEYS = 1_000;

const size = z.int().nonnegative();
const head = z.strictObject({ size, root: z.string() });
const schema = z.strictObject({
  format: z.literal(FORMAT),
  origin: z.string(),
  keys: z
    .array(z.strictObject({ vkey: z.string(), from: size, until: head.nullable() }))
    .min(1)
    .max(MAX_KEYS),
  newest: head.extend({ note: z.string(), subtrees: z.array(z.string()).max(64).optional() }).nullable(),
});

export function formatTrustedLog({ origin, terms, newest }: TrustedLog): string {
  const keys = terms.map(({ key, from, until }) => ({
    vkey: key.vkey,
    from,
    until: until && spelled(until),
  }));
  const subtrees = newest?.subtrees && { subtrees: newest.subtrees.map(formatHash) };
  const seen = newest && { ...spelled(newest), note: newest.note, ...subtrees };
  return `${JSON.stringify({ format: FORMAT, origin, keys, newest: seen }, null, 2)}\n`;
}

const spelled = ({ size, root }: TreeHead) => ({ size, root: formatHash(root) });

/** @throws {AuditFormatError} when it is not such a memory, or one that contradicts itself */
export function parseTrustedLog(text: string): TrustedLog {
  const { origin, keys, newest } = read(text);
  const terms = keys.map(({ vkey, from, until }) => ({
    key: parseVerifierKey(vkey),
    from,
    until: until && headOf(until),
  }));
  refuseGaps(origin, terms);
  return { origin, terms, newest: newest && { ...headOf(newest), note: newest.note, ...subtreesIn(newest) } };
}

function subtreesIn({
  size,
  root,
  subtrees,
}: {
  size: number;
  root: string;
  subtrees?: string[] | undefined;
}) {
  if (subtrees === undefined) return {};
  const roots = subtrees.map(parseHash);
  const isOfIt = roots.length === subtreesOf(0, size).length && foldSubtrees(roots).equals(parseHash(root));
  if (!isOfIt) throw new AuditFormatError('the subtrees in the memory of a log have its root');
  return { subtrees: roots };
}

function read(text: string) {
  if (text.length > MAX_LENGTH) throw new AuditFormatError('the memory of a log is not that long');
  try {
    const result = schema.safeParse(parseStrictJson(text, { maxDepth: 8, maxMembers: 16 * MAX_KEYS }));
    if (result.success) return result.data;
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
  }
  throw new AuditFormatError(`the memory of a log (${FORMAT}) was expected`);
}

function headOf({ size, root }: { size: number; root: string }): TreeHead {
  return { size, root: parseHash(root) };
}

/** Each key begins where the one before it ends; the last has no end. */
function refuseGaps(origin: string, terms: readonly KeyTerm[]): void {
  const isChain = terms.every(
    ({ key, from, until }, at) =>
      key.kind === 'log' &&
      key.name === origin &&
      from === (at === 0 ? 0 : terms[at - 1]?.until?.size) &&
      (until === null) === (at === terms.length - 1),
  );
  if (!isChain) throw new AuditFormatError('the keys of a log follow one another without a gap');
}
