/**
 * The token of a management request, out of its `Authorization` header. One way to send it, or none: what could be
 * read in two ways is refused (RFC 6750 §2). That each header came once has been seen to at the edge.
 */
import { refuse } from '../errors/refusal.ts';
import type { Call } from '../http/route.ts';

const MAX_TOKEN_LENGTH = 16_384;

/** One space and a token68 (RFC 9110 §11.2), the whole value. */
const DPOP_CREDENTIALS = /^dpop ([A-Za-z0-9\-._~+/]+=*)$/i;
const SCHEME = /^(dpop|bearer)(?![!#$%&'*+\-.^_`|~0-9a-z])/i;

/** @throws {Refusal} */
export function readAccessToken({ request, query }: Pick<Call, 'request' | 'query'>): string {
  const { authorization } = request.headers;
  if (authorization === undefined) refuse('authorization_missing');
  if (query.all('access_token').length > 0) {
    refuse('parameter_invalid', { hint: 'Send the token in the Authorization header only.' });
  }
  const scheme = SCHEME.exec(authorization)?.[1]?.toLowerCase();
  if (scheme === undefined) refuse('authorization_missing');
  // RFC 9449 §7.2: as a Bearer token it would be good for whoever found it.
  if (scheme === 'bearer') {
    refuse('token_sent_as_bearer', {
      hint: 'Tokens here are bound to a key: use the scheme DPoP and a proof.',
    });
  }
  const isShort = authorization.length <= MAX_TOKEN_LENGTH;
  const token = isShort ? DPOP_CREDENTIALS.exec(authorization)?.[1] : undefined;
  return token ?? refuse('authorization_malformed', { hint: 'The form is: DPoP, one space, the token.' });
}

/** @throws {Refusal} */
export function readProofHeader({ request }: Pick<Call, 'request'>): string {
  const { dpop } = request.headers;
  if (typeof dpop === 'string') return dpop;
  return refuse('proof_missing', { hint: 'Send a DPoP proof (RFC 9449) made with the key of the token.' });
}
