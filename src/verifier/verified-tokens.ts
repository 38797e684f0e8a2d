/**
 * Tokens whose signature and claims were checked, remembered while they live: an agent uses one for minutes, and its
 * bytes do not change. What can change is asked each time: whether the key is still the broker's, the time, and the
 * ledger. A proof is never remembered, that is its point.
 */
import { createRecent } from '../bounds/recent.ts';
import type { HeaderCache } from '../jws/compact-jws.ts';
import type { VerificationKey } from '../jws/jwk.ts';
import { ledgerKey } from '../revocations/revocation.ts';
import { type Revocable, tokenKeys } from '../revocations/rule.ts';
import type { KeySet } from './key-set.ts';
import { refuse } from './refusal.ts';
import { checkToken, hasExpired, readToken, type TokenClaims } from './token.ts';

export type VerifiedToken = {
  claims: TokenClaims;
  actions: ReadonlySet<string>;
  /** All by which the ledger can name it. */
  subject: Revocable;
};

export type VerifiedTokens = {
  /**
   * @param hash SHA-256 of the text, by which it is remembered
   * @param now NumericDate
   * @throws {VerifierRefusal} `invalid_token`, or 503 when the keys cannot be had
   */
  check(text: string, hash: string, now: () => number): Promise<VerifiedToken>;
};

export const DEFAULT_MAX_TOKENS = 10_000;

/** One for each signing key; strangers write others. */
const MAX_HEADERS = 100;

export function createVerifiedTokens(options: {
  issuer: string;
  resource: string;
  keys: KeySet;
  maxTokens?: number;
}): VerifiedTokens {
  const { issuer, resource, keys, maxTokens = DEFAULT_MAX_TOKENS } = options;
  const recent = createRecent<VerifiedToken & { kid: string; key: VerificationKey }>(maxTokens);

  const headers: HeaderCache = createRecent(MAX_HEADERS);

  async function checkAnew(text: string, hash: string, now: () => number): Promise<VerifiedToken> {
    const unverified = readToken(text, headers);
    const { kid } = unverified;
    const key = (await keys.keyOf(kid)) ?? refuse('token_key_unknown');
    const claims = checkToken(unverified, { key, issuer, resource, now: now() });
    const token = {
      kid,
      key,
      claims,
      actions: new Set(claims.scope.split(' ')),
      subject: subjectOf(claims, kid),
    };
    recent.set(hash, token);
    return token;
  }

  return {
    async check(text, hash, now) {
      const known = recent.get(hash);
      if (known === undefined || (await keys.keyOf(known.kid)) !== known.key)
        return checkAnew(text, hash, now);
      if (hasExpired(known.claims, now())) refuse('token_time');
      return known;
    },
  };
}

function subjectOf(claims: TokenClaims, kid: string): Revocable {
  const {
    jti,
    sid: sessionId,
    client_id: clientId,
    sub: subject,
    zone,
    aud: resource,
    scope,
    epoch,
  } = claims;
  const actions = scope.split(' ');
  return {
    epoch,
    keys: new Set(tokenKeys({ jti, sessionId, clientId, subject, zone, resource, actions })),
    signingKey: ledgerKey({ kind: 'signing-key', id: kid }),
    exemptFromWide: false, // only what is for the issuer itself is, and that is no resource of a verifier (L4)
  };
}
