/**
 * A client that is written out in full, so that a test can bend any part of it. It speaks to a real socket with
 * `fetch`; for requests that `fetch` would not send, tests write to the socket themselves.
 */
import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  type webcrypto,
} from 'node:crypto';
import { encodeBase64url } from '../src/jws/base64url.ts';
import { signCompactJws } from '../src/jws/compact-jws.ts';
import { parseVerificationKey } from '../src/jws/jwk.ts';

export const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

export type SessionKey = { privateKey: KeyObject; publicJwk: webcrypto.JsonWebKey; jkt: string };

export function newSessionKey(kind: 'ec' | 'ed25519' = 'ec'): SessionKey {
  const { privateKey, publicKey } =
    kind === 'ec' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
  const publicJwk = publicKey.export({ format: 'jwk' });
  return { privateKey, publicJwk, jkt: parseVerificationKey(publicJwk).thumbprint };
}

export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

/** A JWT with exactly this header and these claims, signed with this key. */
export function signJwt(header: object, claims: object, privateKey: KeyObject): string {
  return signCompactJws(encodeBase64url(JSON.stringify(header)), claims, privateKey);
}

export type Bend = { header?: object; claims?: object; key?: SessionKey | KeyObject };

/** Parameters whose value is undefined are left out. */
export type FormFields = Readonly<Record<string, string | readonly string[] | undefined>>;

export type TestAgentOptions = {
  /** Where it connects. */
  url: string;
  issuer: string;
  clientId: string;
  key: webcrypto.JsonWebKey & { kid?: string };
};

export type TestAgent = ReturnType<typeof createTestAgent>;

export function createTestAgent({ url, issuer, clientId, key }: TestAgentOptions) {
  const privateKey = createPrivateKey({ key, format: 'jwk' });
  const algorithm = privateKey.asymmetricKeyType === 'ed25519' ? 'EdDSA' : 'ES256';
  let nonce: string | undefined;

  function assertion({ header, claims, key: other }: Bend = {}): string {
    const now = nowSeconds();
    return signJwt(
      { alg: algorithm, typ: 'client-authentication+jwt', kid: key.kid, ...header },
      { iss: clientId, sub: clientId, aud: issuer, iat: now, exp: now + 60, jti: randomUUID(), ...claims },
      other === undefined ? privateKey : 'privateKey' in other ? other.privateKey : other,
    );
  }

  function proof(session: SessionKey, { header, claims, key: other }: Bend = {}): string {
    const signer =
      other === undefined ? session.privateKey : 'privateKey' in other ? other.privateKey : other;
    return signJwt(
      {
        typ: 'dpop+jwt',
        alg: session.privateKey.asymmetricKeyType === 'ed25519' ? 'EdDSA' : 'ES256',
        jwk: session.publicJwk,
        ...header,
      },
      {
        htm: 'POST',
        htu: `${issuer}/oauth/token`,
        iat: nowSeconds(),
        jti: randomUUID(),
        ...(nonce === undefined ? {} : { nonce }),
        ...claims,
      },
      signer,
    );
  }

  async function post(path: string, fields: FormFields, headers: Record<string, string> = {}) {
    const body = new URLSearchParams();
    for (const [name, value] of Object.entries(fields)) {
      if (typeof value === 'string') body.append(name, value);
      else for (const each of value ?? []) body.append(name, each);
    }
    const response = await fetch(`${url}${path}`, { method: 'POST', body, headers, redirect: 'manual' });
    const text = await response.text();
    nonce = response.headers.get('dpop-nonce') ?? nonce;
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: text === '' ? null : JSON.parse(text),
    };
  }

  /** The fields of a good token request; what a test overrides comes last. */
  function tokenFields(fields: FormFields = {}): FormFields {
    return {
      grant_type: 'client_credentials',
      client_assertion_type: ASSERTION_TYPE,
      client_assertion: assertion(),
      scope: 'db:read:customers',
      ...fields,
    };
  }

  /** One request, as it stands: no retry. */
  async function request(session: SessionKey, fields: FormFields = {}, dpop: string | null = proof(session)) {
    return post('/oauth/token', tokenFields(fields), dpop === null ? {} : { DPoP: dpop });
  }

  return {
    clientId,
    assertion,
    proof,
    post,
    tokenFields,
    request,
    /** A token, whatever nonce it takes. */
    async token(session: SessionKey, fields: FormFields = {}) {
      const first = await request(session, fields);
      return first.body?.error === 'use_dpop_nonce' ? request(session, fields) : first;
    },
    authenticated: (fields: FormFields) => ({
      client_assertion_type: ASSERTION_TYPE,
      client_assertion: assertion(),
      ...fields,
    }),
    nonce: () => nonce,
  };
}
