/**
 * A key at rest: AES-256-GCM under the key-encryption key (NIST SP 800-38D), one random 96-bit nonce a sealing.
 * The additional data binds what the row says about the key, so that a sealed secret opens in no other row, for
 * no other purpose and as no other algorithm; and the `kid` is the thumbprint of what opens. Whoever can write
 * to the table but has no KEK can thus stop the broker, and make it sign or publish nothing of theirs.
 *
 * Layout: version (1) · nonce (12) · ciphertext · tag (16).
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Kek, Keks } from './key-encryption-key.ts';
import type { KeyPurpose } from './key-state.ts';
import { algorithmFor, type KeyMaterial, publicBytesOf, restoreKey, secretBytesOf } from './signing-key.ts';

/** What a row says about its key, all of it bound into the seal. */
export type KeyIdentity = { kid: string; purpose: KeyPurpose; algorithm: string; generation: number };

export type SealedKey = KeyIdentity & {
  publicKey: Buffer | null;
  sealedSecret: Buffer;
  /** Fingerprint of the KEK. */
  sealedBy: string;
};

export type Opened =
  | { opened: true; material: KeyMaterial }
  /** `kek_missing`: sealed by a KEK that is not configured. `changed`: the row is not what was sealed. */
  | { opened: false; because: 'kek_missing' | 'changed' };

const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = 'aes-256-gcm';

export function sealKey(material: KeyMaterial, identity: KeyIdentity, kek: Kek): SealedKey {
  const secretBytes = secretBytesOf(material);
  const sealedSecret = seal(secretBytes, identity, kek);
  secretBytes.fill(0);
  return { ...identity, publicKey: publicBytesOf(material), sealedSecret, sealedBy: kek.fingerprint };
}

/** Never throws for anything that a row may hold. */
export function openKey(row: SealedKey, keks: Keks): Opened {
  const kek = keks.byFingerprint.get(row.sealedBy);
  if (kek === undefined) return { opened: false, because: 'kek_missing' };
  const secretBytes = open(row, kek);
  if (secretBytes === null) return { opened: false, because: 'changed' };
  const material = restoreOrNull(row, secretBytes);
  secretBytes.fill(0);
  return material === null ? { opened: false, because: 'changed' } : { opened: true, material };
}

function seal(secretBytes: Buffer, identity: KeyIdentity, kek: Kek): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, kek.keyObject, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(additionalData(identity));
  const ciphertext = Buffer.concat([cipher.update(secretBytes), cipher.final()]);
  return Buffer.concat([Buffer.of(VERSION), nonce, ciphertext, cipher.getAuthTag()]);
}

function open(row: SealedKey, kek: Kek): Buffer | null {
  const { sealedSecret } = row;
  if (sealedSecret.length <= 1 + NONCE_BYTES + TAG_BYTES || sealedSecret[0] !== VERSION) return null;
  const nonce = sealedSecret.subarray(1, 1 + NONCE_BYTES);
  const decipher = createDecipheriv(CIPHER, kek.keyObject, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(additionalData(row));
  decipher.setAuthTag(sealedSecret.subarray(-TAG_BYTES));
  const ciphertext = sealedSecret.subarray(1 + NONCE_BYTES, -TAG_BYTES);
  const secretBytes = decipher.update(ciphertext);
  try {
    decipher.final();
    return secretBytes;
  } catch {
    return null;
  }
}

function restoreOrNull(row: SealedKey, secretBytes: Buffer): KeyMaterial | null {
  const algorithm = algorithmFor(row.purpose);
  if (row.algorithm !== algorithm) return null;
  try {
    const material = restoreKey(algorithm, row.kid, secretBytes);
    return material !== null && hasPublicKey(material, row.publicKey) ? material : null;
  } catch {
    return null;
  }
}

function hasPublicKey(material: KeyMaterial, stored: Buffer | null): boolean {
  const own = publicBytesOf(material);
  return own === null || stored === null ? own === stored : own.equals(stored);
}

/** JSON keeps the parts apart: no two identities have the same bytes. */
function additionalData({ kid, purpose, algorithm, generation }: KeyIdentity): Buffer {
  return Buffer.from(JSON.stringify(['mayfly signing key', kid, purpose, algorithm, generation]));
}
