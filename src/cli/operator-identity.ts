/**
 * Which broker a command speaks to, and as whom. Right after `npm start` nothing has to be said: the broker is the
 * one of this folder's settings, the operator the first one whose key that broker made. In production the name and
 * the key come from options or settings.
 */
import { readFileSync } from 'node:fs';
import type { Environment } from '../config/environment.ts';
import { type ClientKey, ClientKeyError, parseClientKey } from '../sdk/client-key.ts';
import { type ConnectionOptions, readConnection } from './connection.ts';
import { firstDevelopmentClient, requireDevelopmentKey } from './development-clients.ts';
import { fail } from './failure.ts';

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
  const name = given ?? firstDevelopmentClient(configuration, 'operator');
  const path = requireDevelopmentKey(configuration, 'operator', name);
  return { issuer, name, key: parseKey(readKeyFile(path), path) };
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
