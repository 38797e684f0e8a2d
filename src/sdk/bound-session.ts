/**
 * One run of a client: a key that was made for it and never leaves it, and the nonces that servers gave out. Each
 * request goes out with a proof of its own (RFC 9449 §4.2), and once more, with the same body, when the server
 * asks for a nonce. Everything that went over the wire is handed back, which is what the tour shows.
 */
import { createHash, randomUUID } from 'node:crypto';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

/** One request and its answer. */
export type Exchange = {
  request: { method: string; url: string; headers: Record<string, string>; body?: string };
  response: { status: number; headers: Headers; body: string };
};

export type Asked = Sent & { token?: string };

/** What goes out, and how long to wait for the answer. */
type Sent = Exchange['request'] & { withinMilliseconds?: number };

export type BoundSession = {
  /** Every exchange that it took, the last one with the answer that counts. */
  send(request: Asked): Promise<Exchange[]>;
};

const TIMEOUT_MILLISECONDS = 20_000;

export async function openSession(): Promise<BoundSession> {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const publicJwk = await exportJWK(publicKey);
  /** By origin: each server has nonces of its own, and the newest counts (RFC 9449 §8.2). */
  const nonces = new Map<string, string>();

  async function attempt({ token, ...request }: Asked): Promise<Exchange> {
    const { origin } = new URL(request.url);
    const proof = await signProof({ privateKey, publicJwk, token, nonce: nonces.get(origin) }, request);
    const exchange = await send({ ...request, headers: { ...request.headers, DPoP: proof } });
    const nonce = exchange.response.headers.get('dpop-nonce');
    if (nonce !== null) nonces.set(origin, nonce);
    return exchange;
  }

  return {
    async send(request) {
      const first = await attempt(request);
      return asksForNonce(first) ? [first, await attempt(request)] : [first];
    },
  };
}

/** A call at a resource server, with the arguments as JSON. */
export function callWithToken(
  session: BoundSession,
  { token, method, url, json }: { token: string; method: string; url: string; json?: unknown },
): Promise<Exchange[]> {
  const headers: Record<string, string> = { Authorization: `DPoP ${token}` };
  if (json === undefined) return session.send({ method, url, token, headers });
  headers['Content-Type'] = 'application/json';
  return session.send({ method, url, token, headers, body: JSON.stringify(json) });
}

/** Exactly these bytes, whoever made them: also how somebody repeats what was overheard. */
export async function send({
  withinMilliseconds = TIMEOUT_MILLISECONDS,
  ...request
}: Sent): Promise<Exchange> {
  const { url, ...init } = request;
  const signal = AbortSignal.timeout(withinMilliseconds);
  const response = await fetch(url, { ...init, redirect: 'error', signal });
  const { status, headers } = response;
  return { request, response: { status, headers, body: await response.text() } };
}

type Proving = {
  privateKey: CryptoKey;
  publicJwk: JWK;
  token: string | undefined;
  nonce: string | undefined;
};

/** With a token its hash is in the proof, so that the proof opens nothing for another token. */
function signProof(
  { privateKey, publicJwk, token, nonce }: Proving,
  { method, url }: { method: string; url: string },
): Promise<string> {
  return new SignJWT({
    htm: method,
    htu: url.split('?')[0],
    ...(token === undefined ? {} : { ath: createHash('sha256').update(token).digest('base64url') }),
    ...(nonce === undefined ? {} : { nonce }),
  })
    .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk: publicJwk })
    .setJti(randomUUID())
    .setIssuedAt()
    .sign(privateKey);
}

/** 400 and JSON at the broker, 401 and a challenge at a resource server (RFC 9449 §8, §9). */
function asksForNonce({ response }: Exchange): boolean {
  return `${response.headers.get('www-authenticate')} ${response.body}`.includes('"use_dpop_nonce"');
}
