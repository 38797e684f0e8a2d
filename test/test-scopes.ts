/** The shipped catalogue as a production would have it: every client with a declared key of its own. */
import { generateKeyPairSync, type webcrypto } from 'node:crypto';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseVerificationKey } from '../src/jws/jwk.ts';

const SHIPPED = fileURLToPath(new URL('../scopes', import.meta.url));

export type TestScopes = {
  directory: string;
  /** Private JWKs by the name of the file that declares the client: `report-writer`, `customers`, `olivia`. */
  keys: ReadonlyMap<string, webcrypto.JsonWebKey & { kid: string }>;
  remove(): Promise<void>;
};

/** @param more files beside the shipped ones, by path: `operators/ada.yaml`; they declare a development key, too */
export async function copyScopesWithKeys(more: Readonly<Record<string, string>> = {}): Promise<TestScopes> {
  const root = await mkdtemp(join(tmpdir(), 'mayfly-scopes-'));
  const directory = join(root, 'scopes');
  await cp(SHIPPED, directory, { recursive: true });
  for (const [path, text] of Object.entries(more)) await writeFile(join(directory, path), text);
  const keys = new Map<string, webcrypto.JsonWebKey & { kid: string }>();
  for (const folder of ['agents', 'operators', 'resources']) {
    for (const file of await readdir(join(directory, folder))) {
      const { privateJwk, declaration } = newDeclaredKey();
      keys.set(basename(file, '.yaml'), privateJwk);
      await declareKey(join(directory, folder, file), declaration);
    }
  }
  return { directory, keys, remove: () => rm(root, { recursive: true, force: true }) };
}

async function declareKey(path: string, declaration: string): Promise<void> {
  const text = await readFile(path, 'utf8');
  const declared = text
    .replace(/^development_key: true.*$/m, `keys: [ ${declaration} ]`)
    .replace(/^development_path:.*\n/m, '');
  if (declared === text) throw new Error(`${path} declares no development key`);
  await writeFile(path, declared);
}

export function newDeclaredKey(): {
  privateJwk: webcrypto.JsonWebKey & { kid: string };
  declaration: string;
} {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const publicJwk = publicKey.export({ format: 'jwk' });
  const kid = parseVerificationKey(publicJwk).thumbprint;
  return {
    privateJwk: { ...privateKey.export({ format: 'jwk' }), kid },
    declaration: JSON.stringify({ ...publicJwk, kid, alg: 'ES256' }),
  };
}
