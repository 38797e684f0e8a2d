/**
 * A key that signs notes, as one line that a person can pin: `<name>+<key id>+<base64 of type ‖ key>` (C2SP
 * signed-note, "Verifier keys"). Two kinds: the log's own (0x01) and a witness's (0x04); one key never serves as
 * both, since each line names its kind.
 */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { isPrimeOrderPoint } from '../jws/edwards-point.ts';
import { AuditFormatError } from './format-error.ts';
import { decodeBase64, textOf } from './note-text.ts';

/** `log`: Ed25519 over the text. `witness`: a timestamped cosignature of a checkpoint (C2SP tlog-cosignature). */
export type VerifierKeyKind = 'log' | 'witness';

export type VerifierKey = {
  name: string;
  kind: VerifierKeyKind;
  /** Eight hexadecimal digits. Short: it finds the key and proves nothing. */
  keyId: string;
  /** The line itself: equal lines are equal keys. */
  vkey: string;
  keyObject: KeyObject;
};

const TYPES: Readonly<Record<VerifierKeyKind, number>> = { log: 0x01, witness: 0x04 };
const KEY_BYTES = 32;
const MAX_NAME_LENGTH = 255;

/** What signed-note forbids, and what would move a terminal's cursor. */
const NOT_IN_A_NAME = /[\p{White_Space}\p{Cc}\p{Cf}\p{Zl}\p{Zp}+]/u;

export function isKeyName(name: string): boolean {
  return name !== '' && name.length <= MAX_NAME_LENGTH && name.isWellFormed() && !NOT_IN_A_NAME.test(name);
}

/** @throws {AuditFormatError} for what is not the one spelling of an Ed25519 key of a log or a witness */
export function parseVerifierKey(line: string): VerifierKey {
  const [name = '', keyId = '', ...rest] = textOf(line).split('+');
  const bytes = decodeBase64(rest.join('+'));
  const kind = bytes?.[0] === TYPES.log ? 'log' : bytes?.[0] === TYPES.witness ? 'witness' : null;
  if (bytes?.length !== KEY_BYTES + 1 || kind === null) {
    throw new AuditFormatError('a verifier key has to be <name>+<key id>+<base64>, of an Ed25519 key');
  }
  const key = verifierKeyOf({ name, kind, publicKey: bytes.subarray(1) });
  if (key.keyId !== keyId) throw new AuditFormatError('the key id is not the one of this name and key');
  return key;
}

/**
 * @param publicKey 32 bytes (RFC 8032 §5.1.5), or a key object, of which only the public part is taken
 * @throws {AuditFormatError} for a name or a key that cannot be one
 */
export function verifierKeyOf({
  name,
  kind,
  publicKey,
}: {
  name: string;
  kind: VerifierKeyKind;
  publicKey: Uint8Array | KeyObject;
}): VerifierKey {
  if (!isKeyName(name)) {
    throw new AuditFormatError(`a key name has 1 to ${MAX_NAME_LENGTH} characters, no spaces and no "+"`);
  }
  const bytes = publicKey instanceof Uint8Array ? Buffer.from(publicKey) : bytesOf(publicKey);
  if (bytes.length !== KEY_BYTES || !isPrimeOrderPoint(bytes)) {
    throw new AuditFormatError('these bytes are not an Ed25519 public key');
  }
  const material = Buffer.concat([Buffer.of(TYPES[kind]), bytes]);
  const keyId = createHash('sha256').update(`${name}\n`).update(material).digest('hex').slice(0, 8);
  const vkey = `${name}+${keyId}+${material.toString('base64')}`;
  return { name, kind, keyId, vkey, keyObject: keyObjectOf(bytes) };
}

function bytesOf(key: KeyObject): Buffer {
  const { crv, x } = key.export({ format: 'jwk' });
  if (crv !== 'Ed25519' || x === undefined) throw new AuditFormatError('an Ed25519 key was expected');
  return Buffer.from(x, 'base64url');
}

function keyObjectOf(bytes: Buffer): KeyObject {
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url') };
  return createPublicKey({ key: jwk, format: 'jwk' });
}
