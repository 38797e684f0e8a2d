/**
 * `mayfly/agent/node`: keys where programs in Node have them. What comes back can sign and cannot be printed; the text
 * of the key is kept nowhere.
 */
import { readFile } from 'node:fs/promises';
import { giveUp } from './agent-error.ts';
import { openKey } from './agent-key.ts';
import type { Signer } from './signer.ts';

/** @param path of a private JWK or a PKCS#8 PEM @throws {AgentError} `misconfigured` */
export async function keyFromFile(path: string | URL): Promise<Signer> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) =>
    giveUp('misconfigured', `The key at ${path} cannot be read (${error.code}).`),
  );
  return openKey(text);
}

/**
 * @param name of the variable that holds a private JWK or a PKCS#8 PEM; else `<name>_FILE` says in which file it is
 * @throws {AgentError} `misconfigured`
 */
export async function keyFromEnvironment(name: string): Promise<Signer> {
  const { [name]: text, [`${name}_FILE`]: path } = process.env;
  if (text !== undefined && text !== '') return openKey(text);
  if (path !== undefined && path !== '') return keyFromFile(path);
  return giveUp('misconfigured', `Neither ${name} nor ${name}_FILE is set.`);
}
