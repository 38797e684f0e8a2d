/** Secrets of one run: 256 bits each, compared in a time that says nothing of them. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { refuseHere } from './refused-here.ts';

const SECRET_BYTES = 32;

export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

export function isSame(given: string, expected: string): boolean {
  return timingSafeEqual(digestOf(given), digestOf(expected));
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** What stands after `Bearer ` (RFC 6750 §2.1); empty for anything else. */
export function bearerOf(authorization: string | undefined): string {
  return /^Bearer ([\w-]+)$/i.exec(authorization ?? '')?.[1] ?? '';
}

/** @param authorization the header as it came; undefined when there was none @throws {RefusedHere} */
export type Guard = (authorization: string | undefined) => void;

/** Whoever can open a Unix socket may ask: its folder and mode are the guard. */
export const anybodyHere: Guard = () => undefined;

/** @param secret undefined while nobody was given one */
export function requireBearer(secret: () => string | undefined): Guard {
  return (authorization) => {
    const expected = secret();
    if (expected !== undefined && isSame(bearerOf(authorization), expected)) return;
    refuseHere('secret_needed', 'Send Authorization: Bearer with what bootstrap answered.', {
      'WWW-Authenticate': 'Bearer',
    });
  };
}
