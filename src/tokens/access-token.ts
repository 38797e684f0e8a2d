/**
 * An access token: a JWT of RFC 9068 that names its audience, its actions, the key it is bound to (RFC 9449 §6.1)
 * and what the ledger needs to kill it: session, client, zone and the epoch at which it was minted.
 */
import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { JwsError, readCompactJws, signCompactJws, verifySignature } from '../jws/compact-jws.ts';
import type { VerificationKey } from '../jws/jwk.ts';
import type { Call } from './call.ts';

export const TOKEN_TYPE = 'at+jwt';
export const MAX_TOKEN_LENGTH = 16_384;

export type TokenSigner = { kid: string; privateKey: KeyObject; encodedHeader: string };

const numericDate = z.int().positive();

const claimsSchema = z.object({
  iss: z.string(),
  /** The agent's internal id; a re-created name has another. */
  sub: z.string(),
  client_id: z.string(),
  aud: z.string(),
  iat: numericDate,
  exp: numericDate,
  jti: z.string(),
  scope: z.string(),
  cnf: z.object({ jkt: z.string() }),
  sid: z.string(),
  zone: z.string(),
  epoch: z.int().nonnegative(),
  authorization_details: z.array(z.record(z.string(), z.unknown())).optional(),
});

export type AccessTokenClaims = Omit<z.infer<typeof claimsSchema>, 'authorization_details'> & {
  authorization_details?: readonly (Call | Record<string, unknown>)[] | undefined;
};

export function signAccessToken(claims: AccessTokenClaims, signer: TokenSigner): string {
  return signCompactJws(signer.encodedHeader, claims, signer.privateKey);
}

/**
 * The claims of a token that this broker's ring signed, expired or not; null for every other text. Whether it is
 * alive is for the database to say.
 */
export function readOwnToken(
  text: string,
  { issuer, keyOf }: { issuer: string; keyOf: (kid: string) => VerificationKey | null },
): (AccessTokenClaims & { kid: string }) | null {
  try {
    const jwt = readCompactJws(text, MAX_TOKEN_LENGTH);
    const { kid, typ } = jwt.header;
    const key = typeof kid === 'string' && typ === TOKEN_TYPE ? keyOf(kid) : null;
    if (key === null || !verifySignature(jwt, key) || jwt.claims.iss !== issuer) return null;
    return { ...claimsSchema.parse(jwt.claims), kid: kid as string };
  } catch (error) {
    if (error instanceof JwsError) return null;
    throw error;
  }
}
