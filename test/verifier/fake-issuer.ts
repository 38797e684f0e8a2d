/**
 * The wire of an issuer on a real socket, with real Ed25519 keys, that can be made to misbehave: what a verifier
 * sees when its broker is slow, broken, lying or gone.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readCompactJws } from '../../src/jws/compact-jws.ts';

export const METADATA = '/.well-known/oauth-authorization-server';
export const JWKS = '/.well-known/jwks.json';
export const INTROSPECT = '/oauth/introspect';
export const CONSUME = '/v1/tokens/*/consume';

export type Asked = { path: string; body: string; headers: IncomingMessage['headers'] };
type Override = (response: ServerResponse, asked: Asked) => void | Promise<void>;

export type FakeIssuer = Awaited<ReturnType<typeof startFakeIssuer>>;

export function newSigningKey(kid: string) {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return { kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'EdDSA' } };
}

export async function startFakeIssuer() {
  const asked: Asked[] = [];
  const overrides = new Map<string, Override>();
  const spent = new Set<string>();
  const revoked = new Set<string>();
  const signer = newSigningKey('key-1');
  const jwks: { keys: object[] } = { keys: [signer.jwk] };
  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const metadata: Record<string, unknown> = {
    issuer: url,
    jwks_uri: `${url}${JWKS}`,
    introspection_endpoint: `${url}${INTROSPECT}`,
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { url: path = '', headers } = request;
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const question = { path, headers, body: Buffer.concat(parts).toString('utf8') };
    asked.push(question);
    const [, jti] = /^\/v1\/tokens\/([^/]+)\/consume$/.exec(path) ?? [];
    const override = overrides.get(jti === undefined ? path : CONSUME);
    if (override !== undefined) await override(response, question);
    else if (path === METADATA) sendJson(response, metadata);
    else if (path === JWKS) sendJson(response, jwks);
    else if (path === INTROSPECT) introspect(response, question.body);
    else if (jti !== undefined) consume(response, decodeURIComponent(jti), question.body);
    else sendJson(response, {}, { status: 404 });
  }

  function introspect(response: ServerResponse, body: string): void {
    const { claims } = readCompactJws(new URLSearchParams(body).get('token') ?? '', 16_384);
    const active = !revoked.has(String(claims.jti));
    sendJson(response, active ? { active, token_type: 'DPoP', ...claims } : { active });
  }

  function consume(response: ServerResponse, jti: string, body: string): void {
    const dead = revoked.has(jti) ? 'token_dead' : spent.has(jti) ? 'token_spent' : null;
    spent.add(jti);
    if (dead === null) sendJson(response, { jti, consumed_at: 1, nonce: JSON.parse(body).nonce });
    else sendJson(response, { code: dead }, { type: 'application/problem+json', status: 409 });
  }

  return {
    url,
    signer,
    metadata,
    jwks,
    asked,
    spent,
    revoked,
    /** What this path answers from now on; null for what it answered before. */
    answerWith(path: string, override: Override | null) {
      if (override === null) overrides.delete(path);
      else overrides.set(path, override);
    },
    questionsTo: (path: string) => asked.filter((question) => question.path === path).length,
    async stop() {
      server.closeAllConnections();
      if (server.listening) {
        server.close();
        await once(server, 'close');
      }
    },
  };
}

export function sendJson(
  response: ServerResponse,
  value: unknown,
  { type = 'application/json', status = 200, headers = {} as Record<string, string> } = {},
): void {
  response.writeHead(status, { 'Content-Type': type, ...headers }).end(JSON.stringify(value));
}

export type SigningKey = { kid: string; privateKey: KeyObject };
