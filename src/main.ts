/** `mayfly start`: read the configuration, start the broker, say what to do next, stop on a signal. */

import { startBroker } from './broker.ts';
import type { Catalogue } from './catalogue/catalogue.ts';
import { loadCatalogue } from './catalogue/load-catalogue.ts';
import type { Problem } from './catalogue/problem.ts';
import { type Configuration, readConfiguration } from './config/configuration.ts';
import type { Environment } from './config/environment.ts';
import { requireSinks } from './declared-sinks.ts';
import { requireFittingCatalogue } from './fitting-catalogue.ts';
import { createLog } from './log.ts';
import { importKeks } from './signing-keys/key-encryption-key.ts';
import { createLogOutput } from './standard-output.ts';
import { stopSignal } from './stop-signal.ts';
import { systemClock } from './time/clock.ts';
import { welcome } from './welcome.ts';

export class CatalogueError extends Error {
  override readonly name = 'CatalogueError';
}

/** How long a stop waits for whoever reads the log. */
const LAST_LINES_MILLISECONDS = 1_000;

export type Output = { write(text: string): unknown };

/** Resolves when a signal has stopped the broker. */
export async function start(environment: Environment, output: Output): Promise<void> {
  const configuration = readConfiguration(environment);
  const catalogue = await requireCatalogue(configuration);
  const sinks = requireSinks(configuration, environment);
  const logOutput = createLogOutput();
  const log = createLog(configuration.logLevel, logOutput);
  const signal = stopSignal();
  const stopAsked = new Promise<string>((resolve) => {
    signal.addEventListener('abort', () => resolve(String(signal.reason)), { once: true });
  });
  const broker = await startBroker({
    configuration,
    catalogue,
    sinks,
    log,
    clock: systemClock,
    logLost: logOutput.lost,
  });
  output.write(welcome(configuration, broker));
  const because = await Promise.race([stopAsked, broker.databaseEnded.then(() => 'the end of the database')]);
  log.info({ because }, 'stopping');
  await broker.stop();
  log.info({}, 'stopped');
  // Lines that nobody reads would keep the process alive.
  if (!(await logOutput.flushed({ withinMilliseconds: LAST_LINES_MILLISECONDS }))) process.exit();
}

/** Validates everything that can be validated without starting anything. */
export async function checkConfiguration(environment: Environment, output: Output): Promise<void> {
  const configuration = readConfiguration(environment);
  const catalogue = await requireCatalogue(configuration);
  requireFittingCatalogue(configuration, catalogue);
  const sinks = requireSinks(configuration, environment);
  if (configuration.keyEncryptionKeys !== undefined) importKeks(configuration.keyEncryptionKeys);
  output.write(
    `The configuration is good: issuer ${configuration.issuer}, ${configuration.database.kind} database, ` +
      `${catalogue.agents.size} agents and ${catalogue.actions.size} actions` +
      `${sinks.length === 0 ? '' : `, sinks: ${sinks.map(({ name }) => name).join(', ')}`}.\n`,
  );
}

async function requireCatalogue({ scopesDirectory }: Configuration): Promise<Catalogue> {
  const { catalogue, problems } = await loadCatalogue(scopesDirectory);
  if (catalogue !== null) return catalogue;
  throw new CatalogueError(
    `The catalogue in ${scopesDirectory} has mistakes:\n${problems.map(describe).join('\n')}`,
  );
}

function describe({ file, line, column, rule, message, fix }: Problem): string {
  return `  - ${file}:${line}:${column} ${message} (${rule})\n    ${fix}`;
}
