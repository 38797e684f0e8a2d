/**
 * Which key of a log is believed, and since when: one that a person pinned, here or before. Nothing is pinned because
 * a log showed it, unless somebody says so.
 */
import { type Command, InvalidArgumentError } from 'commander';
import { openCheckpoint } from '../audit/checkpoint.ts';
import { AuditFormatError } from '../audit/format-error.ts';
import type { TrustPolicy } from '../audit/judge-checkpoint.ts';
import type { NoteSigner } from '../audit/signed-note.ts';
import { pinLog, type TrustedLog } from '../audit/trusted-log.ts';
import { parseVerifierKey, type VerifierKey } from '../audit/verifier-key.ts';
import type { Environment } from '../config/environment.ts';
import { readConnection } from './connection.ts';
import { fail } from './failure.ts';
import { type LogMemory, memoryPath, openLogMemory } from './log-memory.ts';
import { collect } from './new-client.ts';
import { plainText } from './plain-text.ts';

export type TrustOptions = {
  logKey?: VerifierKey;
  trust?: string;
  trustOnFirstUse: boolean;
  witness: readonly string[];
  quorum?: number;
};

/** What a log says of itself; believed only by who says `--trust-on-first-use`. */
export type Told = { origin: string; keys: readonly string[]; checkpoint: string };

export type LogTrust = {
  memory: LogMemory;
  trusted: TrustedLog;
  policy: TrustPolicy;
  /** Whether the key was taken from the log itself, now. */
  isFirstUse: boolean;
};

type KeyFlag = '--key' | '--log-key';

/** @param keyFlag `--key` means the operator's key where there is one */
export function addTrustOptions(command: Command, keyFlag: KeyFlag): Command {
  return addPinOptions(command, keyFlag).option(
    '--trust-on-first-use',
    'pin the key that the log shows, when none is pinned yet',
    false,
  );
}

/** For who asks no log, and is shown no keys. */
export function addPinOptions(command: Command, keyFlag: KeyFlag): Command {
  command
    .option(`${keyFlag} <vkey>`, 'the key of the log, from somewhere better than the log', verifierKey)
    .option('--trust <file>', 'where the memory of the log is (default: audit-trust in the data folder)');
  return addWitnessOptions(command);
}

export function addWitnessOptions(command: Command): Command {
  return command
    .option('--witness <vkey>', 'the key of a witness; can be repeated', collect, [])
    .option('--quorum <number>', 'so many of them must have cosigned (default: all)', wholeNumber);
}

/** @throws {CommandFailure} when nothing is pinned, or something else than what was said */
export function openTrust(environment: Environment, options: TrustOptions, told: Told): LogTrust {
  const { logKey, trust, trustOnFirstUse } = options;
  const { dataDirectory } = readConnection(environment, {});
  const origin = logKey?.name ?? told.origin;
  const memory = openLogMemory(trust ?? memoryPath(environment, origin, dataDirectory));
  const policy = policyOf(options);
  if (memory.trusted !== null) {
    refuseAnotherKey(memory.trusted, logKey, memory.path);
    return { memory, trusted: memory.trusted, policy, isFirstUse: false };
  }
  if (logKey !== undefined) return { memory, trusted: pinLog(logKey.vkey), policy, isFirstUse: false };
  const shown = keyOf(told);
  if (trustOnFirstUse && shown !== null) return { memory, trusted: pinLog(shown), policy, isFirstUse: true };
  const how =
    shown === null ? '' : ` It shows ${plainText(shown)}: compare that with what its operator tells you.`;
  return fail(
    'usage',
    `No key of ${plainText(told.origin)} is pinned.${how} "mayfly audit verify --live --key" pins one, --trust-on-first-use this one.`,
  );
}

/** Whether {@link openTrust} has something to go by. */
export function isPinned(environment: Environment, options: TrustOptions, origin: string): boolean {
  const { logKey, trust } = options;
  if (logKey !== undefined) return true;
  const { dataDirectory } = readConnection(environment, {});
  return openLogMemory(trust ?? memoryPath(environment, origin, dataDirectory)).trusted !== null;
}

function refuseAnotherKey({ terms }: TrustedLog, logKey: VerifierKey | undefined, path: string): void {
  if (logKey === undefined || terms.some(({ key }) => key.vkey === logKey.vkey)) return;
  fail(
    'usage',
    `${path} trusts another key, ${terms.map(({ key }) => plainText(key.vkey)).join(', ')}. --trust names another file.`,
  );
}

/** The one of its keys that signed its head. */
function keyOf({ origin, keys, checkpoint }: Told): string | null {
  const opened = openCheckpoint(checkpoint, { origin, keys: readableKeys(keys) });
  if (opened.outcome !== 'verified') return null;
  return opened.signers.find(({ key }) => key.kind === 'log')?.key.vkey ?? null;
}

/** What cannot be read verifies nothing; the others still do. */
export function readableKeys(lines: readonly string[]): VerifierKey[] {
  return lines.flatMap(readable);
}

function readable(line: string): VerifierKey[] {
  try {
    return [parseVerifierKey(line)];
  } catch (error) {
    if (error instanceof AuditFormatError) return [];
    throw error;
  }
}

export function policyOf({ witness, quorum }: Pick<TrustOptions, 'witness' | 'quorum'>): TrustPolicy {
  const witnesses = witness.map(witnessKey);
  return { witnesses, quorum: quorum ?? new Set(witnesses.map(({ name }) => name)).size };
}

function witnessKey(line: string): VerifierKey {
  const [key] = readable(line);
  return key?.kind === 'witness' ? key : fail('usage', 'A key of a witness is <name>+<key id>+<base64>.');
}

export function verifierKey(line: string): VerifierKey {
  const [key] = readable(line);
  if (key?.kind === 'log') return key;
  throw new InvalidArgumentError('A key of a log is <name>+<key id>+<base64>, as GET /v1/audit/keys has it.');
}

export function wholeNumber(text: string): number {
  const number = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  throw new InvalidArgumentError('A whole number is needed.');
}

/** Why a head is believed: who else signed it, the key and how often it was handed over, and where that is kept. */
export function groundsOf(
  { cosigners, trusted }: { cosigners: readonly NoteSigner[]; trusted: TrustedLog },
  { memory, isFirstUse }: Pick<LogTrust, 'memory' | 'isFirstUse'>,
) {
  return {
    cosigned_by: [...new Set(cosigners.map(({ key }) => key.name))],
    key: trusted.terms.at(-1)?.key.vkey,
    key_handed_over: trusted.terms.length - 1,
    ...(isFirstUse && { pinned_now: true }),
    memory: memory.path,
  };
}
