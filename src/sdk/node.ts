/**
 * `mayfly/agent/node`: keys where programs in Node have them, and what a program of `mayfly run` has in their place. What
 * comes back can sign and cannot be printed; the text of the key is kept nowhere.
 */
import { readFile } from 'node:fs/promises';
import { giveUp } from './agent-error.ts';
import { openKey } from './agent-key.ts';
import type { AgentFetch } from './authorised-fetch.ts';
import { openRunEndpoint } from './run-endpoint.ts';
import { createRunFetch } from './run-fetch.ts';
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

let ofRun: AgentFetch | undefined;

/**
 * The `fetch` of a program that `mayfly run` started: each request carries what the run hands out for it. The same one
 * each time, since the bootstrap code is good once.
 * @throws {AgentError} `misconfigured` in any other program
 */
export function fetchOfRun(): AgentFetch {
  ofRun ??= createRunFetch(openRunEndpoint(process.env));
  return ofRun;
}
