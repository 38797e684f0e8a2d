/**
 * `mayfly scopes …`: the review of policy from the command line and in CI. Reads folders only: no broker, no
 * database. What was found goes to stdout, so that it can be kept; exit codes tell the rest apart:
 *
 *     0  nothing to object to
 *     1  usage, or problems in the files
 *     6  what somebody may do widens, and nobody has accepted it
 */
import { Command, Option } from 'commander';
import {
  type Catalogue,
  type CatalogueChange,
  compareCatalogues,
  LINT_RULES,
  type LoadedCatalogue,
  loadCatalogue,
} from '../catalogue/index.ts';
import { countOf, problemText } from './problem-text.ts';

export const EXIT_PROBLEMS = 1;
export const EXIT_WIDENS = 6;

type Output = 'text' | 'json';

/** @param directory the scopes folder where none is named */
export function scopesCommands({ directory = 'scopes' }: { directory?: string } = {}): Command {
  const scopes = new Command('scopes');
  scopes.addCommand(checkCommand(directory));
  scopes.addCommand(diffCommand());
  return scopes;
}

function checkCommand(directory: string): Command {
  return new Command('check')
    .description('read the folder as the broker does and show every problem')
    .argument('[directory]', 'folder with zones.yaml, resources/ and agents/', directory)
    .option('--explain', 'print the lint rules, why they exist, and how a finding is accepted', false)
    .addOption(outputOption())
    .action(async (folder: string, { explain, output }: { explain: boolean; output: Output }) => {
      if (explain) return print(output === 'json' ? asJson(LINT_RULES) : ruleTable());
      const loaded = await loadCatalogue(folder);
      if (loaded.catalogue === null) process.exitCode = EXIT_PROBLEMS;
      print(output === 'json' ? asJson(checkReport(loaded)) : checkText(loaded));
    });
}

type DiffOptions = { acceptWidening: boolean; output: Output };

function diffCommand(): Command {
  return new Command('diff')
    .description('say in plain words who gains and who loses what between two folders')
    .argument('<old>', 'the folder as it was')
    .argument('<new>', 'the folder as it is')
    .option('--accept-widening', 'a person has reviewed what widens', false)
    .addOption(outputOption())
    .addHelpText('after', `\nExits ${EXIT_WIDENS} when anything widens that was not accepted.`)
    .action(async (before: string, after: string, { acceptWidening, output }: DiffOptions) => {
      // yesterday's files need not obey today's lint: nothing is granted from them
      const [old, current] = [await loadCatalogue(before, { lint: false }), await loadCatalogue(after)];
      if (old.catalogue === null || current.catalogue === null) {
        process.exitCode = EXIT_PROBLEMS;
        return print(output === 'json' ? asJson(unreadable(old, current)) : unreadableText(old, current));
      }
      const comparison = { before: old.catalogue, after: current.catalogue, acceptWidening };
      const report = diffReport(comparison);
      if (report.widens && !acceptWidening) process.exitCode = EXIT_WIDENS;
      print(output === 'json' ? asJson(report) : diffText(report));
    });
}

function checkReport({ catalogue, problems }: LoadedCatalogue): object {
  return { ok: catalogue !== null, digest: catalogue?.digest ?? null, problems };
}

function checkText({ catalogue, problems }: LoadedCatalogue): string {
  const shown = problemText(problems);
  if (catalogue === null) return `${shown}${countOf(problems)}\n`;
  const { zones, resources, actions, agents, digest } = catalogue;
  return (
    `${shown}${number(zones, 'zone')}, ${number(resources, 'resource')}, ${number(actions, 'action')}, ` +
    `${number(agents, 'agent')}. Version ${digest}\n`
  );
}

function number({ size }: ReadonlyMap<string, unknown>, noun: string): string {
  return `${size} ${noun}${size === 1 ? '' : 's'}`;
}

function ruleTable(): string {
  return Object.entries(LINT_RULES)
    .map(
      ([name, { finds, because, accepting }]) =>
        `${name}\n  Finds:      ${finds}\n  Because:    ${because}\n  To accept:  ${accepting}\n\n`,
    )
    .join('');
}

function unreadable(old: LoadedCatalogue, current: LoadedCatalogue): object {
  return { ok: false, old: { problems: old.problems }, new: { problems: current.problems } };
}

function unreadableText(old: LoadedCatalogue, current: LoadedCatalogue): string {
  const part = (title: string, { catalogue, problems }: LoadedCatalogue): string =>
    catalogue === null ? `${title}\n\n${problemText(problems)}${countOf(problems)}\n` : '';
  return part('The old folder cannot be read:', old) + part('The new folder cannot be read:', current);
}

type Comparison = { before: Catalogue; after: Catalogue; acceptWidening: boolean };
type DiffReport = {
  ok: boolean;
  widens: boolean;
  accepted: boolean;
  before: string;
  after: string;
  changes: CatalogueChange[];
};

function diffReport({ before, after, acceptWidening }: Comparison): DiffReport {
  const changes = compareCatalogues(before, after);
  const widens = changes.some((change) => change.widens);
  const accepted = widens && acceptWidening;
  return { ok: !widens || accepted, widens, accepted, before: before.digest, after: after.digest, changes };
}

function diffText({ changes, widens, accepted }: DiffReport): string {
  if (changes.length === 0) return 'Nobody gains or loses anything.\n';
  const wider = changes.filter((change) => change.widens);
  const rest = changes.filter((change) => !change.widens);
  const section = (title: string, mark: string, part: readonly CatalogueChange[]): string =>
    part.length === 0 ? '' : `${title}\n${part.map(({ sentence }) => `  ${mark} ${sentence}\n`).join('')}\n`;
  const verdict = accepted
    ? 'Accepted: a person has reviewed what widens.'
    : 'Not accepted. When a person has reviewed what widens: --accept-widening.';
  return (
    section('Widens:', '+', wider) +
    section('Narrows, or changes nothing that anybody may do:', '-', rest) +
    (widens ? `${verdict}\n` : 'Nothing widens.\n')
  );
}

function outputOption(): Option {
  return new Option('-o, --output <format>', 'how to print').choices(['text', 'json']).default('text');
}

function asJson(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function print(text: string): void {
  process.stdout.write(text);
}
