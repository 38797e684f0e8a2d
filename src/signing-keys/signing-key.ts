/**
 * One key of the ring. The public kinds are named by their RFC 7638 thumbprint, so that a `kid` cannot be given
 * to another key; a secret kind gets a random name. What is secret only ever exists as a KeyObject.
 */
import {
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { parseVerificationKey, type VerificationKey } from '../jws/jwk.ts';
import type { KeyPurpose } from './key-state.ts';

export type KeyAlgorithm = 'Ed25519' | 'ES256' | 'HMAC-SHA256';

export type KeyMaterial =
  | { algorithm: 'Ed25519' | 'ES256'; kid: string; privateKey: KeyObject; verificationKey: VerificationKey }
  | { algorithm: 'HMAC-SHA256'; kid: string; secret: KeyObject };

const SECRET_BYTES = 32;

export function algorithmFor(purpose: KeyPurpose): KeyAlgorithm {
  if (purpose === 'web-identity') return 'ES256'; // AWS knows no Ed25519
  return purpose === 'nonce' ? 'HMAC-SHA256' : 'Ed25519';
}

export function generateKey(purpose: KeyPurpose): KeyMaterial {
  const algorithm = algorithmFor(purpose);
  if (algorithm === 'Ed25519') return signingKey(generateKeyPairSync('ed25519').privateKey);
  if (algorithm === 'ES256') {
    return signingKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
  }
  const kid = randomBytes(SECRET_BYTES).toString('base64url');
  return { algorithm: 'HMAC-SHA256', kid, secret: createSecretKey(randomBytes(SECRET_BYTES)) };
}

/** The bytes to seal: PKCS #8 of a private key, or the secret itself. The caller wipes them. */
export function secretBytesOf(material: KeyMaterial): Buffer {
  return material.algorithm === 'HMAC-SHA256'
    ? material.secret.export()
    : material.privateKey.export({ type: 'pkcs8', format: 'der' });
}

/** The 32 bytes of a public key (RFC 8032 §5.1.5), the 64 of both coordinates on P-256, null for a secret kind. */
export function publicBytesOf(material: KeyMaterial): Buffer | null {
  if (material.algorithm === 'HMAC-SHA256') return null;
  const { jwk } = material.verificationKey;
  const coordinates = jwk.kty === 'EC' ? [jwk.x, jwk.y] : [jwk.x];
  return Buffer.concat(coordinates.map((coordinate) => Buffer.from(coordinate, 'base64url')));
}

/** Inverse of {@link secretBytesOf}; null when the bytes are no key of that algorithm, or another than `kid`. */
export function restoreKey(algorithm: KeyAlgorithm, kid: string, secretBytes: Buffer): KeyMaterial | null {
  if (algorithm === 'HMAC-SHA256') {
    if (secretBytes.length !== SECRET_BYTES) return null;
    return { algorithm, kid, secret: createSecretKey(secretBytes) };
  }
  const material = signingKey(createPrivateKey({ key: secretBytes, format: 'der', type: 'pkcs8' }));
  return material.kid === kid && material.algorithm === algorithm ? material : null;
}

function signingKey(privateKey: KeyObject): Exclude<KeyMaterial, { algorithm: 'HMAC-SHA256' }> {
  const verificationKey = parseVerificationKey(createPublicKey(privateKey).export({ format: 'jwk' }));
  const algorithm = verificationKey.jwk.kty === 'EC' ? 'ES256' : 'Ed25519';
  return { algorithm, kid: verificationKey.thumbprint, privateKey, verificationKey };
}
