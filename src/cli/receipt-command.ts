/** `mayfly receipt verify`: offline, for whoever was handed a receipt and the issuer's ledger keys. */
import { readFileSync } from 'node:fs';
import { text as readStream } from 'node:stream/consumers';
import { Command } from 'commander';
import type { Environment } from '../config/environment.ts';
import { fail } from './failure.ts';
import { addFormatOption, type Format } from './operator-commands.ts';
import { readConnection } from './operator-identity.ts';
import { printOne } from './print.ts';
import { lastMomentOf, verifyReceipt } from './verify-receipt.ts';

type VerifyOptions = { keys: string; url?: string; output: Format };

export function verifyReceiptCommand(environment: Environment): Command {
  const command = new Command('verify')
    .description('offline: whether a receipt is genuine, and what it states')
    .argument('[file]', 'the receipt, or the answer that it came in; standard input when left out')
    .requiredOption('--keys <file>', 'the JWK set of /.well-known/mayfly-ledger-jwks.json, kept from before')
    .option(
      '--url <origin>',
      'the issuer that it is to be of (default: MAYFLY_ISSUER, or http://127.0.0.1:8420)',
    );
  return addFormatOption(command).action(async (file: string | undefined, options: VerifyOptions) => {
    const { issuer } = readConnection(environment, options);
    const text = file === undefined || file === '-' ? await readStream(process.stdin) : read(file);
    const receipt = verifyReceipt(text, { jwks: read(options.keys), issuer });
    const inForceAt = lastMomentOf(receipt);
    const facts = { genuine: true, in_force_everywhere_at: inForceAt, ...receipt };
    printOne(facts, options.output);
  });
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    return fail('usage', `${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
}
