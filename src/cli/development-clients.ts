/** The clients whose keys the broker of this machine made: right after `npm start` nobody has to say who asks. */
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Configuration } from '../config/configuration.ts';
import { fail } from './failure.ts';

export type ClientKind = 'operator' | 'agent';

/**
 * In the order of their files, which are called like them; the key says that this machine's broker knows them.
 * @param preferred goes before all others, if it has a key
 * @throws {CommandFailure} when nobody has
 */
export function firstDevelopmentClient(
  configuration: Configuration,
  kind: ClientKind,
  preferred?: string,
): string {
  const names = [...(preferred === undefined ? [] : [preferred]), ...declaredClients(configuration, kind)];
  const known = names.find((name) => existsSync(developmentKeyPath(configuration, kind, name)));
  const [first = `<${kind}>`] = names;
  return known ?? noKey(developmentKeyPath(configuration, kind, first), kind, names[0]);
}

function declaredClients({ scopesDirectory }: Configuration, kind: ClientKind): string[] {
  const folder = join(scopesDirectory, `${kind}s`);
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).filter((file) => file.endsWith('.yaml'));
  return files.map((file) => basename(file, '.yaml')).sort();
}

/** @throws {CommandFailure} when there is none */
export function requireDevelopmentKey(configuration: Configuration, kind: ClientKind, name: string): string {
  const path = developmentKeyPath(configuration, kind, name);
  return existsSync(path) ? path : noKey(path, kind, name);
}

function developmentKeyPath({ dataDirectory }: Configuration, kind: ClientKind, name: string): string {
  if (/[/\\]/.test(name)) fail('usage', `The name of an ${kind} has no slash in it.`);
  return join(dataDirectory, 'keys', `${name}.jwk.json`);
}

function noKey(path: string, kind: ClientKind, name: string | undefined): never {
  const setting = `MAYFLY_${kind.toUpperCase()}`;
  return fail(
    'usage',
    `There is no key at ${path}. The broker makes it when it first starts on its embedded database: run ` +
      '`npm start` with the same MAYFLY_DATA_DIR. Elsewhere, give the private key of ' +
      `${name ?? `the ${kind}`} with --as and --key, or in ${setting} and ${setting}_KEY_FILE.`,
  );
}
