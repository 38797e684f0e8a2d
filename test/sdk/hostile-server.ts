/**
 * Something on a real socket that calls itself a broker and a resource server, and answers what a test has it answer.
 * By default it is polite and checks nothing.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after } from 'node:test';
import { AgentError, type AgentOptions, createAgent } from '../../src/sdk/index.ts';
import { newDeclaredKey } from '../test-scopes.ts';

export type Told = {
  status: number;
  headers?: Record<string, string>;
  body?: unknown;
  /** The connection ends in the middle of it. */
  isCut?: boolean;
};
export type Asked = { line: string; headers: IncomingMessage['headers']; body: string };
type Answer = Told | ((asked: Asked) => Told);

export type HostileServer = Awaited<ReturnType<typeof startHostileServer>>;

export const METADATA = 'GET /.well-known/oauth-authorization-server';
export const TOKEN = 'POST /oauth/token';
export const RESOURCE = 'GET /thing';
export const RESOURCE_METADATA = 'GET /.well-known/oauth-protected-resource';
export const END = 'POST /v1/sessions/current/revoke';

export const challenge = (error: string, more = '') => ({
  'WWW-Authenticate': `DPoP error="${error}"${more}`,
});

export async function startHostileServer() {
  const asked: Asked[] = [];
  const overrides = new Map<string, Answer>();
  let minted = 0;
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    const line = `${request.method} ${request.url}`;
    const question = { line, headers: request.headers, body };
    asked.push(question);
    const answer = overrides.get(line) ?? polite[line] ?? { status: 404 };
    const {
      status,
      headers = {},
      body: told = {},
      isCut = false,
    } = typeof answer === 'function' ? answer(question) : answer;
    if (status === 0) return void response.destroy();
    const text = typeof told === 'string' ? told : JSON.stringify(told);
    const announced = isCut ? { 'Content-Length': `${text.length + 1}` } : {};
    response.writeHead(status, { 'Content-Type': 'application/json', ...announced, ...headers });
    if (isCut) response.write(text, () => response.destroy());
    else response.end(text);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const polite: Record<string, Answer> = {
    [METADATA]: { status: 200, body: { issuer: url, token_endpoint: `${url}/oauth/token` } },
    [TOKEN]: () => {
      minted += 1;
      return { status: 200, body: tokenAnswer({ access_token: `token-${minted}` }) };
    },
    [RESOURCE]: ({ headers }) =>
      headers.authorization === undefined
        ? { status: 401, headers: { 'WWW-Authenticate': 'DPoP scope="a:b:c"' } }
        : { status: 200, body: { authorization: headers.authorization } },
    [RESOURCE_METADATA]: { status: 200, body: { resource: url, authorization_servers: [url] } },
    [END]: { status: 200, body: {} },
  };

  return {
    url,
    asked,
    lines: () => asked.map(({ line }) => line),
    times: (line: string) => asked.filter((one) => one.line === line).length,
    minted: () => minted,
    answers: (line: string, answer: Answer) => void overrides.set(line, answer),
    reset() {
      overrides.clear();
      asked.length = 0;
      minted = 0;
    },
    /** Its clock stands still but for its waits, which take no time and are written down. */
    createAgent(options: Partial<AgentOptions> = {}) {
      const waits: number[] = [];
      let passed = 0;
      const clock = {
        milliseconds: () => Date.now() + passed,
        monotonicMilliseconds: () => performance.now() + passed,
        async wait(milliseconds: number, signal: AbortSignal) {
          signal.throwIfAborted();
          waits.push(milliseconds);
          passed += milliseconds;
        },
      };
      const key = newDeclaredKey().privateJwk as AgentOptions['key'];
      const agent = createAgent({ issuer: url, clientId: 'a', key, clock, random: () => 0.5, ...options });
      const pass = (milliseconds: number) => {
        passed += milliseconds;
      };
      return Object.assign(agent, { waits, pass });
    },
  };
}

export function tokenAnswer(members: object = {}): object {
  return {
    access_token: 'a-token',
    token_type: 'DPoP',
    expires_in: 60,
    scope: 'a:b:c',
    session_id: 'ses_1',
    ...members,
  };
}

/** What somebody gets instead. */
export async function refusalOf(work: Promise<unknown>): Promise<AgentError> {
  const error = await work.then(
    () => assert.fail('it went through'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof AgentError, String(error));
  return error;
}
export const codeOf = async (work: Promise<unknown>) => (await refusalOf(work)).code;
