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

export type KeyAlgorithm = 'Ed25519' | 'HMAC-SHA256';

export type KeyMaterial =
  | { algorithm: 'Ed25519'; kid: string; privateKey: KeyObject; verificationKey: VerificationKey }
  | { algorithm: 'HMAC-SHA256'; kid: string; secret: KeyObject };

const SECRET_BYTES = 32;

export function algorithmFor(purpose: KeyPurpose): KeyAlgorithm {
  return purpose === 'nonce' ? 'HMAC-SHA256' : 'Ed25519';
}

export function generateKey(purpose: KeyPurpose): KeyMaterial {
  if (algorithmFor(purpose) === 'Ed25519') return signingKey(generateKeyPairSync('ed25519').privateKey);
  const kid = randomBytes(SECRET_BYTES).toString('base64url');
  return { algorithm: 'HMAC-SHA256', kid, secret: createSecretKey(randomBytes(SECRET_BYTES)) };
}

/** The bytes to seal: PKCS #8 of a private key, or the secret itself. The caller wipes them. */
export function secretBytesOf(material: KeyMaterial): Buffer {
  return material.algorithm === 'Ed25519'
    ? material.privateKey.export({ type: 'pkcs8', format: 'der' })
    : material.secret.export();
}

/** The 32 bytes of the public key (RFC 8032 §5.1.5), null for a secret kind. */
export function publicBytesOf(material: KeyMaterial): Buffer | null {
  return material.algorithm === 'Ed25519' ? Buffer.from(material.verificationKey.jwk.x, 'base64url') : null;
}

/** Inverse of {@link secretBytesOf}; null when the bytes are no key of that algorithm, or another than `kid`. */
export function restoreKey(algorithm: KeyAlgorithm, kid: string, secretBytes: Buffer): KeyMaterial | null {
  if (algorithm === 'HMAC-SHA256') {
    if (secretBytes.length !== SECRET_BYTES) return null;
    return { algorithm, kid, secret: createSecretKey(secretBytes) };
  }
  const material = signingKey(createPrivateKey({ key: secretBytes, format: 'der', type: 'pkcs8' }));
  return material.kid === kid ? material : null;
}

function signingKey(privateKey: KeyObject): KeyMaterial {
  const verificationKey = parseVerificationKey(createPublicKey(privateKey).export({ format: 'jwk' }));
  return { algorithm: 'Ed25519', kid: verificationKey.thumbprint, privateKey, verificationKey };
}
