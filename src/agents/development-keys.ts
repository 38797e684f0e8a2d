/**
 * Keys for a catalogue that is only tried out: for every client marked `development_key: true` a private key in
 * `<data dir>/keys/`, readable by its owner alone, that this broker trusts. Only with the embedded database;
 * against a real one such a declaration is refused.
 */
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Catalogue } from '../catalogue/catalogue.ts';
import { isJsonObject, parseStrictJson } from '../json/strict-json.ts';
import { parseVerificationKey } from '../jws/jwk.ts';
import type { ClientKey, DevelopmentKeys } from './client.ts';

const PRIVATE_MODE = 0o600;

/** Client id and file name of every client that is declared with a development key. */
export function developmentClients(catalogue: Catalogue): { clientId: string; fileName: string }[] {
  const agents = [...catalogue.agents.values()].filter((agent) => agent.developmentKey);
  const resources = [...catalogue.resources.values()].filter((resource) => resource.developmentKey);
  const operators = [...catalogue.operators.values()].filter((operator) => operator.developmentKey);
  const clients = [
    ...[...agents, ...operators].map(({ name }) => ({ clientId: name, name })),
    ...resources.map((resource) => ({ clientId: resource.audience, name: basename(resource.file, '.yaml') })),
  ];
  const names = new Set<string>();
  for (const { name } of clients) {
    if (names.has(name))
      throw new Error(`a resource file is called like an agent or an operator, "${name}"; rename the file`);
    names.add(name);
  }
  return clients.map(({ clientId, name }) => ({ clientId, fileName: `${name}.jwk.json` }));
}

export function openDevelopmentKeys(catalogue: Catalogue, directory: string): DevelopmentKeys {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return new Map(
    developmentClients(catalogue).map(({ clientId, fileName }) => [
      clientId,
      openKey(join(directory, fileName)),
    ]),
  );
}

function openKey(path: string): ClientKey {
  createOnce(path);
  chmodSync(path, PRIVATE_MODE);
  const jwk = parseStrictJson(readFileSync(path, 'utf8'));
  if (!isJsonObject(jwk) || typeof jwk.kid !== 'string' || typeof jwk.d !== 'string') {
    throw new Error(`${path} holds no private JWK with a kid; remove it and start again to get a new one`);
  }
  const { d: _private, ...publicPart } = jwk;
  return { kid: jwk.kid, key: parseVerificationKey(publicPart) };
}

/** Written whole under another name and linked into place: a crash leaves no half key, a race leaves one key. */
function createOnce(path: string): void {
  if (existsSync(path)) return;
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { thumbprint } = parseVerificationKey(publicKey.export({ format: 'jwk' }));
  const draft = `${path}.${process.pid}.new`;
  const jwk = { ...privateKey.export({ format: 'jwk' }), kid: thumbprint, alg: 'ES256', use: 'sig' };
  writeFileSync(draft, `${JSON.stringify(jwk, null, 2)}\n`, { mode: PRIVATE_MODE });
  try {
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}
