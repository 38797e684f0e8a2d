/**
 * What an agent of somebody meets: a broker, and resource servers with `mayfly/verifier` on real sockets. They are
 * known by the names that the catalogue gives them; the `fetch` that agents get here finds the sockets.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after } from 'node:test';
import { createPool } from '../../src/database/pool.ts';
import { silentLog } from '../../src/errors/log.ts';
import { createToolsRoute } from '../../src/sample/mcp-tools.ts';
import type { AgentOptions, FetchLike } from '../../src/sdk/index.ts';
import { createAgent } from '../../src/sdk/index.ts';
import { createKeyOperations } from '../../src/signing-keys/key-operations.ts';
import { systemClock } from '../../src/time/clock.ts';
import { createVerifier, type Verifier, type VerifierOptions } from '../../src/verifier/index.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';

export const CUSTOMERS = 'https://customers.example.com';
export const STORAGE = 'https://storage.example.com';
export const READ = 'db:read:customers';
export const ORDERS = 'db:read:orders';
export const TOOLS = 'https://tools.example.com';
export const LIST = 'storage:list:exports';
export const WRITE = 'storage:write:exports';

export type Seen = { line: string; headers: Headers; body: string };

type Guarded = Record<string, { action: string; requestToken?: boolean; verifier: Verifier }>;

export type AgentWorld = Awaited<ReturnType<typeof createAgentWorld>>;

export async function createAgentWorld(verifierOptions: Partial<VerifierOptions> = {}) {
  const world = await createTestWorld();
  const settings = { MAYFLY_DPOP_NONCE: 'required' };
  let broker = await world.startBroker({ settings });
  // Resource servers look for keys that they do not know every ten seconds, and for published ones long before they sign.
  let passedMilliseconds = 0;
  const clock = {
    milliseconds: () => Date.now() + passedMilliseconds,
    monotonicMilliseconds: () => performance.now() + passedMilliseconds,
  };
  const atBroker: typeof fetch = (url, init) => fetch(String(url).replace(TEST_ISSUER, broker.url), init);
  const verifierOf = (resource: string, file: string) => {
    const key = world.scopes.keys.get(file) as VerifierOptions['key'];
    return createVerifier({
      issuer: TEST_ISSUER,
      noncePolicy: 'required',
      resource,
      key,
      fetch: atBroker,
      clock,
      timeoutMilliseconds: 10_000,
      ...verifierOptions,
    });
  };
  const customers = verifierOf(CUSTOMERS, 'customers');
  const storage = verifierOf(STORAGE, 'storage');
  const places: Record<string, string> = {
    [CUSTOMERS]: await serve(customers, {
      'GET /customers': { action: READ, verifier: customers },
      'POST /customers': { action: READ, verifier: customers },
      'GET /orders': { action: ORDERS, verifier: customers },
    }),
    [STORAGE]: await serve(storage, {
      'GET /exports': { action: LIST, verifier: storage },
      'POST /exports': { action: WRITE, requestToken: true, verifier: storage },
    }),
  };
  const verifiers = [customers, storage];
  async function startTools(): Promise<void> {
    const tools = verifierOf(TOOLS, 'tools');
    verifiers.push(tools);
    await tools.ready();
    places[TOOLS] = await serve(tools, {}, { '/mcp': createToolsRoute(tools) });
  }
  await Promise.all([...verifiers.map((verifier) => verifier.ready()), startTools()]);
  after(() => Promise.all(verifiers.map((verifier) => verifier.close())));

  /** @returns a fetch, and what went through it */
  function recorder(): { fetch: FetchLike; seen: Seen[]; lines(): string[] } {
    const seen: Seen[] = [];
    const recording: FetchLike = async (url, init) => {
      const { origin } = new URL(url);
      const place = origin === TEST_ISSUER ? broker.url : (places[origin] ?? origin);
      const response = await fetch(`${place}${url.slice(origin.length)}`, init);
      const line = `${init.method ?? 'GET'} ${url.slice(origin.length)} ${response.status}`;
      seen.push({ line, headers: new Headers(init.headers), body: String(init.body ?? '') });
      return response;
    };
    return { fetch: recording, seen, lines: () => seen.map(({ line }) => line) };
  }

  return {
    ...world,
    places,
    customers,
    storage,
    recorder,
    broker: () => broker,
    /** The server of the tools anew: it takes no nonce that the one before gave out. */
    restartTools: startTools,
    /** One after the other, as fleets are: whoever had a connection to the old one has none any more. */
    async restart() {
      const before = broker;
      broker = await world.startBroker({ settings });
      await before.stop();
    },
    /** At once, as an administrator may; whoever started meanwhile signs with it. */
    async rotateSigningKey() {
      const { DATABASE_URL = '', MAYFLY_KEK: current = '' } = world.environment();
      const pool = createPool({ url: DATABASE_URL, size: 1, applicationName: 'test keys', log: silentLog });
      const kek = { current: Buffer.from(current, 'base64url'), previous: [] };
      const operations = createKeyOperations({ pool, kek, clock: systemClock, actor: 'test' });
      await operations.rotate({ purpose: 'token', immediately: true });
      await pool.end();
      passedMilliseconds += 11_000;
    },
    createAgent(options: Partial<AgentOptions> = {}) {
      const key = world.scopes.keys.get('report-writer') as AgentOptions['key'];
      const agent = createAgent({
        issuer: TEST_ISSUER,
        clientId: 'report-writer',
        key,
        fetch: recorder().fetch,
        ...options,
      });
      return agent;
    },
    async mintedBy(sessionId: string): Promise<number> {
      const rows = await world.query<{ count: string }>('select count(*) from tokens where session_id = $1', [
        sessionId,
      ]);
      return Number(rows[0]?.count);
    },
  };
}

/** Also those that a test starts: what it registers itself is closed with it. */
const servers = new Set<Server>();
after(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});

type Open = Record<string, (request: IncomingMessage, response: ServerResponse) => void>;

async function serve(verifier: Verifier, routes: Guarded, open: Open = {}): Promise<string> {
  const metadata = verifier.metadata({ title: 'Test' });
  const guards = Object.fromEntries(
    Object.entries(routes).map(([route, { action, requestToken = false, verifier: by }]) => [
      route,
      by.requireAction(action, { requestToken }),
    ]),
  );
  const server = createServer(async (request, response) => {
    const body = await textOf(request);
    if (body !== '') Object.assign(request, { body: JSON.parse(body) });
    const [path = ''] = (request.url ?? '').split('?');
    if (path === '/moved') return void response.writeHead(302, { Location: '/customers' }).end();
    if (path === '/away')
      return void response.writeHead(302, { Location: 'https://evil.example.com/' }).end();
    metadata(request, response, () => {
      const route = open[path];
      if (route !== undefined) {
        return request.method === 'POST' ? route(request, response) : void response.writeHead(405).end();
      }
      const guard = guards[`${request.method} ${path}`];
      const answer = () => sendJson(response, { path, method: request.method, body });
      if (guard === undefined) response.writeHead(404).end();
      else guard(request as Parameters<typeof guard>[0], response as Parameters<typeof guard>[1], answer);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.add(server);
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function textOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
}
