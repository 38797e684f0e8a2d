/**
 * The token and the proof of a request, out of its headers. One of each, or none: whatever could be read in two
 * ways is refused, never "the first wins" (RFC 6750 §2, RFC 9449 §4.3 item 1).
 */
import { MAX_PROOF_LENGTH } from '../dpop/proof.ts';
import { refuse } from './refusal.ts';
import { type ResourceRequest, valuesOf } from './resource-request.ts';
import { MAX_TOKEN_LENGTH } from './token.ts';

export type Credentials = { token: string; proof: string };

/** One space and a token68 (RFC 9110 §11.2), the whole value. */
const DPOP_CREDENTIALS = /^[Dd][Pp][Oo][Pp] ([A-Za-z0-9\-._~+/]+=*)$/;

/** Also `DPoP` and a tab, a comma or nothing: somebody tried, and is told so. */
const DPOP_SCHEME = /^dpop(?![!#$%&'*+\-.^_`|~0-9a-z])/i;
const BEARER_SCHEME = /^bearer(?![!#$%&'*+\-.^_`|~0-9a-z])/i;

/** @throws {VerifierRefusal} */
export function readCredentials(request: ResourceRequest): Credentials {
  const token = readToken(request);
  const [proof, ...more] = valuesOf(request, 'dpop');
  if (proof === undefined) {
    refuse('proof_missing', { hint: 'Send a DPoP proof (RFC 9449) made with the key of the token.' });
  }
  if (more.length > 0) refuse('proof_repeated', { hint: 'Send one DPoP header.' });
  if (proof.length > MAX_PROOF_LENGTH) refuse('proof_malformed', { hint: 'The proof is too long.' });
  return { token, proof };
}

function readToken(request: ResourceRequest): string {
  const [value, ...more] = valuesOf(request, 'authorization');
  if (more.length > 0) refuse('authorization_repeated', { hint: 'Send one Authorization header.' });
  if (value === undefined) refuse('authorization_missing');
  if (hasTokenInQuery(request.target)) {
    refuse('token_in_two_places', { hint: 'Send the token in the Authorization header only.' });
  }
  const token = value.length > MAX_TOKEN_LENGTH + 8 ? undefined : DPOP_CREDENTIALS.exec(value)?.[1];
  return token ?? refuseCredentials(value);
}

function refuseCredentials(value: string): never {
  // RFC 9449 §7.2: as a Bearer token it would be good for whoever found it.
  if (BEARER_SCHEME.test(value)) {
    refuse('token_sent_as_bearer', {
      hint: 'Tokens here are bound to a key: use the scheme DPoP and a proof.',
    });
  }
  if (!DPOP_SCHEME.test(value)) refuse('authorization_missing');
  return refuse('authorization_malformed', { hint: 'The form is: DPoP, one space, the token.' });
}

/** RFC 6750 §2.3. By itself it counts as no token at all (OAuth 2.1 §5.1). */
function hasTokenInQuery(target: string): boolean {
  const start = target.indexOf('?');
  return start >= 0 && new URLSearchParams(target.slice(start + 1)).has('access_token');
}
