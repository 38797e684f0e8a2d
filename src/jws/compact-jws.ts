/**
 * A signed JWT in compact form (RFC 7515 §3.1, RFC 7519), read strictly: three canonical base64url parts, strict
 * JSON, no `crit` (nothing critical is understood here, §4.1.11), no header that names a key elsewhere.
 *
 * Reading and verifying are two steps on purpose: the reader gives the header to whoever looks the key up, and
 * nobody gets the claims as trusted before `verifySignature` said yes.
 */
import { type KeyObject, sign, verify } from 'node:crypto';
import type { Recent } from '../bounds/recent.ts';
import { type JsonBounds, JsonError, parseStrictJsonObject } from '../json/strict-json.ts';
import { decodeBase64url, encodeBase64url } from './base64url.ts';
import type { JwsAlgorithm, VerificationKey } from './jwk.ts';

export type JwsHeader = Readonly<Record<string, unknown>> & { readonly alg: string };

/** Headers by their encoded text: those of one client, or of one session, are the same each time. */
export type HeaderCache = Recent<JwsHeader>;

export type ReadOptions = {
  /** Spares the reading of a header that was read before; it says nothing about the signature. */
  headers?: HeaderCache | undefined;
  /** Of the claims, where those of a token or a proof are too tight. */
  bounds?: JsonBounds;
};

export type UnverifiedJwt = {
  header: JwsHeader;
  /** Not to be believed before {@link verifySignature} returned true. */
  claims: Record<string, unknown>;
  signingInput: string;
  signature: Buffer;
};

export class JwsError extends Error {
  override readonly name = 'JwsError';
}

const BOUNDS: JsonBounds = { maxDepth: 8, maxMembers: 128 };
const SIGNATURE_BYTES = 64;
const MAX_CACHED_HEADER_LENGTH = 512;

/** Headers that point at a key or change what the payload means (RFC 7515 §4.1.2–4.1.8, RFC 7516, RFC 7797). */
const FORBIDDEN_HEADERS = ['crit', 'jku', 'x5u', 'x5c', 'zip', 'enc', 'p2c', 'epk', 'b64'];

/**
 * @param maxLength characters; checked before anything else looks at the text
 * @throws {JwsError} when the text is not one JWS in compact form with JSON objects for header and payload
 */
export function readCompactJws(
  text: string,
  maxLength: number,
  { headers, bounds = BOUNDS }: ReadOptions = {},
): UnverifiedJwt {
  if (text.length > maxLength) throw new JwsError(`longer than ${maxLength} characters`);
  const parts = text.split('.', 4);
  const [headerPart, payloadPart, signaturePart] = parts;
  if (parts.length !== 3 || !headerPart || !payloadPart || !signaturePart) {
    throw new JwsError('a compact JWS has three parts');
  }
  const signature = decodeBase64url(signaturePart);
  if (signature?.length !== SIGNATURE_BYTES) throw new JwsError('the signature is not 64 bytes of base64url');
  return {
    header: headers?.get(headerPart) ?? readHeader(headerPart, headers),
    claims: readPart(payloadPart, bounds),
    signingInput: text.slice(0, headerPart.length + 1 + payloadPart.length),
    signature,
  };
}

function readHeader(part: string, headers: HeaderCache | undefined): JwsHeader {
  const header = readPart(part, BOUNDS);
  const forbidden = FORBIDDEN_HEADERS.find((name) => name in header);
  if (forbidden !== undefined) throw new JwsError(`the header member "${forbidden}" is not accepted`);
  if (typeof header.alg !== 'string') throw new JwsError('the header has no "alg"');
  if (part.length <= MAX_CACHED_HEADER_LENGTH) headers?.set(part, header as JwsHeader);
  return header as JwsHeader;
}

/** True only when the header's algorithm fits the key and the signature is valid. Synchronous: the hot path. */
export function verifySignature(jwt: UnverifiedJwt, key: VerificationKey): boolean {
  if (!key.accepts(jwt.header.alg)) return false;
  const bytes = Buffer.from(jwt.signingInput, 'latin1');
  if (key.jwk.kty === 'OKP') return verify(null, bytes, key.keyObject, jwt.signature);
  return verify('sha256', bytes, { key: key.keyObject, dsaEncoding: 'ieee-p1363' }, jwt.signature);
}

/** Signs claims as a compact JWS. `encodedHeader` is {@link encodeHeader}'s, made once per key. */
export function signCompactJws(encodedHeader: string, claims: object, privateKey: KeyObject): string {
  const signingInput = `${encodedHeader}.${encodeBase64url(JSON.stringify(claims))}`;
  const bytes = Buffer.from(signingInput, 'latin1');
  const signature =
    privateKey.asymmetricKeyType === 'ed25519'
      ? sign(null, bytes, privateKey)
      : sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${signingInput}.${signature.toString('base64url')}`;
}

export function encodeHeader(header: { alg: JwsAlgorithm; typ: string; kid?: string; jwk?: object }): string {
  return encodeBase64url(JSON.stringify(header));
}

/** Where some readers end a text and others go on. No name, time or address has one in it. */
const ESCAPED_NUL = '\\u0000';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function readPart(part: string, bounds: JsonBounds): Record<string, unknown> {
  const bytes = decodeBase64url(part);
  if (bytes === null) throw new JwsError('a part is not canonical base64url');
  try {
    const text = utf8.decode(bytes);
    if (text.includes(ESCAPED_NUL)) throw new JwsError('a part holds an escaped NUL');
    return parseStrictJsonObject(text, bounds);
  } catch (error) {
    if (error instanceof JsonError || error instanceof TypeError) {
      throw new JwsError('a part is not a strict JSON object', { cause: error });
    }
    throw error;
  }
}
