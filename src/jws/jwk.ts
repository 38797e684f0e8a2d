/**
 * Public keys as JWKs (RFC 7517), only the two kinds that mayfly speaks: P-256 for ES256 (RFC 7518 §6.2) and
 * Ed25519 (RFC 8037 §2). Parsing proves that the coordinates have one spelling and the right length and are a point
 * of the curve that can be a key; so a thumbprint names one key.
 */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import type { Recent } from '../bounds/recent.ts';
import { isJsonObject } from '../json/strict-json.ts';
import { decodeBase64url } from './base64url.ts';
import { isPrimeOrderPoint } from './edwards-point.ts';

/** `Ed25519` (RFC 9864) and `EdDSA` (RFC 8037) name one algorithm here, since only one curve is accepted. */
export type JwsAlgorithm = 'ES256' | 'Ed25519' | 'EdDSA';

export const JWS_ALGORITHMS: readonly JwsAlgorithm[] = ['ES256', 'Ed25519', 'EdDSA'];

export type PublicJwk =
  | { kty: 'EC'; crv: 'P-256'; x: string; y: string; kid?: string; alg?: 'ES256' }
  | { kty: 'OKP'; crv: 'Ed25519'; x: string; kid?: string; alg?: 'Ed25519' | 'EdDSA' };

/** A public key that was checked, with what is needed to verify and to name it. */
export type VerificationKey = {
  /** Only the members that identify the key (RFC 7638 §3.2), none that the sender added. */
  jwk: PublicJwk;
  /** RFC 7638 SHA-256 thumbprint, base64url, 43 characters. */
  thumbprint: string;
  keyObject: KeyObject;
  /** True when a signature under `algorithm` can be verified with this key. */
  accepts(algorithm: string): algorithm is JwsAlgorithm;
};

export class JwkError extends Error {
  override readonly name = 'JwkError';
}

/** Members of a private or symmetric key (RFC 7518 §6.2.2, §6.3.2, §6.4; RFC 8037 §2). */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
const COORDINATE_BYTES = 32;

/** Keys that were imported lately, so that a session's key is not put on the curve again at each request. */
export type KeyCache = Recent<VerificationKey>;

/**
 * @param value a parsed JWK from outside
 * @param cache spares the import of a key that was seen; every other check is made each time
 * @throws {JwkError} when it is not a public P-256 or Ed25519 key in canonical spelling, or lies off the curve
 */
export function parseVerificationKey(value: unknown, cache?: KeyCache): VerificationKey {
  if (!isJsonObject(value)) throw new JwkError('a JWK has to be a JSON object');
  const secret = PRIVATE_MEMBERS.find((member) => member in value);
  if (secret !== undefined)
    throw new JwkError(`the JWK has the private member "${secret}"; give the public key`);
  const jwk = identifyingMembers(value);
  refuseContradictions(value, jwk);
  const name = jwk.kty === 'EC' ? `${jwk.x}.${jwk.y}` : jwk.x;
  const known = cache?.get(name);
  if (known !== undefined) return known;
  const key = verificationKey(jwk, importKey(jwk));
  cache?.set(name, key);
  return key;
}

function verificationKey(jwk: PublicJwk, keyObject: KeyObject): VerificationKey {
  const algorithms = jwk.kty === 'EC' ? ['ES256'] : ['Ed25519', 'EdDSA'];
  return {
    jwk,
    thumbprint: thumbprintOf(jwk),
    keyObject,
    accepts: (algorithm): algorithm is JwsAlgorithm => algorithms.includes(algorithm),
  };
}

/** RFC 7638 §3: SHA-256 over the required members in lexicographic order, base64url. */
export function thumbprintOf(jwk: PublicJwk): string {
  const input =
    jwk.kty === 'EC'
      ? `{"crv":"P-256","kty":"EC","x":"${jwk.x}","y":"${jwk.y}"}`
      : `{"crv":"Ed25519","kty":"OKP","x":"${jwk.x}"}`;
  return createHash('sha256').update(input).digest('base64url');
}

function identifyingMembers(value: Record<string, unknown>): PublicJwk {
  if (value.kty === 'EC' && value.crv === 'P-256') {
    return { kty: 'EC', crv: 'P-256', x: coordinate(value.x), y: coordinate(value.y) };
  }
  if (value.kty === 'OKP' && value.crv === 'Ed25519') {
    return { kty: 'OKP', crv: 'Ed25519', x: coordinate(value.x) };
  }
  throw new JwkError('the key has to be an EC key on P-256 or an OKP key on Ed25519');
}

function coordinate(value: unknown): string {
  const bytes = typeof value === 'string' ? decodeBase64url(value) : null;
  if (bytes?.length !== COORDINATE_BYTES) {
    throw new JwkError(`a coordinate has to be ${COORDINATE_BYTES} bytes as base64url without padding`);
  }
  return value as string;
}

/** RFC 7517 §4.2–4.4: a key that says it is for something else is not used for this. */
function refuseContradictions(value: Record<string, unknown>, jwk: PublicJwk): void {
  const { alg, use, key_ops: operations } = value;
  const algorithms = jwk.kty === 'EC' ? ['ES256'] : ['Ed25519', 'EdDSA'];
  if (alg !== undefined && !algorithms.includes(alg as string)) {
    throw new JwkError(`"alg" of this key has to be ${algorithms.join(' or ')}`);
  }
  if (use !== undefined && use !== 'sig') throw new JwkError('"use" has to be "sig"');
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) {
    throw new JwkError('"key_ops" has to contain "verify"');
  }
}

function importKey(jwk: PublicJwk): KeyObject {
  if (jwk.kty === 'OKP' && !isPrimeOrderPoint(Buffer.from(jwk.x, 'base64url'))) {
    throw new JwkError('the coordinate is not a point that a key can be');
  }
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch (error) {
    throw new JwkError('the coordinates are not a point of the curve', { cause: error });
  }
}
