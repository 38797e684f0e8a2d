/**
 * An access token as a resource server reads it: RFC 9068 §4 step by step, narrowed to what mayfly mints. One
 * algorithm, one audience, bound to a key (RFC 9449 §6.1), and with the members by which the ledger can name it.
 * Narrow on purpose: each thing that is accepted and never minted is only of use to somebody else.
 */
import { isIdentifier } from '../dpop/replay-key.ts';
import { isJsonObject } from '../json/strict-json.ts';
import {
  type HeaderCache,
  JwsError,
  readCompactJws,
  type UnverifiedJwt,
  verifySignature,
} from '../jws/compact-jws.ts';
import type { VerificationKey } from '../jws/jwk.ts';
import { refuse } from './refusal.ts';

export type TokenClaims = {
  iss: string;
  /** The agent's internal id. */
  sub: string;
  /** The agent's name. */
  client_id: string;
  aud: string;
  /** NumericDate, as is `exp`. */
  iat: number;
  exp: number;
  jti: string;
  /** Names of actions, separated by single spaces. */
  scope: string;
  cnf: { jkt: string };
  /** The session. */
  sid: string;
  zone: string;
  epoch: number;
  authorization_details?: unknown;
};

export const MAX_TOKEN_LENGTH = 16_384;

/** What mayfly mints at most; a longer one was not made by its rules. */
const MAX_LIFETIME_SECONDS = 900;

/** How far this machine's clock may be behind the broker's. `exp` gets no such grace. */
const MAX_AHEAD_SECONDS = 30;

const ALGORITHMS: readonly string[] = ['EdDSA', 'Ed25519'];

export type UnverifiedToken = UnverifiedJwt & { kid: string };

/**
 * RFC 9068 §4 steps 1 and 5, RFC 8725 §3.1 and §3.11.
 * @param headers those that were read before: a broker writes few
 * @throws {VerifierRefusal}
 */
export function readToken(text: string, headers?: HeaderCache): UnverifiedToken {
  const jwt = readJwt(text, headers);
  const { typ, alg, kid } = jwt.header;
  if (typeof typ !== 'string' || !/^(?:application\/)?at\+jwt$/i.test(typ)) refuse('token_type');
  if (!ALGORITHMS.includes(alg)) refuse('token_algorithm');
  if (!isIdentifier(kid)) refuse('token_key_unknown');
  return { ...jwt, kid };
}

/** RFC 9068 §4 steps 3 to 6. @param now NumericDate @throws {VerifierRefusal} */
export function checkToken(
  token: UnverifiedToken,
  { key, issuer, resource, now }: { key: VerificationKey; issuer: string; resource: string; now: number },
): TokenClaims {
  if (!verifySignature(token, key)) refuse('token_signature');
  const { claims } = token;
  if (claims.iss !== issuer) refuse('token_issuer');
  if (claims.aud !== resource) refuse('token_audience');
  if (!isJsonObject(claims.cnf) || typeof claims.cnf.jkt !== 'string') refuse('token_unbound');
  if (!hasTexts(claims) || !Number.isSafeInteger(claims.epoch)) refuse('token_claims');
  checkTime(claims, now);
  return claims as TokenClaims;
}

/** Asked again after the last wait, so that a slow answer never stretches a token (L16). */
export function hasExpired({ exp }: { exp: number }, now: number): boolean {
  return exp <= now;
}

function checkTime({ iat, exp }: Record<string, unknown>, now: number): void {
  if (!Number.isSafeInteger(iat) || !Number.isSafeInteger(exp)) refuse('token_claims');
  const [issuedAt, expiresAt] = [iat as number, exp as number];
  const isPlausible = issuedAt <= now + MAX_AHEAD_SECONDS && expiresAt - issuedAt <= MAX_LIFETIME_SECONDS;
  if (!isPlausible || hasExpired({ exp: expiresAt }, now)) refuse('token_time');
}

function hasTexts(claims: Record<string, unknown>): boolean {
  return ['sub', 'client_id', 'jti', 'scope', 'sid', 'zone'].every(
    (name) => typeof claims[name] === 'string',
  );
}

function readJwt(text: string, headers: HeaderCache | undefined): UnverifiedJwt {
  try {
    return readCompactJws(text, MAX_TOKEN_LENGTH, { headers });
  } catch (error) {
    if (error instanceof JwsError) refuse('token_malformed', { cause: error });
    throw error;
  }
}
