/**
 * `mayfly resource-server` and `mayfly tour`: what one can see at once after `mayfly start`. Both read the same
 * settings as the broker, so they find it. Exit codes: 0 stopped or shown, 1 something stands in the way or a step
 * of the tour went otherwise, 130 and 143 interrupted.
 */
import { Command } from 'commander';
import { readConfiguration } from '../config/configuration.ts';
import { processEnvironment } from '../config/environment.ts';
import { createLog } from '../log.ts';
import { SampleError } from '../sample/development-key.ts';
import { startResourceServer } from '../sample/resource-server.ts';
import { runTour } from '../sample/tour.ts';
import { stopSignal } from '../stop-signal.ts';
import { systemClock } from '../time/clock.ts';

const EXIT_FAILED = 1;
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

export function resourceServerCommand(): Command {
  return new Command('resource-server').action((_options: object, command: Command) =>
    explained(command, serve),
  );
}

export function tourCommand(): Command {
  return new Command('tour').action((_options: object, command: Command) => explained(command, tour));
}

async function serve(): Promise<void> {
  const configuration = readConfiguration(processEnvironment());
  const asked = stopSignal();
  const server = await startResourceServer({
    configuration,
    log: createLog(configuration.logLevel),
    clock: systemClock,
  });
  const { url } = server;
  process.stdout.write(
    `The sample resource server is up: GET ${url}/customers, POST ${url}/exports, tools for MCP at ${url}/mcp\n` +
      `It takes tokens of ${configuration.issuer}. See it refuse and accept: npm run tour\n`,
  );
  server.brokerFound.then(() => process.stdout.write(`The broker ${configuration.issuer} answers.\n`));
  await new Promise((resolve) => asked.addEventListener('abort', resolve));
  await server.stop();
}

async function tour(): Promise<void> {
  const configuration = readConfiguration(processEnvironment());
  const signal = stopSignal();
  try {
    const good = await runTour({ configuration, output: process.stdout, clock: systemClock, signal });
    if (!good) process.exitCode = EXIT_FAILED;
  } catch (error) {
    if (!signal.aborted) throw error;
    process.exitCode = EXIT_CODES[signal.reason as keyof typeof EXIT_CODES];
  }
}

/** A mistake of whoever started us is told without a stack. */
async function explained(command: Command, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof SampleError) command.error(error.message, { exitCode: EXIT_FAILED });
    throw error;
  }
}
