/**
 * A client assertion (RFC 7523 §2.2, §3; draft-ietf-oauth-rfc7523bis §4; OpenID Connect Core §9): a JWT by which a
 * client shows that it holds a key that the catalogue declares for it. Pure: that an assertion is used only once
 * is decided where it is spent.
 *
 * The signature comes before every claim, so that the record says "bad signature" of a forgery and not whatever
 * the forger wrote into it.
 */
import { generateKeyPairSync } from 'node:crypto';
import { isIdentifier } from '../dpop/replay-key.ts';
import { refuse } from '../errors/refusal.ts';
import {
  type HeaderCache,
  JwsError,
  readCompactJws,
  type UnverifiedJwt,
  verifySignature,
} from '../jws/compact-jws.ts';
import { parseVerificationKey, type VerificationKey } from '../jws/jwk.ts';
import type { Client, ClientDirectory, ClientKey } from './client.ts';

export type Assertion = { client: Client; jti: string; expiresAt: number; kid: string | undefined };

export const MAX_ASSERTION_LENGTH = 8_192;
export const MAX_ASSERTION_LIFETIME_SECONDS = 300;

/** FAPI 2.0 Security Profile §5.3.2.1: accept up to 10 s in the future. */
const MAX_AHEAD_SECONDS = 10;

/** Absent and `JWT` for deployed clients; every other type belongs to another kind of JWT (RFC 8725 §3.11). */
const ACCEPTED_TYPES: readonly unknown[] = [undefined, 'JWT', 'client-authentication+jwt'];

/** An unknown client costs the same signature check as a known one, so that time tells nothing. */
const DECOYS: readonly VerificationKey[] = [
  generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  generateKeyPairSync('ed25519'),
].map(({ publicKey }) => parseVerificationKey(publicKey.export({ format: 'jwk' })));

/** @throws {Refusal} `invalid_client` */
export function readAssertion(text: string, headers?: HeaderCache): UnverifiedJwt {
  try {
    return readCompactJws(text, MAX_ASSERTION_LENGTH, { headers });
  } catch (error) {
    if (error instanceof JwsError) refuse('assertion_malformed', { cause: error });
    throw error;
  }
}

/** The client that an assertion claims to be from; `iss` and `sub` have to say the same (RFC 7523 §3 items 1–2). */
export function claimedClient(jwt: UnverifiedJwt): string | null {
  const { iss, sub } = jwt.claims;
  return typeof sub === 'string' && iss === sub ? sub : null;
}

/**
 * @param options.now NumericDate
 * @param options.forgottenUntil NumericDate: until then assertions may have been used and that was forgotten
 * @throws {Refusal} `invalid_client`, in the same words whatever was wrong
 */
export function checkAssertion(
  jwt: UnverifiedJwt,
  {
    clients,
    issuer,
    now,
    forgottenUntil = 0,
  }: { clients: ClientDirectory; issuer: string; now: number; forgottenUntil?: number },
): Assertion {
  if (!ACCEPTED_TYPES.includes(jwt.header.typ)) refuse('assertion_type');
  const { client, key } = senderOf(jwt, clients);
  if (jwt.claims.aud !== issuer) refuse('assertion_audience');
  const { jti } = jwt.claims;
  if (!isIdentifier(jti)) refuse('assertion_identifier');
  const expiresAt = checkLifetime(jwt.claims, now);
  if (beganAt(jwt.claims, expiresAt) < Math.floor(forgottenUntil)) {
    refuse('assertion_forgotten', {
      hint: 'It is from before the database was restored: make a new one, with iat.',
    });
  }
  return { client, jti, expiresAt, kid: key.kid };
}

/** Without `iat` it may be as old as its end allows. */
function beganAt({ iat }: Record<string, unknown>, expiresAt: number): number {
  return typeof iat === 'number' ? iat : expiresAt - MAX_ASSERTION_LIFETIME_SECONDS;
}

/**
 * The declared client that signed this JWT with a declared key of its own.
 * @throws {Refusal} `invalid_client`
 */
export function senderOf(jwt: UnverifiedJwt, clients: ClientDirectory): { client: Client; key: ClientKey } {
  const claimed = claimedClient(jwt);
  const client = claimed === null ? undefined : clients.get(claimed);
  const key = client === undefined ? null : chooseKey(client.keys, jwt);
  if (client === undefined || key === null) {
    verifyDecoy(jwt);
    refuse(
      claimed === null ? 'assertion_subject' : client === undefined ? 'client_unknown' : 'assertion_key',
    );
  }
  if (!verifySignature(jwt, key.key)) refuse('assertion_signature');
  return { client, key };
}

/** With `kid` the one key of that name; without, the only key that fits the algorithm. Never the first of several. */
function chooseKey(keys: readonly ClientKey[], jwt: UnverifiedJwt): ClientKey | null {
  const { kid, alg } = jwt.header;
  const fitting = keys.filter(
    ({ key, kid: name }) => key.accepts(alg) && (kid === undefined || kid === name),
  );
  return fitting.length === 1 ? (fitting[0] ?? null) : null;
}

function verifyDecoy(jwt: UnverifiedJwt): void {
  const decoy = DECOYS.find((key) => key.accepts(jwt.header.alg));
  if (decoy === undefined) refuse('assertion_algorithm');
  verifySignature(jwt, decoy);
}

/** `exp` is required, lies ahead, and ends a life of at most five minutes (RFC 7523 §3 items 4–6). */
function checkLifetime({ exp, iat, nbf }: Record<string, unknown>, now: number): number {
  if (!Number.isSafeInteger(exp) || !isOptionalDate(iat) || !isOptionalDate(nbf))
    refuse('assertion_lifetime');
  const expiresAt = exp as number;
  const startsAt = Math.max(iat ?? now, nbf ?? 0);
  if (expiresAt <= now || startsAt > now + MAX_AHEAD_SECONDS) refuse('assertion_lifetime');
  if (expiresAt - (iat ?? now) > MAX_ASSERTION_LIFETIME_SECONDS) refuse('assertion_lifetime');
  return expiresAt;
}

function isOptionalDate(value: unknown): value is number | undefined {
  return value === undefined || (Number.isSafeInteger(value) && (value as number) >= 0);
}
