/**
 * What a caller can be told. `error` is the OAuth error (RFC 6749 §5.2 and its registry). `statusWithToken` is the
 * status where the caller presents an access token: there a proof that is not good, or lacks a nonce, is 401 with a
 * challenge (RFC 9449 §7.1, §9).
 */
export const REFUSAL_CODES = {
  invalid_request: { status: 400, error: 'invalid_request', title: 'The request is malformed' },
  invalid_client: { status: 401, error: 'invalid_client', title: 'Client authentication failed' },
  unauthorized_client: {
    status: 400,
    error: 'unauthorized_client',
    title: 'This client may not ask that here',
  },
  unsupported_grant_type: { status: 400, error: 'unsupported_grant_type', title: 'Grant type not supported' },
  unsupported_response_type: {
    status: 400,
    error: 'unsupported_response_type',
    title: 'People do not sign in at this endpoint yet',
  },
  invalid_scope: { status: 400, error: 'invalid_scope', title: 'An action is unknown or not granted' },
  invalid_target: {
    status: 400,
    error: 'invalid_target',
    title: 'The resource is unknown or not the one meant',
  },
  invalid_authorization_details: {
    status: 400,
    error: 'invalid_authorization_details',
    title: 'The authorization details are not acceptable',
  },
  invalid_dpop_proof: {
    status: 400,
    statusWithToken: 401,
    error: 'invalid_dpop_proof',
    title: 'The DPoP proof is not valid',
  },
  use_dpop_nonce: {
    status: 400,
    statusWithToken: 401,
    error: 'use_dpop_nonce',
    title: 'The DPoP proof needs a fresh nonce',
  },
  approval_required: {
    status: 400,
    error: 'approval_required',
    title: 'A person has to approve this action',
  },
  session_ended: { status: 400, error: 'invalid_grant', title: 'The session of this key has ended' },
  agent_stopped: { status: 400, error: 'access_denied', title: 'A standing revocation stops this request' },
  rate_limited: { status: 429, error: 'temporarily_unavailable', title: 'Too many requests' },
  temporarily_unavailable: {
    status: 503,
    error: 'temporarily_unavailable',
    title: 'mayfly cannot decide this now and refuses to guess',
  },
  catalogue_differs: {
    status: 503,
    error: 'temporarily_unavailable',
    title: 'The scopes/ of this broker are not the applied catalogue, so it mints nothing for agents',
  },
  not_found: { status: 404, error: 'invalid_request', title: 'Not found' },
  checkpoint_missing: { status: 404, error: 'invalid_request', title: 'No such head of the log is signed' },
  method_not_allowed: { status: 405, error: 'invalid_request', title: 'Method not allowed' },
  content_too_large: { status: 413, error: 'invalid_request', title: 'The request body is too large' },
  unsupported_media_type: { status: 415, error: 'invalid_request', title: 'The media type is not supported' },
  token_unknown: { status: 404, error: 'invalid_request', title: 'No such token for this resource' },
  token_spent: { status: 409, error: 'invalid_request', title: 'The token has been used' },
  token_dead: { status: 409, error: 'invalid_request', title: 'The token has expired or was revoked' },
  credentials_missing: { status: 401, error: 'invalid_token', title: 'An access token is needed here' },
  invalid_token: {
    status: 401,
    error: 'invalid_token',
    title: 'The access token is not good for this request',
  },
  insufficient_scope: {
    status: 403,
    error: 'insufficient_scope',
    title: 'The access token does not cover this action',
  },
  nothing_to_release: { status: 409, error: 'invalid_request', title: 'There is nothing to release' },
  idempotency_key_reused: {
    status: 422,
    error: 'invalid_request',
    title: 'The idempotency key was used for another request',
  },
  verifier_refused: {
    status: 409,
    error: 'invalid_request',
    title: 'This verifier instance gets no lease any more',
  },
  another_person_needed: {
    status: 403,
    error: 'access_denied',
    title: 'Whoever engaged the kill switch cannot release it',
  },
  aws_refused: { status: 409, error: 'access_denied', title: 'AWS does not give the role of this action' },
} as const satisfies Record<
  string,
  { status: number; statusWithToken?: number; error: string; title: string }
>;

export type RefusalCode = keyof typeof REFUSAL_CODES;

/** What to do about it, where whoever refuses has nothing better to say; the same whatever the reason was. */
export const ADVICE: Partial<Record<RefusalCode, string>> = {
  invalid_client:
    'Check the client id, the key, the audience (the issuer) and the clock; make a new assertion for each request.',
  session_ended: 'Open a new session with a new key.',
  agent_stopped: 'Ask the operators: it goes on when they release it.',
  rate_limited: 'Wait as long as Retry-After says.',
  temporarily_unavailable:
    'Wait as long as Retry-After says, then send it with a new assertion and a new proof.',
  catalogue_differs: 'Ask another broker, or wait as long as Retry-After says.',
  not_found: 'There is no such path, or nothing of that name: compare the spelling.',
  checkpoint_missing: 'Ask again in a second, or for fewer witnesses.',
  token_unknown: 'The token is not for one call at this resource.',
  token_spent: 'Do not act: the agent has to ask for a new token.',
  token_dead: 'Do not act: the agent has to ask for a new token.',
  credentials_missing: 'Send an access token for this action with the scheme DPoP, and a proof.',
  aws_refused: 'Asking again does not help: somebody has to look at the role, or at the catalogue.',
};
