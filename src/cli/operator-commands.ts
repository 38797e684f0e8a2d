/** The table of `operator-verbs.ts` as commands, with the options that commands of one kind share. */
import { Command, Option } from 'commander';
import type { Environment } from '../config/environment.ts';
import type { ConnectionOptions } from './connection.ts';
import { wholeNumberIn } from './number-options.ts';
import type { OperatorVerb } from './operator-verb.ts';
import { OPERATOR_VERBS } from './operator-verbs.ts';
import { OTHER_VERBS } from './other-verbs.ts';
import { complaintAbout } from './reason.ts';

export const FORMATS = ['table', 'json', 'jsonl'] as const;
export type Format = (typeof FORMATS)[number];

export type ListOptions = { limit: number } & Record<string, string | number | undefined>;
export type ChangeOptions = { reason: string; yes: boolean; dryRun: boolean };
export type OperatorOptions = ConnectionOptions & { output: Format };

const DEFAULT_ROWS = 1_000;
const MAX_ROWS = 10_000;

/** The commands of one noun, added to those that it has anyway. */
export async function addOperatorCommands(
  group: Command,
  noun: string,
  environment: Environment,
): Promise<Command> {
  for (const verb of OPERATOR_VERBS.filter((each) => each.noun === noun)) {
    group.addCommand(operatorCommand(verb, environment));
  }
  for (const { load, isDefault = false } of OTHER_VERBS.filter((each) => each.noun === noun)) {
    group.addCommand(await load(environment), { isDefault });
  }
  return group;
}

/** Names of arguments in a path, in their order. */
export function argumentsOf(path: string): string[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
}

function operatorCommand(verb: OperatorVerb, environment: Environment): Command {
  const names = argumentsOf(verb.path);
  const command = new Command(verb.verb).description(verb.about);
  for (const name of names) command.argument(`<${name}>`);
  if (verb.kind === 'list') addListOptions(command, verb.filters ?? {});
  if (verb.kind === 'change') addChangeOptions(command);
  addConnectionOptions(command);
  return command.action(async (...given: unknown[]) => {
    const { runVerb } = await import('./run-operator-verb.ts');
    const values = Object.fromEntries(names.map((name, index) => [name, String(given[index])]));
    await runVerb(verb, { values, options: command.opts(), environment });
  });
}

function addListOptions(command: Command, filters: Readonly<Record<string, string>>): void {
  for (const [name, about] of Object.entries(filters)) command.option(`--${name} <value>`, about);
  command.option(
    '--limit <number>',
    'at most so many rows',
    wholeNumberIn({ from: 1, to: MAX_ROWS }),
    DEFAULT_ROWS,
  );
}

export function addChangeOptions(command: Command): Command {
  return command
    .option('--reason <words>', 'why, for the record; always needed')
    .option('--yes', 'do not ask; needed where nobody can be asked', false)
    .option('--dry-run', 'say what it would hit, and change nothing', false)
    .hook('preAction', (_, asked) => requireReason(asked));
}

/** After what is missing of the arguments, which commander looks at later than at required options. */
function requireReason(command: Command): void {
  const { reason } = command.opts<Partial<ChangeOptions>>();
  if (reason === undefined) command.error("error: required option '--reason <words>' not specified");
  const complaint = complaintAbout(reason);
  if (complaint !== null) command.error(`error: ${complaint}`);
}

/** Also for the commands that are none of the three kinds. */
export function addConnectionOptions(command: Command, formats?: readonly Format[]): Command {
  return addIdentityOptions(addFormatOption(command, formats));
}

export function addIdentityOptions(command: Command): Command {
  return command
    .option('--as <operator>', 'who asks (default: MAYFLY_OPERATOR, or the first with a development key)')
    .option(
      '--key <file>',
      "the operator's private JWK (default: MAYFLY_OPERATOR_KEY, or the development key)",
    )
    .option('--url <origin>', 'the broker (default: MAYFLY_ISSUER, or http://127.0.0.1:8420)');
}

export function addFormatOption(command: Command, formats: readonly Format[] = FORMATS): Command {
  const option = new Option('-o, --output <format>', 'how to print').choices(formats).default(formats[0]);
  return command.addOption(option);
}
