import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical-json.ts';

/**
 * base64url(SHA-256(canonical JSON)), 43 characters: how a call's arguments are named in a request token.
 * @throws {TypeError} for what has no canonical form
 */
export function canonicalDigest(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('base64url');
}
