/** JWTs whose parts are given as text or bytes, for what no library would write. */
import { createHmac, type KeyObject, sign } from 'node:crypto';

type Part = string | Buffer;

export const base64url = (part: Part): string => Buffer.from(part as string).toString('base64url');

/** `header.payload.signature` over exactly these parts. */
export function signRawJws(header: Part, payload: Part, privateKey: KeyObject): string {
  const input = `${base64url(header)}.${base64url(payload)}`;
  return `${input}.${signBytes(Buffer.from(input), privateKey).toString('base64url')}`;
}

/** The same with a MAC: for keys that are mistaken for secrets. */
export function macRawJws(
  header: Part,
  payload: Part,
  secret: Part,
  hash: 'sha256' | 'sha512' = 'sha256',
): string {
  const input = `${base64url(header)}.${base64url(payload)}`;
  return `${input}.${createHmac(hash, secret).update(input).digest('base64url')}`;
}

export function signBytes(bytes: Buffer, privateKey: KeyObject): Buffer {
  return privateKey.asymmetricKeyType === 'ed25519'
    ? sign(null, bytes, privateKey)
    : sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' });
}

export type JwsParts = { header: string; payload: string; signature: string };

export function partsOf(jws: string): JwsParts {
  const [header = '', payload = '', signature = ''] = jws.split('.');
  return { header, payload, signature };
}

/** The order of P-256 (FIPS 186-5; SEC 2 §2.4.2). */
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

export function bytesOf(number: bigint, length = 32): Buffer {
  return Buffer.from(number.toString(16).padStart(length * 2, '0'), 'hex');
}

/** The other signature that verifies: (r, n − s). */
export function twinOf(jws: string): string {
  const { header, payload, signature } = partsOf(jws);
  const bytes = Buffer.from(signature, 'base64url');
  const s = BigInt(`0x${bytes.subarray(32).toString('hex')}`);
  const twin = Buffer.concat([bytes.subarray(0, 32), bytesOf(P256_ORDER - s)]);
  return `${header}.${payload}.${twin.toString('base64url')}`;
}

export { P256_ORDER };
