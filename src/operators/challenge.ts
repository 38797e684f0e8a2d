/**
 * The challenge where the broker itself is the resource server (RFC 6750 §3, RFC 9449 §7.1): one, the scheme first, every value quoted, since
 * deployed clients read it with regular expressions.
 */
import { Refusal } from '../errors/refusal.ts';
import { REFUSAL_CODES, type RefusalCode } from '../errors/refusal-codes.ts';
import { plain } from '../http/refusal-answer.ts';
import { JWS_ALGORITHMS } from '../jws/jwk.ts';

export type Challenged = {
  /** Everything that the operation needs: the complete `scope` (RFC 6750 §3.1). */
  action: string;
  resourceMetadataUrl: string;
};

const CHALLENGED: readonly RefusalCode[] = [
  'credentials_missing',
  'invalid_token',
  'invalid_dpop_proof',
  'use_dpop_nonce',
  'insufficient_scope',
];

/** The same refusal as whoever presented a token is told it. */
export function withChallenge(refusal: Refusal, context: Challenged): Refusal {
  const { reason, code, hint, headers, cause } = refusal;
  const challenge = CHALLENGED.includes(code) ? { 'WWW-Authenticate': challengeOf(refusal, context) } : {};
  return new Refusal(reason, {
    ...(hint === undefined ? {} : { hint }),
    headers: { ...headers, ...challenge },
    withToken: true,
    cause,
  });
}

/** RFC 6750 §3.1: a request without credentials is told no error. */
function challengeOf({ code, hint }: Refusal, { action, resourceMetadataUrl }: Challenged): string {
  const told = code !== 'credentials_missing';
  const parameters = {
    ...(told ? { error: REFUSAL_CODES[code].error } : {}),
    ...(told && hint !== undefined ? { error_description: hint } : {}),
    scope: action,
    algs: JWS_ALGORITHMS.join(' '),
    resource_metadata: resourceMetadataUrl,
  };
  return `DPoP ${Object.entries(parameters)
    .map(([name, value]) => `${name}="${plain(value)}"`)
    .join(', ')}`;
}
