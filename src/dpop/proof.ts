/**
 * A DPoP proof (RFC 9449 §4): a JWT by which whoever sends a request shows that it holds a key, for this method
 * and this URL, just now. This file is pure: it says whether a proof is good in itself. That it is used only
 * once is decided where it is spent, by the row that it inserts.
 */
import { hash } from 'node:crypto';
import { refuse } from '../errors/refusal.ts';
import {
  type HeaderCache,
  JwsError,
  readCompactJws,
  type UnverifiedJwt,
  verifySignature,
} from '../jws/compact-jws.ts';
import { JwkError, type KeyCache, parseVerificationKey, type VerificationKey } from '../jws/jwk.ts';
import { isIdentifier } from './replay-key.ts';
import { normaliseTarget } from './target-url.ts';

export type Proof = {
  /** RFC 7638 thumbprint of the proof's key. */
  jkt: string;
  jti: string;
  /** NumericDate; only means something when no server nonce tells the time. */
  issuedAt: number;
  nonce: string | undefined;
  /** base64url(SHA-256(access token)), required at a resource (RFC 9449 §4.3 item 12). */
  tokenHash: string | undefined;
};

export type ExpectedRequest = {
  method: string;
  /** {@link normaliseTarget} of the URL that this server is known by; never taken from the request's headers. */
  target: string;
};

/** What the proofs of one session have in common, read once. */
export type ProofCaches = { headers?: HeaderCache; keys?: KeyCache };

export const MAX_PROOF_LENGTH = 8_192;

/** A NumericDate with milliseconds in it, or of the year 5138, is a mistake. */
const MAX_NUMERIC_DATE = 99_999_999_999;

/**
 * Checks 2–9 of RFC 9449 §4.3, and `exp`/`nbf` when a client put them in.
 * @param now NumericDate
 * @throws {Refusal} `invalid_dpop_proof`
 */
export function checkProof(
  text: string,
  expected: ExpectedRequest,
  now: number,
  { headers, keys }: ProofCaches = {},
): Proof {
  const jwt = readProof(text, headers);
  if (jwt.header.typ !== 'dpop+jwt') refuse('proof_type', { hint: 'The typ of a DPoP proof is dpop+jwt.' });
  const key = keyOf(jwt, keys);
  if (!key.accepts(jwt.header.alg)) {
    refuse('proof_algorithm', {
      hint: 'Sign the proof with ES256 or Ed25519 and the key in its jwk header.',
    });
  }
  const { jti, htm, htu, iat, exp, nbf, nonce, ath } = jwt.claims;
  if (!isIdentifier(jti)) refuse('proof_identifier', { hint: 'jti is 1 to 256 printable ASCII characters.' });
  if (htm !== expected.method) refuse('proof_method', { hint: 'htm is the method of this request.' });
  if (htu !== expected.target && normaliseTarget(htu) !== expected.target) {
    refuse('proof_url', { hint: 'htu is the URL of this request without query and fragment.' });
  }
  if (!isNumericDate(iat)) refuse('proof_time', { hint: 'iat is whole seconds since 1970.' });
  if (exp !== undefined && !(isNumericDate(exp) && exp > now))
    refuse('proof_time', { hint: 'exp has passed.' });
  if (nbf !== undefined && !(isNumericDate(nbf) && nbf <= now))
    refuse('proof_time', { hint: 'nbf is ahead.' });
  if (!isOptionalString(nonce) || !isOptionalString(ath)) {
    refuse('proof_malformed', { hint: 'nonce and ath are strings.' });
  }
  if (!verifySignature(jwt, key))
    refuse('proof_signature', { hint: 'The signature does not fit the jwk header.' });
  return { jkt: key.thumbprint, jti, issuedAt: iat, nonce, tokenHash: ath };
}

/** `ath` of RFC 9449 §4.2: over the token exactly as it was sent. */
export function tokenHash(accessToken: string): string {
  return hash('sha256', accessToken, 'base64url');
}

function readProof(text: string, headers: HeaderCache | undefined): UnverifiedJwt {
  try {
    return readCompactJws(text, MAX_PROOF_LENGTH, { headers });
  } catch (error) {
    if (error instanceof JwsError)
      refuse('proof_malformed', { hint: 'A DPoP proof is one JWT.', cause: error });
    throw error;
  }
}

/** Check 7: a public key, in the header, of a kind that mayfly speaks. */
function keyOf(jwt: UnverifiedJwt, keys: KeyCache | undefined): VerificationKey {
  try {
    return parseVerificationKey(jwt.header.jwk, keys);
  } catch (error) {
    if (error instanceof JwkError) refuse('proof_key', { hint: `jwk: ${error.message}.`, cause: error });
    throw error;
  }
}

function isNumericDate(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= MAX_NUMERIC_DATE;
}

function isOptionalString(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string';
}
