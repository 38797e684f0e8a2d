/**
 * Public keys as JWKs (RFC 7517), only the two kinds that mayfly speaks: P-256 for ES256 (RFC 7518 §6.2) and
 * Ed25519 (RFC 8037 §2). Parsing proves that the coordinates have one spelling, the right length and lie on the
 * curve; so a thumbprint names one key.
 */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { isJsonObject } from '../json/strict-json.ts';
import { decodeBase64url } from './base64url.ts';

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
export type KeyCache = {
  find(jwk: PublicJwk): VerificationKey | undefined;
  keep(key: VerificationKey): void;
};

/** @param maxKeys the oldest half is forgotten when there are more */
export function createKeyCache(maxKeys: number): KeyCache {
  let recent = new Map<string, VerificationKey>();
  let older = new Map<string, VerificationKey>();
  const nameOf = (jwk: PublicJwk) => (jwk.kty === 'EC' ? `${jwk.x}.${jwk.y}` : jwk.x);
  const keep = (key: VerificationKey) => {
    if (recent.size >= maxKeys / 2) {
      older = recent;
      recent = new Map();
    }
    recent.set(nameOf(key.jwk), key);
  };
  return {
    keep,
    find(jwk) {
      const name = nameOf(jwk);
      const found = recent.get(name);
      if (found !== undefined) return found;
      const aged = older.get(name);
      if (aged !== undefined) keep(aged);
      return aged;
    },
  };
}

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
  const known = cache?.find(jwk);
  if (known !== undefined) return known;
  const key = verificationKey(jwk, importKey(jwk));
  cache?.keep(key);
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
  if (jwk.kty === 'OKP' && SMALL_ORDER_POINTS.has(jwk.x)) throw new JwkError('the key has small order');
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch (error) {
    throw new JwkError('the coordinates are not a point of the curve', { cause: error });
  }
}

/**
 * Points of order 1, 2, 4 and 8 and their non-canonical spellings: a signature under such a key verifies for any
 * message on some runtimes (RFC 8032 §5.1.7; RFC 8725 §3.4).
 */
const SMALL_ORDER_POINTS = new Set(
  [
    '0100000000000000000000000000000000000000000000000000000000000000',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0000000000000000000000000000000000000000000000000000000000000080',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
    '0100000000000000000000000000000000000000000000000000000000000080',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  ].map((hex) => Buffer.from(hex, 'hex').toString('base64url')),
);
