/**
 * One run of a client that shows what it does: requests go out with a proof each, once more when the server asks for a
 * nonce, and everything that went over the wire is handed back. For the tour and for commands, which end soon: whoever
 * stays needs `createAgent()`.
 */
import { createNonces } from './nonces.ts';
import { makeSessionKey } from './session-key.ts';

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
  const key = await makeSessionKey();
  const nonces = createNonces();

  async function attempt({ token, ...request }: Asked): Promise<Exchange> {
    const { method, url } = request;
    const { origin } = new URL(url);
    const issuedAt = Math.floor(Date.now() / 1_000);
    const proof = { method, url, issuedAt, nonce: nonces.of(origin), accessToken: token };
    const DPoP = await key.sign(proof, AbortSignal.timeout(TIMEOUT_MILLISECONDS));
    const exchange = await send({ ...request, headers: { ...request.headers, DPoP } });
    nonces.learn(origin, exchange.response.headers);
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

/** 400 and JSON at the broker, 401 and a challenge at a resource server (RFC 9449 §8, §9). */
function asksForNonce({ response }: Exchange): boolean {
  return `${response.headers.get('www-authenticate')} ${response.body}`.includes('"use_dpop_nonce"');
}
