/** The settings of whoever asks a broker something from the command line: `--url` goes before `MAYFLY_ISSUER`. */
import { type Configuration, ConfigurationError, readConfiguration } from '../config/configuration.ts';
import type { Environment } from '../config/environment.ts';

/** Options that every command has that asks a broker. */
export type ConnectionOptions = { url?: string; as?: string; key?: string };

/** @throws {ConfigurationError} */
export function readConnection(
  environment: Environment,
  { url }: Pick<ConnectionOptions, 'url'>,
  as: 'operator' | 'agent' = 'operator',
): Configuration {
  if (url === undefined) return readConfiguration(environment, { as });
  try {
    return readConfiguration({ ...environment, MAYFLY_ISSUER: url }, { as });
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    throw new ConfigurationError(
      error.problems.map((problem) => problem.replaceAll('MAYFLY_ISSUER', '--url')),
    );
  }
}
