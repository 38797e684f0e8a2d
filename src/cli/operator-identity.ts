/**
 * Which broker a command speaks to, and as whom. Right after `npm start` nothing has to be said: the broker is the
 * one of this folder's settings, the operator the first one whose key that broker made. In production the name and
 * the key come from options or settings.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Configuration, ConfigurationError, readConfiguration } from '../config/configuration.ts';
import type { Environment } from '../config/environment.ts';
import { type ClientKey, ClientKeyError, parseClientKey } from '../sdk/client-key.ts';
import { fail } from './failure.ts';

/** Options that every command of an operator has. */
export type ConnectionOptions = { url?: string; as?: string; key?: string };

export type Identity = { issuer: string; name: string; key: ClientKey };

/** @throws {CommandFailure} with what to do @throws {ConfigurationError} */
export function readIdentity(environment: Environment, options: ConnectionOptions): Identity {
  const configuration = readConnection(environment, options);
  const { issuer, operator } = configuration;
  const given = options.as ?? operator.name;
  const text = options.key === undefined ? operator.key : readKeyFile(options.key);
  if (text !== undefined) {
    const name = given ?? fail('usage', 'Whose key is that? Say it with --as, or in MAYFLY_OPERATOR.');
    return { issuer, name, key: parseKey(text, options.key ?? 'MAYFLY_OPERATOR_KEY') };
  }
  const name = given ?? firstDevelopmentOperator(configuration);
  const path = developmentKeyPath(configuration, name);
  if (!existsSync(path)) return noKey(path, name);
  return { issuer, name, key: parseKey(readKeyFile(path), path) };
}

/** The settings of whoever has no key to show. */
export function readConnection(
  environment: Environment,
  { url }: Pick<ConnectionOptions, 'url'>,
): Configuration {
  if (url === undefined) return readConfiguration(environment, { as: 'operator' });
  try {
    return readConfiguration({ ...environment, MAYFLY_ISSUER: url }, { as: 'operator' });
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    throw new ConfigurationError(
      error.problems.map((problem) => problem.replaceAll('MAYFLY_ISSUER', '--url')),
    );
  }
}

/** In the order of their files, which are called like them; the key says that this machine's broker knows them. */
function firstDevelopmentOperator(configuration: Configuration): string {
  const folder = join(configuration.scopesDirectory, 'operators');
  const names = existsSync(folder)
    ? readdirSync(folder)
        .filter((file) => file.endsWith('.yaml'))
        .map((file) => basename(file, '.yaml'))
        .sort()
    : [];
  const known = names.find((name) => existsSync(developmentKeyPath(configuration, name)));
  return known ?? noKey(developmentKeyPath(configuration, names[0] ?? '<operator>'), names[0]);
}

function developmentKeyPath({ dataDirectory }: Configuration, name: string): string {
  if (/[/\\]/.test(name)) fail('usage', 'The name of an operator has no slash in it.');
  return join(dataDirectory, 'keys', `${name}.jwk.json`);
}

function noKey(path: string, name: string | undefined): never {
  return fail(
    'usage',
    `There is no key at ${path}. The broker makes it when it first starts on its embedded database: run ` +
      '`npm start` with the same MAYFLY_DATA_DIR. Elsewhere, give the private key of ' +
      `${name ?? 'the operator'} with --as and --key, or in MAYFLY_OPERATOR and MAYFLY_OPERATOR_KEY_FILE.`,
  );
}

function readKeyFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    return fail('usage', `The key at ${path} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
}

function parseKey(text: string, from: string): ClientKey {
  try {
    return parseClientKey(text);
  } catch (error) {
    if (!(error instanceof ClientKeyError)) throw error;
    return fail('usage', `What ${from} holds is no key: ${error.message}.`);
  }
}
