/**
 * The wire of an issuer on a real socket, with real Ed25519 keys, that can be made to misbehave: what a verifier
 * sees when its broker is slow, broken, lying or gone.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readCompactJws } from '../../src/jws/compact-jws.ts';
import {
  LEASE_TYPE,
  LEDGER_PAGE_TYPE,
  type Lease,
  type Question,
  signMessage,
} from '../../src/revocations/ledger-message.ts';
import type { RevocationTarget } from '../../src/revocations/revocation.ts';
import { createPaperLedger } from './paper-ledger.ts';

export const METADATA = '/.well-known/oauth-authorization-server';
export const JWKS = '/.well-known/jwks.json';
export const LEDGER_JWKS = '/.well-known/mayfly-ledger-jwks.json';
export const LEASE = '/v1/verifiers/current/lease';
export const FEED = '/v1/revocations';
export const CONSUME = '/v1/tokens/*/consume';

/** What brokers send with everything. */
const NO_STORE = { 'Cache-Control': 'no-store' };

export type Asked = { path: string; body: string; headers: IncomingMessage['headers'] };
type Override = (response: ServerResponse, asked: Asked) => void | Promise<void>;

export type FakeIssuer = Awaited<ReturnType<typeof startFakeIssuer>>;

export function newSigningKey(kid: string) {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return { kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'EdDSA' } };
}

export type FakeIssuerOptions = {
  /** Seconds since 1970, as brokers see it. */
  now: () => number;
  /** What the catalogue says of the resource's actions. */
  actions: Record<string, 'LOW' | 'MED' | 'HIGH'>;
  /** With another broker of the same issuer. */
  shared?: SharedByBrokers;
};

export type SharedByBrokers = ReturnType<typeof newSharedByBrokers>;

/** What brokers of one issuer have in common. */
function newSharedByBrokers() {
  const ledger = createPaperLedger();
  for (let epoch = 1; epoch <= 7; epoch += 1)
    ledger.append({ target: { kind: 'session', id: `old-${epoch}` } });
  return {
    ledger,
    spent: new Set<string>(),
    signer: newSigningKey('key-1'),
    ledgerSigner: newSigningKey('ledger-1'),
    metadata: {} as Record<string, unknown>,
  };
}

export async function startFakeIssuer({ now, actions, shared = newSharedByBrokers() }: FakeIssuerOptions) {
  const asked: Asked[] = [];
  const overrides = new Map<string, Override>();
  const { ledger, spent, signer, ledgerSigner, metadata } = shared;
  const jwks: { keys: object[] } = { keys: [signer.jwk] };
  const ledgerJwks: { keys: object[] } = { keys: [ledgerSigner.jwk] };
  const questions: Question[] = [];
  /** What every answer carries; a test may bend it. */
  const lease: Pick<Lease, 'leases' | 'catalogue' | 'drills' | 'hurry'> = {
    leases: { LOW: 300, MED: 30, HIGH: 3 },
    catalogue: { version: 1, actions },
  };
  const streams = new Map<ServerResponse, number>();
  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const told = {
    issuer: url,
    jwks_uri: `${url}${JWKS}`,
    ledger_jwks_uri: `${url}${LEDGER_JWKS}`,
  };
  for (const [name, value] of Object.entries(told)) metadata[name] ??= value;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { url: path = '', headers } = request;
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const question = { path, headers, body: Buffer.concat(parts).toString('utf8') };
    asked.push(question);
    const [, jti] = /^\/v1\/tokens\/([^/]+)\/consume$/.exec(path) ?? [];
    const [place = ''] = path.split('?');
    const override = overrides.get(jti === undefined ? place : CONSUME);
    if (override !== undefined) await override(response, question);
    else if (path === METADATA) sendJson(response, metadata, { headers: NO_STORE });
    else if (path === JWKS) sendJson(response, jwks, { headers: NO_STORE });
    else if (path === LEDGER_JWKS) sendJson(response, ledgerJwks, { headers: NO_STORE });
    else if (path === LEASE) sendJson(response, { answer: answerTo(JSON.parse(question.body).question) });
    else if (place === FEED) sendPages(response, question);
    else if (jti !== undefined) consume(response, decodeURIComponent(jti), question.body);
    else sendJson(response, {}, { status: 404 });
  }

  /** @returns a lease that was signed now */
  function answerTo(text: string, changes: Partial<Lease> = {}): string {
    const asked = readCompactJws(text, 16_384).claims as Question;
    questions.push(asked);
    const { instance, nonce, generation, applied_epoch: epoch, catalogue } = asked;
    const page = ledger.pageFor({ generation, epoch });
    const { catalogue: known, ...rest } = lease;
    const news = catalogue === known?.version ? {} : { catalogue: known };
    return sign(LEASE_TYPE, {
      iss: metadata.issuer,
      iat: now(),
      instance,
      nonce,
      page,
      ...rest,
      ...news,
      ...changes,
    });
  }

  const sign = (typ: string, message: object) => signMessage(typ, message, ledgerSigner);

  const pageText = (since: number) =>
    sign(LEDGER_PAGE_TYPE, { iss: metadata.issuer, iat: now(), page: ledger.pageSince(since) });

  function sendPages(response: ServerResponse, { path, headers }: Asked): void {
    const since = Number(new URLSearchParams(path.split('?')[1]).get('since'));
    if (!headers.accept?.includes('text/event-stream')) {
      sendJson(response, { page: pageText(since) });
      return;
    }
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write(': \n\n');
    streams.set(response, since);
    response.on('close', () => streams.delete(response));
    feed();
  }

  /** Everybody who listens hears what is new. */
  function feed(): void {
    const { epoch } = ledger.head();
    for (const [response, since] of streams) {
      if (since === epoch) continue;
      streams.set(response, epoch);
      response.write(`id: ${epoch}\nevent: ledger\ndata: ${pageText(since)}\n\n`);
    }
  }

  function consume(response: ServerResponse, jti: string, body: string): void {
    const isRevoked = ledger.asRevocations(ledger.head().epoch).some(({ key }) => key === `token:${jti}`);
    const dead = isRevoked ? 'token_dead' : spent.has(jti) ? 'token_spent' : null;
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
    shared,
    ledger,
    ledgerSigner,
    ledgerJwks,
    lease,
    questions,
    answerTo,
    pageText,
    sign,
    streams,
    feed,
    /** @returns its epoch; who listens hears of it */
    revoke(target: RevocationTarget, { standing = false } = {}): number {
      const epoch = ledger.append({ target, standing });
      feed();
      return epoch;
    },
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
