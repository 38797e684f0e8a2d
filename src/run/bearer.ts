/** Who may ask the local endpoint: whoever sends the secret of the run as a bearer's (RFC 6750 §2.1). */
import { refuseHere } from './refused-here.ts';
import { isSame } from './secret.ts';

/** What stands after `Bearer `; empty for anything else. */
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
