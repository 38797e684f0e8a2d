/**
 * Checks a pack with nothing but what its reader brought: the key that he pinned and what he remembers. First the
 * checkpoint, then each entry in its place; the first bad one is named, and nothing behind it is looked at. Reads one
 * line at a time, so that a pack may be larger than the memory.
 */
import { createEntryCheck, type EntryCheck, type EntryFlaw } from './check-entries.ts';
import type { Checkpoint } from './checkpoint.ts';
import { provedOneByOne } from './entry-evidence.ts';
import { AuditFormatError } from './format-error.ts';
import {
  type Judgement,
  judgeCheckpoint,
  type RefusedCheckpoint,
  type TrustPolicy,
} from './judge-checkpoint.ts';
import { type PackHeader, parsePackEntry, parsePackHeader } from './pack.ts';
import type { NoteSigner } from './signed-note.ts';
import type { TrustedLog } from './trusted-log.ts';

/** Of an entry, or of the line where one was to be. */
export type PackFlaw = EntryFlaw | 'malformed';

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
  | { outcome: 'bad-entry'; flaw: PackFlaw; index: number; line: number; why: string }
  | { outcome: 'bad-header'; why: string }
  | { outcome: 'not-trusted'; judgement: RefusedCheckpoint };

export type PackPolicy = TrustPolicy & {
  trusted: TrustedLog;
  /** The index from which on every entry must still have its bytes; 0 unless the reader knows of a retention. */
  bodiesFrom?: number;
};

const FIRST_ENTRY_LINE = 2;

type PackVerifier = {
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

function createPackVerifier({ trusted, bodiesFrom = 0, ...policy }: PackPolicy): PackVerifier {
  let opened: OpenedPack | undefined;
  let verdict: PackVerdict | null = null;

  function begin(line: string): PackVerdict | null {
    const read = openHeader(line, { trusted, policy, bodiesFrom });
    if ('outcome' in read) return read;
    opened = read;
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
      const { header, accepted, check } = opened;
      const bad = check.end();
      if (bad !== null) return badLine(opened, bad);
      const { from, to } = header;
      const bodiesAbsent = check.bodiesAbsent();
      return { ...accepted, outcome: 'sound', from, to, entries: to - from, bodiesAbsent };
    },
  };
}

type OpenedPack = {
  header: PackHeader;
  accepted: Extract<Judgement, { outcome: 'accepted' }>;
  check: EntryCheck;
};

function takeEntry(line: string, opened: OpenedPack): PackVerdict | null {
  const entry = orWhy(() => parsePackEntry(line));
  const bad = 'why' in entry ? { flaw: 'malformed' as const, why: entry.why } : opened.check.take(entry);
  return bad === null ? null : badLine(opened, bad);
}

function badLine({ header, check }: OpenedPack, { flaw, why }: { flaw: PackFlaw; why: string }): PackVerdict {
  const index = check.next();
  return { outcome: 'bad-entry', flaw, index, line: index - header.from + FIRST_ENTRY_LINE, why };
}

function openHeader(
  line: string,
  { trusted, policy, bodiesFrom }: { trusted: TrustedLog; policy: TrustPolicy; bodiesFrom: number },
): OpenedPack | PackVerdict {
  const header = orWhy(() => parsePackHeader(line));
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
  const evidence = provedOneByOne(judgement.checkpoint);
  return { header, accepted: judgement, check: createEntryCheck({ from, to, bodiesFrom, evidence }) };
}

function orWhy<Read>(read: () => Read): Read | { why: string } {
  try {
    return read();
  } catch (error) {
    if (error instanceof AuditFormatError) return { why: error.message };
    throw error;
  }
}
