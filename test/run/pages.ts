/** A resource server that speaks TLS, with something large behind its guard, beside a broker whose catalogue has it. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readDevelopmentKey } from '../../src/sample/development-key.ts';
import { createVerifier, type Verifier } from '../../src/verifier/index.ts';
import { makeCertificate } from '../test-certificate.ts';
import { AGENT, startRunWorld } from './run-world.ts';

export const ACTION = 'web:read:pages';
export const LARGE = Buffer.alloc(20_000_000, 'mayfly ');

export type Pages = Awaited<ReturnType<typeof startPages>>;

/** In its folder: `ca.pem`, which vouches for it, and `large`. */
export async function startPages() {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-proxy-'));
  const { certificate, privateKey } = makeCertificate(['127.0.0.1']);
  writeFileSync(join(folder, 'ca.pem'), certificate);
  writeFileSync(join(folder, 'large'), LARGE);
  const server = createServer({ cert: certificate, key: privateKey }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const resource = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const world = await startRunWorld({ MAYFLY_SCOPES_DIR: declare(folder, resource) });
  const key = readDevelopmentKey('pages', world.place.configuration);
  const verifier = createVerifier({ issuer: world.issuer, resource, key, noncePolicy: 'required' });
  server.on('request', pagesOf(verifier));
  await verifier.ready();
  return {
    folder,
    resource,
    world,
    async stop() {
      await verifier.close();
      server.closeAllConnections();
      server.close();
      await world.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The shipped catalogue, and this resource in it. */
function declare(folder: string, resource: string): string {
  const scopes = join(folder, 'scopes');
  cpSync(fileURLToPath(new URL('../../scopes', import.meta.url)), scopes, { recursive: true });
  appendFileSync(join(scopes, 'agents', `${AGENT}.yaml`), `  - ${ACTION}\n`);
  const lines = [
    `resource: ${resource}`,
    'title: Pages',
    'zone: shared',
    'development_key: true',
    'development_path: /pages',
    'actions:',
    `  ${ACTION}:`,
    '    title: Read pages',
    '    sensitivity: LOW',
    '    effect: read',
    '    lifetime: { default: 300, max: 900 }',
    '    use: session',
    '    approval: none',
  ];
  writeFileSync(join(scopes, 'resources', 'pages.yaml'), `${lines.join('\n')}\n`);
  return scopes;
}

/** `/large`; `/echo`, which shows the token; and everywhere else the hash of what came. */
function pagesOf(verifier: Verifier) {
  const guard = verifier.requireAction(ACTION);
  const metadata = verifier.metadata({ title: 'Pages' });
  return (request: IncomingMessage, response: ServerResponse) =>
    metadata(request as never, response as never, () =>
      guard(request as never, response as never, async () => {
        if (request.url === '/large') return void response.end(LARGE);
        const hash = createHash('sha256');
        for await (const part of request) hash.update(part);
        if (request.url === '/echo') response.setHeader('X-Echo', `${request.headers.authorization}`);
        response.end(`${request.method} ${hash.digest('hex')}\n`);
      }),
    );
}
