/**
 * Token requests, ready to be sent: every one needs an assertion and a proof of its own, and making those costs a
 * client about as much as checking them costs the server, so they are made before the clock starts.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import { encodeBase64url } from '../../src/jws/base64url.ts';
import { signCompactJws } from '../../src/jws/compact-jws.ts';
import { ASSERTION_TYPE, nowSeconds } from '../test-agent.ts';
import type { BenchClient } from './bench-client.ts';

export type Target = {
  port: number;
  path: string;
  issuer: string;
  /** Whether proofs need a nonce of the server. */
  nonce: boolean;
};

const SESSIONS_OF_A_CLIENT = 64;
/** Long enough for a slow round, and not more than any of the servers takes. */
const ASSERTION_SECONDS = 240;

type Signer = { encodedHeader: string; privateKey: KeyObject };
type Caller = { client: BenchClient; assertion: Signer; sessions: readonly Signer[] };

export type RequestSigner = {
  /** @param nonce of the server, if it wants one */
  sign(target: Target, count: number, nonce: string | undefined): Buffer[];
};

export function createRequestSigner(clients: readonly BenchClient[]): RequestSigner {
  const callers = clients.map(callerOf);

  return {
    sign(target, count, nonce) {
      return Array.from({ length: count }, (_, index) => {
        const caller = callers[index % callers.length] as Caller;
        const session = caller.sessions[Math.floor(index / callers.length) % SESSIONS_OF_A_CLIENT] as Signer;
        return requestBytes(target, caller, signProof(session, target, nonce));
      });
    },
  };
}

function callerOf(client: BenchClient): Caller {
  const { privateJwk } = client;
  return {
    client,
    assertion: {
      encodedHeader: encodeBase64url(JSON.stringify({ alg: 'ES256', typ: 'JWT', kid: privateJwk.kid })),
      privateKey: createPrivateKey({ key: privateJwk, format: 'jwk' }),
    },
    sessions: Array.from({ length: SESSIONS_OF_A_CLIENT }, newSession),
  };
}

function newSession(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = publicKey.export({ format: 'jwk' });
  return {
    encodedHeader: encodeBase64url(JSON.stringify({ typ: 'dpop+jwt', alg: 'ES256', jwk })),
    privateKey,
  };
}

function signProof(session: Signer, { issuer, path }: Target, nonce: string | undefined): string {
  const claims = { htm: 'POST', htu: `${issuer}${path}`, iat: nowSeconds(), jti: randomUUID(), nonce };
  return signCompactJws(session.encodedHeader, claims, session.privateKey);
}

function signAssertion({ client: { clientId }, assertion }: Caller, audience: string): string {
  const iat = nowSeconds();
  return signCompactJws(
    assertion.encodedHeader,
    { iss: clientId, sub: clientId, aud: audience, iat, exp: iat + ASSERTION_SECONDS, jti: randomUUID() },
    assertion.privateKey,
  );
}

function requestBytes({ path, issuer, port }: Target, caller: Caller, proof: string): Buffer {
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    client_assertion_type: ASSERTION_TYPE,
    client_assertion: signAssertion(caller, issuer),
    scope: caller.client.scope,
    resource: caller.client.resource,
  }).toString();
  const head = [
    `POST ${path} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    'Accept: application/json',
    'Content-Type: application/x-www-form-urlencoded',
    `Content-Length: ${body.length}`,
    `DPoP: ${proof}`,
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`, 'latin1');
}
