/** A pack from a file or from standard input, verified with nothing but what its reader brought. */
import { createReadStream } from 'node:fs';
import { AuditFormatError } from '../audit/format-error.ts';
import { formatHash } from '../audit/note-text.ts';
import { type PackHeader, parsePackHeader } from '../audit/pack.ts';
import { packLines } from '../audit/pack-lines.ts';
import { type PackFlaw, type PackVerdict, verifyPack } from '../audit/verify-pack.ts';
import type { Environment } from '../config/environment.ts';
import { type Finding, trustOptions, type VerifyOptions } from './audit-verify-command.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { groundsOf, type LogTrust, openTrust } from './log-trust.ts';
import { plainText } from './plain-text.ts';
import { evidenceOf, wordsFor } from './refused-checkpoint.ts';

/** @throws {CommandFailure} when it cannot be read, or nothing is pinned */
export async function verifyPackFile(
  file: string,
  options: VerifyOptions,
  environment: Environment,
): Promise<Finding> {
  const lines = packLines(piecesOf(file));
  const first = await firstLine(lines);
  if ('why' in first) return badHeader(first.why);
  const { line, header } = first;
  const trust = openTrust(environment, trustOptions(options), header);
  const { trusted, policy } = trust;
  const { archived: allowOlder, bodiesFrom } = options;
  const verdict = await verifyPack(followedBy(line, lines), { ...policy, trusted, allowOlder, bodiesFrom });
  if (verdict.outcome === 'sound' && verdict.entries === 0) return NOTHING;
  if (verdict.outcome === 'sound') await trust.memory.keep(verdict.trusted);
  return findingOf(verdict, trust);
}

/** Whoever cut every entry out of a pack is not told that all is well. */
const NOTHING: Finding = {
  facts: { reason: 'no-entries' },
  why: 'It holds no entries, so that there is nothing to verify.',
};

async function firstLine(
  lines: AsyncGenerator<string>,
): Promise<{ line: string; header: PackHeader } | { why: string }> {
  try {
    const { value: line = '' } = await lines.next();
    return { line, header: parsePackHeader(line) };
  } catch (error) {
    if (error instanceof AuditFormatError) return { why: error.message };
    throw error;
  }
}

async function* followedBy(line: string, lines: AsyncGenerator<string>): AsyncGenerator<string> {
  yield line;
  yield* lines;
}

async function* piecesOf(file: string): AsyncGenerator<Uint8Array> {
  try {
    yield* file === '-' ? process.stdin : createReadStream(file);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : null;
    if (code === null || error instanceof AuditFormatError) throw error;
    throw new CommandFailure(EXIT.usage, `${file} cannot be read (${code}).`);
  }
}

function findingOf(verdict: PackVerdict, trust: LogTrust): Finding {
  switch (verdict.outcome) {
    case 'bad-header':
      return badHeader(verdict.why);
    case 'not-trusted':
      return {
        facts: { reason: verdict.judgement.outcome, ...evidenceOf(verdict.judgement) },
        why: wordsFor(verdict.judgement),
      };
    case 'bad-entry': {
      const { flaw, index, line, why } = verdict;
      const hint = HINTS[flaw] ?? '';
      return {
        facts: { reason: flaw, index, line },
        why: `The first bad entry is ${index} (line ${line}), ${flaw}: ${plainText(why)}.${hint}`,
      };
    }
    case 'sound': {
      const { from, to, entries, bodiesAbsent, checkpoint } = verdict;
      const facts = {
        origin: checkpoint.origin,
        from,
        to,
        entries,
        texts_past_retention: bodiesAbsent,
        log_size: checkpoint.size,
        root: formatHash(checkpoint.root),
        ...groundsOf(verdict, trust),
      };
      return { facts, why: null };
    }
  }
}

const HINTS: Partial<Record<PackFlaw, string>> = {
  'body-absent': ' If retention took its text, --bodies-from says from where on texts have to be there.',
};

function badHeader(why: string): Finding {
  return { facts: { reason: 'bad-header' }, why: `This is no pack of a log: ${plainText(why)}.` };
}
