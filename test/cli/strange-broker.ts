/**
 * Something that calls itself a broker, gives out tokens, and answers everything else with what a test has it
 * answer: what a command line has to expect of the other side.
 */
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A status of 0 breaks the connection. */
export type Strange = { status: number; body: unknown; headers?: Record<string, string> };
export type Asked = { method: string; url: string; headers: IncomingMessage['headers']; body: string };

export type StrangeBroker = {
  settings: Record<string, string>;
  url: string;
  /** The operator's private key, and the token that was given out. */
  secrets: string[];
  /** What was asked at the management API, in order. */
  asked: Asked[];
  /** How sessions were ended. */
  goodbyes: Asked[];
  /** From now on. A text body goes out as it stands. */
  answers(next: {
    metadata?: object;
    token?: Strange;
    management?: Strange | ((asked: Asked) => Strange);
    /** To whoever ends a session; null answers nothing at all. */
    goodbye?: Strange | null;
  }): void;
  close(): void;
};

const GOOD_TOKEN = {
  status: 200,
  body: { access_token: 'secret.access.token', token_type: 'DPoP', expires_in: 120 },
};

const WELL = { status: 200, body: {} };

export async function openStrangeBroker(): Promise<StrangeBroker> {
  const asked: Asked[] = [];
  const goodbyes: Asked[] = [];
  let goodbye: Strange | null = WELL;
  let metadata = {};
  let token: Strange = GOOD_TOKEN;
  let management: Strange | ((asked: Asked) => Strange) = { status: 200, body: {} };
  const server = createServer((request, response) => {
    const { method = '', url: path = '', headers } = request;
    readBody(request).then((body) => write(response, answerTo({ method, url: path, headers, body })));
  });

  function answerTo(seen: Asked): Strange | null {
    if (seen.url === '/.well-known/oauth-authorization-server') {
      return { status: 200, body: { issuer: url, token_endpoint: `${url}/oauth/token`, ...metadata } };
    }
    if (seen.url === '/oauth/token') return token;
    if (seen.url === '/v1/sessions/current/revoke') {
      goodbyes.push(seen);
      return goodbye;
    }
    asked.push(seen);
    return typeof management === 'function' ? management(seen) : management;
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-cli-'));
  const { privateKey } = generateKeyPairSync('ed25519');
  const keyFile = join(folder, 'key.json');
  const jwk = privateKey.export({ format: 'jwk' });
  writeFileSync(keyFile, JSON.stringify({ ...jwk, kid: 'k' }));
  return {
    url,
    secrets: [String(jwk.d), GOOD_TOKEN.body.access_token],
    asked,
    goodbyes,
    settings: { MAYFLY_ISSUER: url, MAYFLY_OPERATOR: 'olivia', MAYFLY_OPERATOR_KEY_FILE: keyFile },
    answers(next) {
      asked.length = 0;
      goodbyes.length = 0;
      goodbye = next.goodbye === undefined ? WELL : next.goodbye;
      metadata = next.metadata ?? {};
      token = next.token ?? GOOD_TOKEN;
      management = next.management ?? management;
    },
    close() {
      server.closeAllConnections();
      server.close();
      rmSync(folder, { recursive: true });
    },
  };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function write(response: ServerResponse, strange: Strange | null): void {
  if (strange === null) return;
  const { status, body, headers = {} } = strange;
  if (status === 0) return void response.destroy();
  response.writeHead(status, { 'Content-Type': 'application/json', 'Request-Id': 'req_1', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}
