/**
 * The `mayfly` command. What a command needs is loaded when it runs, so that the others stay quick. Exit codes: 0 ok,
 * 1 usage, configuration or problems found, 2 failed, 6 a widening that nobody accepted; those of operators'
 * commands stand in failure.ts.
 */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { processEnvironment } from '../config/environment.ts';
import { SETTINGS } from '../config/settings.ts';
import { addCommandGroups } from './command-groups.ts';
import { errorText, wantsJson } from './error-text.ts';
import type { CommandFailure } from './failure.ts';
import { isOperatorsMistake } from './operators-mistake.ts';
import { explainUsage } from './usage-errors.ts';

const EXIT_MISTAKE = 1;
const EXIT_FAILED = 2;

const EXAMPLES = `
For whoever is in a hurry:
  mayfly session revoke <id> --reason 'a stolen laptop'
  mayfly agent quarantine <name> --reason 'it deletes things'
  mayfly kill all --reason 'stop, then ask'`;

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
const environment = processEnvironment();

const program = new Command('mayfly')
  .description('A credential broker for AI agents')
  .version(version)
  .addHelpText('after', EXAMPLES)
  .showHelpAfterError();

program
  .command('start')
  .description('run the broker')
  .option('--check-config', 'validate the configuration and the catalogue, then exit', false)
  .addHelpText('after', () => `\nEnvironment:\n${settingsTable()}`)
  .action(async ({ checkConfig }: { checkConfig: boolean }) => {
    const { checkConfiguration, start } = await import('../main.ts');
    await (checkConfig ? checkConfiguration : start)(environment, process.stdout);
  });

const words = process.argv.slice(2);
const asJson = wantsJson(words);
try {
  await addCommandGroups(program, { words, environment });
  explainUsage(program, { asJson });
  await program.parseAsync();
} catch (error) {
  const { plainLines } = await import('./plain-text.ts');
  const said = isOperatorsMistake(error) ? error.message : await describeDefect(error);
  const exitCode = exitCodeOf(error);
  const told = error instanceof Error && 'told' in error ? (error as CommandFailure).told : undefined;
  process.stderr.write(errorText({ message: plainLines(said), exitCode, told }, { asJson }));
  process.exitCode = exitCode;
}

/** A failure of an operator's command brings its own (`failure.ts`). */
function exitCodeOf(error: unknown): number {
  if (!isOperatorsMistake(error)) return EXIT_FAILED;
  return 'exitCode' in error && typeof error.exitCode === 'number' ? error.exitCode : EXIT_MISTAKE;
}

async function describeDefect(error: unknown): Promise<string> {
  const { databaseUnavailable } = await import('../database/database-error.ts');
  if (error instanceof Error && databaseUnavailable(error)) {
    return `The database cannot be used now: ${error.message}`;
  }
  return error instanceof Error
    ? `mayfly failed: ${error.stack ?? error.message}`
    : `mayfly failed: ${error}`;
}

function settingsTable(): string {
  const names = SETTINGS.map(({ name, secret }) => (secret ? `${name}[_FILE]` : name));
  const width = Math.max(...names.map((name) => name.length));
  return SETTINGS.map(
    ({ meaning, fallback }, index) => `  ${names[index]?.padEnd(width)}  ${meaning} (${fallback})`,
  ).join('\n');
}
