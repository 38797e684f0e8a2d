/**
 * How a resource server says who it is when it asks the broker: a client assertion (RFC 7523 §2.2), signed with
 * the key that its file in `scopes/resources/` declares. A new one for each question.
 */
import { createPrivateKey, type KeyObject, randomUUID } from 'node:crypto';
import { encodeHeader, signCompactJws } from '../jws/compact-jws.ts';
import { type Clock, numericDate } from '../time/clock.ts';

/** A private JWK as `mayfly` writes it to `<data dir>/keys/`, or a key from elsewhere with its name. */
export type ResourceKey =
  | { kty: string; crv: string; x: string; y?: string; d: string; kid: string }
  | { privateKey: KeyObject; kid: string };

export const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

const LIFETIME_SECONDS = 60;

/**
 * @param clientId the resource's audience
 * @returns makes one assertion; a broker takes each once, so they cannot be sent to two
 */
export function createAssertionSigner(options: {
  key: ImportedKey;
  clientId: string;
  issuer: string;
  clock: Clock;
}): () => string {
  const { key, clientId, issuer, clock } = options;
  const { privateKey } = key;
  const alg = privateKey.asymmetricKeyType === 'ed25519' ? 'EdDSA' : 'ES256';
  const header = encodeHeader({ alg, typ: 'client-authentication+jwt', kid: key.kid });
  return () => {
    const iat = numericDate(clock);
    const claims = {
      iss: clientId,
      sub: clientId,
      aud: issuer,
      jti: randomUUID(),
      iat,
      exp: iat + LIFETIME_SECONDS,
    };
    return signCompactJws(header, claims, privateKey);
  };
}

export type ImportedKey = { kid: string; privateKey: KeyObject };

/** @throws {TypeError} when it is no private P-256 or Ed25519 key with a `kid`; never shows the key */
export function importKey(key: ResourceKey): ImportedKey {
  if (typeof key?.kid !== 'string') throw new TypeError('key: it needs the kid under which it is declared');
  const privateKey = 'privateKey' in key ? key.privateKey : importJwk(key);
  const isSupported =
    privateKey?.asymmetricKeyType === 'ed25519' ||
    (privateKey?.asymmetricKeyType === 'ec' && privateKey.asymmetricKeyDetails?.namedCurve === 'prime256v1');
  if (!isSupported || privateKey.type !== 'private') {
    throw new TypeError('key: it has to be a private P-256 or Ed25519 key');
  }
  return { kid: key.kid, privateKey };
}

function importJwk({ kid: _kid, ...jwk }: { kty: string; kid: string }): KeyObject {
  try {
    return createPrivateKey({ key: jwk, format: 'jwk' });
  } catch {
    throw new TypeError('key: it is not a private JWK'); // the cause would quote it
  }
}
