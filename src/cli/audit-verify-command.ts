/**
 * `mayfly audit verify`: whether a log, or a part of it that was exported, is the one that was signed and the one that
 * was seen before. A pack is verified without asking anybody. Ends with 7 and names the first bad entry when it is not.
 */
import { Command } from 'commander';
import type { VerifierKey } from '../audit/verifier-key.ts';
import type { Environment } from '../config/environment.ts';
import { fail } from './failure.ts';
import { addTrustOptions, type TrustOptions, wholeNumber } from './log-trust.ts';
import { addFormatOption, type Format } from './operator-commands.ts';
import { printOne } from './print.ts';

export type VerifyOptions = Omit<TrustOptions, 'logKey'> & {
  key?: VerifierKey;
  live: boolean;
  archived: boolean;
  entries: boolean;
  bodiesFrom: number;
  url?: string;
  as?: string;
  operatorKey?: string;
  output: Format;
};

/** What came of it: `why` is null when all is well. */
export type Finding = { facts: Record<string, unknown>; why: string | null };

export function auditVerifyCommand(environment: Environment): Command {
  const command = new Command('verify')
    .description(
      'whether a log, or a pack of it, is what was signed and what was seen before; a pack offline',
    )
    .argument('[pack]', 'what mayfly audit export wrote; - is standard input')
    .option('--live', 'the log of a running broker: all of its hashes', false)
    .option('--entries', 'with --live: the entries, too, as an operator who may read them', false)
    .option(
      '--archived',
      'a pack that is older than what was seen since; it is not compared with that',
      false,
    )
    .option(
      '--bodies-from <index>',
      'entries before it may have lost their text to retention',
      wholeNumber,
      0,
    );
  addFormatOption(addTrustOptions(command, '--key'))
    .option('--url <origin>', 'with --live: the broker (default: MAYFLY_ISSUER, or http://127.0.0.1:8420)')
    .option('--as <operator>', 'with --entries: who reads (default: MAYFLY_OPERATOR)')
    .option('--operator-key <file>', "with --entries: the operator's private JWK");
  return command.action(async (pack: string | undefined, options: VerifyOptions) => {
    if (options.live === (pack !== undefined)) fail('usage', 'What is to be verified: a pack, or --live?');
    const { facts, why } = options.live
      ? await (await import('./verify-live-log.ts')).verifyLiveLog(options, environment)
      : await (await import('./verify-pack-file.ts')).verifyPackFile(pack ?? '-', options, environment);
    if (why === null || options.output !== 'table')
      printOne({ verified: why === null, ...facts }, options.output);
    if (why !== null) fail('verification', `Not verified. ${why}`);
  });
}

export function trustOptions({ key, ...options }: VerifyOptions): TrustOptions {
  return key === undefined ? options : { ...options, logKey: key };
}
