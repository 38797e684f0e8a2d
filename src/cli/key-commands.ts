/**
 * `mayfly keys …`: the ring of signing keys from the command line, straight at the database, since the broker may
 * be the thing that does not start. Results go to stdout, what happened and what to do next goes to stderr.
 */
import { Command, Option } from 'commander';
import { newKekText } from '../signing-keys/key-encryption-key.ts';
import type { KeyListing, KeyOperations } from '../signing-keys/key-operations.ts';
import { ALL_KEY_PURPOSES, type KeyPurpose } from '../signing-keys/key-state.ts';
import { table } from './table.ts';

export type OpenKeys = () => Promise<KeyOperations & { close(): Promise<void> }>;

/** Usage: the exit code of everything that a different command line would have prevented. */
const EXIT_USAGE = 1;

/** @param open connects to the ring with the configured KEKs; closed again by each command */
export function keyCommands(open: OpenKeys): Command {
  const keys = new Command('keys');
  keys.addCommand(listCommand(open));
  keys.addCommand(rotateCommand(open));
  keys.addCommand(revokeCommand(open));
  keys.addCommand(resealCommand(open));
  keys.addCommand(abandonCommand(open));
  keys.addCommand(newKekCommand());
  return keys;
}

function listCommand(open: OpenKeys): Command {
  return new Command('list')
    .description('show every key, its state and its times')
    .addOption(outputOption())
    .action(({ output }: { output: Output }) =>
      using(open, async (keys) => print(await keys.list(), output)),
    );
}

function rotateCommand(open: OpenKeys): Command {
  return new Command('rotate')
    .description('publish the next key now; it signs after the publication lead')
    .option('--immediately', 'let it sign at once: verifiers have to notice the new kid by themselves', false)
    .addOption(
      new Option('--purpose <purpose>', 'which key')
        .choices(ALL_KEY_PURPOSES)
        .default('token' satisfies KeyPurpose),
    )
    .addOption(outputOption())
    .action(
      ({ immediately, purpose, output }: { immediately: boolean; purpose: KeyPurpose; output: Output }) =>
        using(open, async (keys) => print(await keys.rotate({ purpose, immediately }), output)),
    );
}

function revokeCommand(open: OpenKeys): Command {
  return new Command('revoke')
    .description('after a compromise: the key signs nothing more and leaves the JWKS, for good')
    .argument('<kid>', 'as shown by "mayfly keys list"')
    .option('--yes', 'do it', false)
    .action((kid: string, { yes }: { yes: boolean }, command: Command) => {
      if (!yes) fail(command, `Tokens that ${kid} signed stop verifying. Say --yes to revoke it.`);
      return using(open, async (keys) => {
        if (!(await keys.retireNow(kid)))
          fail(command, 'No such key, or it was revoked before: mayfly keys list');
        say(`Revoked ${kid}. If it was the one that signs, its successor signs already.`);
      });
    });
}

function resealCommand(open: OpenKeys): Command {
  return new Command('reseal')
    .description('seal with the current key-encryption key what a previous one sealed')
    .action(() =>
      using(open, async (keys) => {
        const resealed = await keys.reseal();
        const left = await keys.unopenable();
        say(`Sealed ${resealed} keys with the current key-encryption key.`);
        for (const key of left)
          say(`The ${key.purpose} key ${key.kid} could not be opened (${key.because}).`);
      }),
    );
}

function abandonCommand(open: OpenKeys): Command {
  return new Command('abandon')
    .description('the key-encryption key is lost: revoke what cannot be opened, make new keys')
    .option('--yes', 'do it', false)
    .action(({ yes }: { yes: boolean }, command: Command) =>
      using(open, async (keys) => {
        const lost = yes ? await keys.abandon() : await keys.unopenable();
        for (const key of lost) {
          process.stdout.write(`${key.kid}\t${key.purpose}\tsealed by ${key.sealedBy}\t${key.because}\n`);
        }
        if (lost.length === 0) say('Every key in use opens: there is nothing to abandon.');
        else if (yes) say('Revoked these keys and made new ones. Start the broker again.');
        else
          fail(command, 'These keys do not open; tokens that they signed would stop verifying. Say --yes.');
      }),
    );
}

function newKekCommand(): Command {
  return new Command('new-kek').description('print a fresh key-encryption key, once').action(() => {
    process.stdout.write(`${newKekText()}\n`);
    say('Keep it where the database is not, e.g. as MAYFLY_KEK_FILE. It is stored nowhere else.');
  });
}

type Output = 'table' | 'json';

function outputOption(): Option {
  return new Option('-o, --output <format>', 'how to print').choices(['table', 'json']).default('table');
}

async function using(open: OpenKeys, work: (keys: KeyOperations) => Promise<void>): Promise<void> {
  const keys = await open();
  try {
    await work(keys);
  } finally {
    await keys.close();
  }
}

const COLUMNS = ['kid', 'purpose', 'state', 'published_at', 'active_from', 'retire_at'];

function print(keys: readonly KeyListing[], output: Output): void {
  const rows = keys.map((key) => ({
    kid: key.kid,
    purpose: key.purpose,
    generation: key.generation,
    state: key.state,
    published_at: isoTime(key.publishedAtMilliseconds),
    active_from: isoTime(key.activeFromMilliseconds),
    retire_at: isoTime(key.retireAtMilliseconds),
    revoked_at: isoTime(key.revokedAtMilliseconds),
    sealed_by: key.sealedBy,
  }));
  process.stdout.write(output === 'json' ? `${JSON.stringify(rows, null, 2)}\n` : table(COLUMNS, rows));
}

function isoTime(milliseconds: number | null): string | null {
  return milliseconds === null ? null : new Date(milliseconds).toISOString();
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function fail(command: Command, text: string): never {
  return command.error(text, { exitCode: EXIT_USAGE });
}
