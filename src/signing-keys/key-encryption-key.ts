/**
 * The key-encryption key (KEK): 32 random bytes that seal the ring's secrets at rest. It comes from outside the
 * database (`MAYFLY_KEK`, or a file in the data folder), so that a copy of the database is worth nothing without
 * it. Inside it is a KeyObject, which no logger, inspector or serialiser can print.
 */
import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { decodeBase64url } from '../jws/base64url.ts';
import { KeyRingError } from './key-ring-error.ts';

/** As configured: raw bytes, 32 each. Sealing uses `current`, opening any of them. */
export type KekConfiguration = { current: Buffer; previous: readonly Buffer[] };

export type Kek = {
  /** Names the KEK in a row and in messages; says nothing about its bytes. 16 characters of base64url. */
  fingerprint: string;
  keyObject: KeyObject;
};

export type Keks = { current: Kek; byFingerprint: ReadonlyMap<string, Kek> };

export const KEK_BYTES = 32;
export const MAX_PREVIOUS_KEKS = 8;

const FINGERPRINT_BYTES = 12;

/** Of 32 random bytes fewer than this many are distinct less than once in 10^16 keys; of typed ones nearly always. */
const MIN_DISTINCT_BYTES = 16;

/** A fresh KEK in the form in which it is configured: base64url, 43 characters. */
export function newKekText(): string {
  return randomBytes(KEK_BYTES).toString('base64url');
}

/**
 * @param text base64url without padding; white space around it (a file's last newline) is ignored
 * @throws {KeyRingError} that never repeats the text
 */
export function parseKek(text: string): Buffer {
  const bytes = decodeBase64url(text.trim());
  if (bytes?.length !== KEK_BYTES) {
    throw new KeyRingError(
      `A key-encryption key has to be ${KEK_BYTES} bytes as base64url without padding (43 characters); ` +
        'this one is not. Make one with: mayfly keys new-kek',
    );
  }
  refuseGuessable(bytes);
  return bytes;
}

/** @throws {KeyRingError} when one has the wrong length or was plainly not drawn at random */
export function importKeks({ current, previous }: KekConfiguration): Keks {
  if (previous.length > MAX_PREVIOUS_KEKS) {
    throw new KeyRingError(`At most ${MAX_PREVIOUS_KEKS} previous key-encryption keys are accepted.`);
  }
  const [first, ...others] = [current, ...previous].map(importKek) as [Kek, ...Kek[]];
  const byFingerprint = new Map([first, ...others].map((kek) => [kek.fingerprint, kek]));
  return { current: first, byFingerprint };
}

function importKek(bytes: Buffer): Kek {
  if (bytes.length !== KEK_BYTES) {
    throw new KeyRingError(
      `A key-encryption key has to be ${KEK_BYTES} bytes; this one has ${bytes.length}.`,
    );
  }
  refuseGuessable(bytes);
  const fingerprint = createHmac('sha256', bytes).update('mayfly kek fingerprint').digest();
  return {
    fingerprint: fingerprint.subarray(0, FINGERPRINT_BYTES).toString('base64url'),
    keyObject: createSecretKey(bytes),
  };
}

/** Zeros, a counted sequence, a passphrase, an example out of some manual: none of them keeps a secret. */
function refuseGuessable(bytes: Buffer): void {
  const isText = bytes.every((byte) => byte >= 0x20 && byte < 0x7f);
  const steps = new Set(bytes.subarray(1).map((byte, index) => byte - (bytes[index] ?? 0)));
  if (isText || steps.size === 1 || new Set(bytes).size < MIN_DISTINCT_BYTES) {
    throw new KeyRingError(
      'This key-encryption key was not drawn at random (it is text, a sequence or mostly one byte) and would be ' +
        'guessed. Make one with: mayfly keys new-kek',
    );
  }
}
