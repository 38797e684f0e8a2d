/**
 * Checks a pack with nothing but what its reader brought: the key that he pinned and what he remembers. First the
 * checkpoint, then each entry in its place; the first bad one is named, and nothing behind it is looked at. Reads one
 * line at a time, so that a pack may be larger than the memory.
 */
import { canonicalJson } from '../json/canonical-json.ts';
import { parseStrictJson } from '../json/strict-json.ts';
import type { Checkpoint } from './checkpoint.ts';
import { MAX_ENTRY_BYTES, MAX_ENTRY_DEPTH } from './entry-document.ts';
import { AuditFormatError } from './format-error.ts';
import {
  type Judgement,
  judgeCheckpoint,
  type RefusedCheckpoint,
  type TrustPolicy,
} from './judge-checkpoint.ts';
import { verifyInclusion } from './merkle-proof.ts';
import { leafHash } from './merkle-tree.ts';
import { type PackEntry, type PackHeader, parsePackEntry, parsePackHeader } from './pack.ts';
import type { NoteSigner } from './signed-note.ts';
import type { TrustedLog } from './trusted-log.ts';

export type EntryFlaw =
  /** The line is not one of a pack. */
  | 'malformed'
  /** Another entry stands where this one belongs: something was left out, doubled, moved or put in. */
  | 'wrong-index'
  /** The pack ends before it. */
  | 'missing'
  /** The pack goes on after its last entry. */
  | 'beyond-the-end'
  /** Its bytes are not there, and the reader wants them. */
  | 'body-absent'
  /** Two readers could see two things in it. */
  | 'not-canonical'
  /** The signed tree does not hold it in this place. */
  | 'not-included';

export type PackVerdict =
  | {
      outcome: 'sound';
      from: number;
      to: number;
      entries: number;
      /** Entries of which only the leaf is left. */
      bodiesAbsent: number;
      checkpoint: Checkpoint;
      cosigners: readonly NoteSigner[];
      /** The memory afterwards. */
      trusted: TrustedLog;
    }
  /** The first bad entry; `line` counts from 1, with the header. */
  | { outcome: 'bad-entry'; flaw: EntryFlaw; index: number; line: number; why: string }
  | { outcome: 'bad-header'; why: string }
  | { outcome: 'not-trusted'; judgement: RefusedCheckpoint };

export type PackPolicy = TrustPolicy & {
  trusted: TrustedLog;
  /** The index from which on every entry must still have its bytes; 0 unless the reader knows of a retention. */
  bodiesFrom?: number;
};

const FIRST_ENTRY_LINE = 2;
const DOCUMENT_BOUNDS = { maxDepth: MAX_ENTRY_DEPTH, maxMembers: 2 * MAX_ENTRY_BYTES };

export type PackVerifier = {
  /** The verdict as soon as something is wrong, and then for ever; null until then. */
  take(line: string): PackVerdict | null;
  /** The verdict over a pack that has no more lines. */
  end(): PackVerdict;
};

/** @param lines without their line feeds, as `packLines` cuts them; what it throws is a flaw of the pack */
export async function verifyPack(
  lines: AsyncIterable<string> | Iterable<string>,
  policy: PackPolicy,
): Promise<PackVerdict> {
  const verifier = createPackVerifier(policy);
  try {
    for await (const line of lines) {
      const verdict = verifier.take(line);
      if (verdict !== null) return verdict;
    }
  } catch (error) {
    if (error instanceof AuditFormatError) return verifier.take(NO_LINE) ?? verifier.end();
    throw error;
  }
  return verifier.end();
}

/** Stands for a line that could not even be read. */
const NO_LINE = '';

export function createPackVerifier({ trusted, bodiesFrom = 0, ...policy }: PackPolicy): PackVerifier {
  let opened: OpenedPack | undefined;
  let verdict: PackVerdict | null = null;
  let [next, bodiesAbsent] = [0, 0];

  function begin(line: string): PackVerdict | null {
    const read = openHeader(line, { trusted, policy });
    if ('outcome' in read) return read;
    opened = read;
    next = read.header.from;
    return null;
  }

  function takeEntry(line: string, { header, accepted }: OpenedPack): PackVerdict | null {
    const bad = (flaw: EntryFlaw, why: string): PackVerdict => {
      return { outcome: 'bad-entry', flaw, index: next, line: next - header.from + FIRST_ENTRY_LINE, why };
    };
    if (next === header.to) return bad('beyond-the-end', 'the header names fewer entries');
    const entry = readEntry(line);
    if ('why' in entry) return bad('malformed', entry.why);
    const flaw = flawOf(entry, { index: next, bodiesFrom, checkpoint: accepted.checkpoint });
    if (flaw !== null) return bad(flaw.flaw, flaw.why);
    if (entry.document === null) bodiesAbsent += 1;
    next += 1;
    return null;
  }

  return {
    take(line) {
      verdict ??= opened === undefined ? begin(line) : takeEntry(line, opened);
      return verdict;
    },
    end() {
      if (verdict !== null) return verdict;
      if (opened === undefined) return { outcome: 'bad-header', why: 'the pack is empty' };
      const { header, accepted } = opened;
      const { from, to } = header;
      const line = next - from + FIRST_ENTRY_LINE;
      const why = `the header promises entries up to ${to - 1}`;
      if (next < to) return { outcome: 'bad-entry', flaw: 'missing', index: next, line, why };
      return { ...accepted, outcome: 'sound', from, to, entries: to - from, bodiesAbsent };
    },
  };
}

type OpenedPack = { header: PackHeader; accepted: Extract<Judgement, { outcome: 'accepted' }> };

function openHeader(
  line: string,
  { trusted, policy }: { trusted: TrustedLog; policy: TrustPolicy },
): OpenedPack | PackVerdict {
  const header = readHeader(line);
  if ('why' in header) return { outcome: 'bad-header', why: header.why };
  const { origin, checkpoint, handOvers, consistency, from, to } = header;
  const fits = consistency !== undefined && consistency.from === trusted.newest?.size;
  const offer = { checkpoint, handOvers, ...(fits && { consistency: consistency.proof }) };
  const judgement = judgeCheckpoint(trusted, offer, policy);
  if (judgement.outcome !== 'accepted') return { outcome: 'not-trusted', judgement };
  if (origin !== trusted.origin) return { outcome: 'bad-header', why: 'it names another origin' };
  if (from > to || to > judgement.checkpoint.size) {
    return { outcome: 'bad-header', why: 'it names entries that the checkpoint does not cover' };
  }
  return { header, accepted: judgement };
}

function readHeader(line: string): PackHeader | { why: string } {
  return orWhy(() => parsePackHeader(line));
}

function readEntry(line: string): PackEntry | { why: string } {
  return orWhy(() => parsePackEntry(line));
}

function orWhy<Read>(read: () => Read): Read | { why: string } {
  try {
    return read();
  } catch (error) {
    if (error instanceof AuditFormatError) return { why: error.message };
    throw error;
  }
}

function flawOf(
  entry: PackEntry,
  { index, bodiesFrom, checkpoint }: { index: number; bodiesFrom: number; checkpoint: Checkpoint },
): { flaw: EntryFlaw; why: string } | null {
  if (entry.index !== index) {
    return { flaw: 'wrong-index', why: `the line is of entry ${entry.index}` };
  }
  if (entry.document === null && index >= bodiesFrom) {
    return { flaw: 'body-absent', why: 'only its hash is left' };
  }
  const leaf = entry.document === null ? entry.leaf : leafHash(Buffer.from(entry.document));
  const { size, root } = checkpoint;
  if (!verifyInclusion({ index, size, leaf, proof: entry.proof, root })) {
    return { flaw: 'not-included', why: `its proof does not lead to the root of the ${size} entries signed` };
  }
  if (entry.document !== null && !isCanonical(entry.document)) {
    return { flaw: 'not-canonical', why: 'it is not the canonical JSON of an entry' };
  }
  return null;
}

function isCanonical(document: string): boolean {
  try {
    return canonicalJson(parseStrictJson(document, DOCUMENT_BOUNDS)) === document;
  } catch {
    return false;
  }
}
