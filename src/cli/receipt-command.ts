/** `mayfly receipt verify`: offline, for whoever was handed a receipt, the issuer's ledger keys and the key of its log. */
import { readFileSync } from 'node:fs';
import { text as readStream } from 'node:stream/consumers';
import { Command } from 'commander';
import { originOf } from '../audit/log-key.ts';
import type { Environment } from '../config/environment.ts';
import type { Receipt } from '../revocations/receipt.ts';
import { awsOutlook } from './aws-outlook.ts';
import { readConnection } from './connection.ts';
import { fail } from './failure.ts';
import { addPinOptions, isPinned, type LogTrust, openTrust, type TrustOptions } from './log-trust.ts';
import { addFormatOption, type Format } from './operator-commands.ts';
import { printOne, say } from './print.ts';
import { type Cited, type OfferedCitation, verifyCitation } from './verify-citation.ts';
import { citationIn, lastMomentOf, verifyReceipt } from './verify-receipt.ts';

type PinOptions = Omit<TrustOptions, 'trustOnFirstUse'>;
type VerifyOptions = PinOptions & { keys: string; url?: string; output: Format };

export function verifyReceiptCommand(environment: Environment): Command {
  const command = new Command('verify')
    .description('offline: whether a receipt is genuine and in the audit log, and what it states')
    .argument('[file]', 'the receipt, or the answer that it came in; standard input when left out')
    .requiredOption('--keys <file>', 'the JWK set of /.well-known/mayfly-ledger-jwks.json, kept from before')
    .option(
      '--url <origin>',
      'the issuer that it is to be of (default: MAYFLY_ISSUER, or http://127.0.0.1:8420)',
    );
  addFormatOption(addPinOptions(command, '--log-key'));
  return command.action(async (file: string | undefined, options: VerifyOptions) => {
    const { issuer } = readConnection(environment, options);
    const text = file === undefined || file === '-' ? await readStream(process.stdin) : read(file);
    const receipt = verifyReceipt(text, { jwks: read(options.keys), issuer });
    const trustFor = trustOf(environment, options, originOf(issuer));
    const cited = await checkCitation(citationIn(text), receipt, trustFor);
    const inForceAt = lastMomentOf(receipt);
    sayOfAws(receipt);
    printOne({ genuine: true, in_force_everywhere_at: inForceAt, ...receipt, ...cited }, options.output);
  });
}

/** What is in force everywhere is so at enforcement points of ours: AWS is none. */
function sayOfAws({ aws, releases }: Receipt): void {
  if (aws === undefined && releases === undefined)
    say('It says nothing of AWS credentials: it was made before any did.');
  const outlook = awsOutlook(aws);
  if (outlook !== null) say(outlook);
}

function trustOf(environment: Environment, pinned: PinOptions, origin: string) {
  const options = { ...pinned, trustOnFirstUse: false };
  return (checkpoint: string): LogTrust | null => {
    if (!isPinned(environment, options, origin)) return null;
    return openTrust(environment, options, { origin, keys: [], checkpoint });
  };
}

/** What is not checked is said. */
async function checkCitation(
  citation: OfferedCitation | null | undefined,
  receipt: Receipt,
  trustFor: (checkpoint: string) => LogTrust | null,
): Promise<{ audit?: Cited }> {
  if (citation === undefined || citation === null) {
    const why =
      citation === null ? 'had no place for its entry yet; ask for it again' : 'is not named with it';
    say(`Not checked: the audit log ${why}. "mayfly receipt show <id> -o json" has the entry and its proof.`);
    return {};
  }
  const audit = await verifyCitation(citation, receipt, trustFor);
  if (!audit.signed) {
    say(
      `Not checked: who signed the log that holds ${audit.entry}. --log-key names the key of the log, as "mayfly audit verify" pins it.`,
    );
  } else if (audit.compared_with_memory === false) {
    say(
      'Not checked: whether that log continues the one that was seen before. "mayfly audit verify --live" does.',
    );
  }
  return { audit };
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    return fail('usage', `${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
}
