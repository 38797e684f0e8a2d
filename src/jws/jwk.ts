/**
 * Public keys as JWKs (RFC 7517), only the two kinds that mayfly speaks: P-256 for ES256 (RFC 7518 §6.2) and
 * Ed25519 (RFC 8037 §2). Parsing proves that the coordinates have one spelling and the right length and, on P-256,
 * lie on the curve; so a thumbprint names one key. (An Ed25519 key off the curve is not found out here: no
 * signature ever verifies under it.)
 */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import type { Recent } from '../bounds/recent.ts';
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
  if (jwk.kty === 'OKP') refuseOddEdwardsPoint(jwk.x);
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch (error) {
    throw new JwkError('the coordinates are not a point of the curve', { cause: error });
  }
}

/** RFC 8032 §5.1.3: y is below 2^255 − 19; OpenSSL takes the 19 spellings above it for the same 19 keys. */
function refuseOddEdwardsPoint(x: string): void {
  if (SMALL_ORDER_POINTS.has(x)) throw new JwkError('the key has small order');
  const bytes = Buffer.from(x, 'base64url');
  const isPastPrime =
    bytes.readUInt8(0) >= 0xed &&
    (bytes.readUInt8(COORDINATE_BYTES - 1) & 0x7f) === 0x7f &&
    bytes.subarray(1, COORDINATE_BYTES - 1).every((byte) => byte === 0xff);
  if (isPastPrime) throw new JwkError('the coordinate is not reduced modulo the prime of the curve');
}

/**
 * Points of order 1, 2, 4 and 8, those whose sign bit contradicts x = 0 included: a signature under such a key
 * verifies for any message on some runtimes (RFC 8032 §5.1.7; RFC 8725 §3.4).
 */
const SMALL_ORDER_POINTS = new Set(
  [
    '0100000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000080',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0000000000000000000000000000000000000000000000000000000000000080',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
  ].map((hex) => Buffer.from(hex, 'hex').toString('base64url')),
);
