/**
 * A broker and a resource server on a clock that a test moves, without a database and without sockets. What decides
 * is the real code: client assertions, proofs, nonces and their freshness are checked by what brokers check them with.
 */
import { createSecretKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import type { Client, ClientDirectory } from '../../src/agents/client.ts';
import { checkAssertion, readAssertion } from '../../src/agents/client-assertion.ts';
import { createNonces } from '../../src/dpop/nonce.ts';
import { checkProof, type Proof, tokenHash } from '../../src/dpop/proof.ts';
import { checkFreshness } from '../../src/dpop/proof-freshness.ts';
import { Refusal } from '../../src/errors/refusal.ts';
import { readCompactJws, verifySignature } from '../../src/jws/compact-jws.ts';
import { parseVerificationKey } from '../../src/jws/jwk.ts';
import type { FetchLike } from '../../src/sdk/index.ts';
import { signJwt } from '../test-agent.ts';
import { newDeclaredKey } from '../test-scopes.ts';

export const ISSUER = 'https://broker.example.com';
export const RESOURCE = 'https://customers.example.com';
export const ACTION = 'db:read:customers';
const TOKEN_SECONDS = 60;

export type PaperBroker = ReturnType<typeof createPaperBroker>;

/** @param clock of the servers */
export function createPaperBroker(clock: { milliseconds(): number }) {
  const { privateJwk, declaration } = newDeclaredKey();
  const key = parseVerificationKey(JSON.parse(declaration));
  const client = { kind: 'agent', id: 'a', keys: [{ kid: privateJwk.kid, key }] } as unknown as Client;
  const clients: ClientDirectory = new Map([['a', client]]);
  const now = () => Math.floor(clock.milliseconds() / 1_000);
  const fullClock = { milliseconds: clock.milliseconds, monotonicMilliseconds: clock.milliseconds };
  const spent = new Set<string>();
  const counts = { minted: 0, called: 0, refused: new Map<string, number>() };
  let secrets: { current: ReturnType<typeof newSecret>; previous?: ReturnType<typeof newSecret> } = {
    current: newSecret(),
  };
  let signer = newSigner();
  const signers = new Map([[signer.kid, signer]]);
  const nonces = {
    [ISSUER]: createNonces({ secrets: () => secrets, clock: fullClock }),
    [RESOURCE]: createNonces({ secrets: () => secrets, clock: fullClock }),
  };
  let isDown = false;

  function spend(name: string): void {
    if (spent.has(name)) throw new Error(`used twice: ${name}`);
    spent.add(name);
  }

  function provenBy(
    headers: Headers,
    origin: typeof ISSUER | typeof RESOURCE,
    method: string,
    url: string,
  ): Proof {
    const proof = checkProof(headers.get('dpop') ?? '', { method, target: url.split('?')[0] ?? '' }, now());
    checkFreshness(proof, { nonces: nonces[origin], policy: 'required', now: now() });
    spend(`proof ${proof.jti}`);
    return proof;
  }

  function mint(headers: Headers, form: URLSearchParams): Response {
    const jwt = readAssertion(form.get('client_assertion') ?? '');
    const { jti } = checkAssertion(jwt, { clients, issuer: ISSUER, now: now() });
    const { jkt } = provenBy(headers, ISSUER, 'POST', `${ISSUER}/oauth/token`);
    spend(`assertion ${jti}`);
    counts.minted += 1;
    const claims = {
      aud: form.get('resource'),
      scope: form.get('scope'),
      exp: now() + TOKEN_SECONDS,
      cnf: { jkt },
    };
    const access = signJwt(
      { alg: 'EdDSA', typ: 'at+jwt', kid: signer.kid },
      { ...claims, n: counts.minted },
      signer.privateKey,
    );
    return json(200, {
      access_token: access,
      token_type: 'DPoP',
      expires_in: TOKEN_SECONDS,
      scope: claims.scope,
      session_id: `ses_${jkt}`,
    });
  }

  function serve(headers: Headers, method: string, url: string): Response {
    const [scheme, token = ''] = (headers.get('authorization') ?? '').split(' ');
    if (scheme !== 'DPoP') return challenged(null);
    const jwt = readCompactJws(token, 8_192);
    const known = signers.get(String(jwt.header.kid));
    const { exp, cnf, aud } = jwt.claims as { exp: number; cnf: { jkt: string }; aud: string };
    if (known === undefined || !verifySignature(jwt, known.key) || exp <= now() || aud !== RESOURCE) {
      return challenged('invalid_token');
    }
    const proof = provenBy(headers, RESOURCE, method, url);
    if (proof.jkt !== cnf.jkt || proof.tokenHash !== tokenHash(token)) return challenged('invalid_token');
    counts.called += 1;
    return json(200, {});
  }

  function challenged(error: string | null): Response {
    if (error !== null) counts.refused.set(error, (counts.refused.get(error) ?? 0) + 1);
    const parameters = `scope="${ACTION}"${error === null ? '' : `, error="${error}"`}`;
    return json(401, {}, { 'WWW-Authenticate': `DPoP ${parameters}` });
  }

  function json(status: number, body: object, headers: Record<string, string> = {}): Response {
    const date = new Date(clock.milliseconds()).toUTCString();
    return Response.json(body, { status, headers: { Date: date, ...headers } });
  }

  function answer(url: string, init: RequestInit): Response {
    const { origin, pathname } = new URL(url);
    const headers = new Headers(init.headers);
    try {
      if (pathname === '/.well-known/oauth-authorization-server') {
        return json(200, { issuer: ISSUER, token_endpoint: `${ISSUER}/oauth/token` });
      }
      if (pathname === '/.well-known/oauth-protected-resource') {
        return json(200, { resource: RESOURCE, authorization_servers: [ISSUER] });
      }
      if (origin === ISSUER) return mint(headers, new URLSearchParams(String(init.body)));
      return serve(headers, init.method ?? 'GET', url);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      counts.refused.set(error.code, (counts.refused.get(error.code) ?? 0) + 1);
      if (origin === ISSUER)
        return json(error.status, { error: error.code, code: error.code }, { ...error.headers });
      return json(401, {}, { ...error.headers, 'WWW-Authenticate': `DPoP error="${error.code}"` });
    }
  }

  const fetch: FetchLike = async (url, init) => {
    init.signal?.throwIfAborted();
    if (isDown && url.startsWith(ISSUER))
      throw new TypeError('fetch failed', { cause: Object.assign(new Error(), { code: 'ECONNREFUSED' }) });
    return answer(url, init);
  };

  return {
    key: privateJwk,
    fetch,
    counts,
    /** No broker answers. */
    stop: () => {
      isDown = true;
    },
    start: () => {
      isDown = false;
    },
    rotateNonceSecret() {
      secrets = { current: newSecret(), previous: secrets.current };
    },
    /** As if the ring of keys were another one: what was given out before is no nonce any more. */
    forgetNonceSecrets() {
      secrets = { current: newSecret() };
    },
    rotateSigningKey() {
      signer = newSigner();
      signers.set(signer.kid, signer);
    },
  };
}

function newSecret() {
  return createSecretKey(randomBytes(32));
}

function newSigner() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const jwk = publicKey.export({ format: 'jwk' });
  return { privateKey, key: parseVerificationKey(jwk), kid: randomBytes(8).toString('hex') };
}
