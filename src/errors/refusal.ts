/**
 * A refusal is an expected answer: somebody asked for something that they may not have, and is told so with a
 * stable code, the rule that refused and what would fix it. Whatever is thrown and is no Refusal is a defect of
 * mayfly and leaves as an opaque 500.
 *
 * Two closed tables keep the two audiences apart. A *reason* is what happened, for the audit log. A *code* is
 * what the caller is told; several reasons share one code where the difference would help an attacker (an
 * unknown client and a wrong signature are both `invalid_client`, in the same words).
 */

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
} as const satisfies Record<
  string,
  { status: number; statusWithToken?: number; error: string; title: string }
>;

export type RefusalCode = keyof typeof REFUSAL_CODES;

/** What to do about it, where whoever refuses has nothing better to say; the same whatever the reason was. */
const ADVICE: Partial<Record<RefusalCode, string>> = {
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
};

/** Why something was refused, as the audit log says it: a closed set. */
export const REFUSAL_REASONS = {
  // the shape of the request
  request_malformed: 'invalid_request',
  parameter_missing: 'invalid_request',
  parameter_repeated: 'invalid_request',
  parameter_invalid: 'invalid_request',
  header_repeated: 'invalid_request',
  body_too_large: 'content_too_large',
  media_type_unsupported: 'unsupported_media_type',
  route_unknown: 'not_found',
  method_unsupported: 'method_not_allowed',
  grant_type_unsupported: 'unsupported_grant_type',
  response_type_unsupported: 'unsupported_response_type',
  // who asks
  client_authentication_missing: 'invalid_client',
  client_authentication_repeated: 'invalid_request',
  client_authentication_method: 'invalid_client',
  client_unknown: 'invalid_client',
  assertion_malformed: 'invalid_client',
  assertion_type: 'invalid_client',
  assertion_algorithm: 'invalid_client',
  assertion_key: 'invalid_client',
  assertion_signature: 'invalid_client',
  assertion_subject: 'invalid_client',
  assertion_audience: 'invalid_client',
  assertion_lifetime: 'invalid_client',
  assertion_identifier: 'invalid_client',
  assertion_replayed: 'invalid_client',
  assertion_forgotten: 'invalid_client',
  client_is_no_agent: 'unauthorized_client',
  client_is_no_resource: 'unauthorized_client',
  // proof of possession
  proof_missing: 'invalid_dpop_proof',
  proof_repeated: 'invalid_dpop_proof',
  proof_malformed: 'invalid_dpop_proof',
  proof_type: 'invalid_dpop_proof',
  proof_algorithm: 'invalid_dpop_proof',
  proof_key: 'invalid_dpop_proof',
  proof_signature: 'invalid_dpop_proof',
  proof_identifier: 'invalid_dpop_proof',
  proof_method: 'invalid_dpop_proof',
  proof_url: 'invalid_dpop_proof',
  proof_time: 'invalid_dpop_proof',
  proof_replayed: 'invalid_dpop_proof',
  proof_nonce_missing: 'use_dpop_nonce',
  proof_nonce_stale: 'use_dpop_nonce',
  // what is asked for
  scope_malformed: 'invalid_scope',
  scope_missing: 'invalid_scope',
  action_not_granted: 'invalid_scope',
  action_needs_request_token: 'invalid_scope',
  action_needs_approval: 'approval_required',
  resource_malformed: 'invalid_target',
  resource_unknown: 'invalid_target',
  resource_ambiguous: 'invalid_target',
  resource_mismatch: 'invalid_target',
  authorization_details_malformed: 'invalid_authorization_details',
  // the session and the ledger
  session_expired: 'session_ended',
  session_revoked: 'session_ended',
  standing_revocation: 'agent_stopped',
  // tokens that come back
  token_not_ours: 'token_unknown',
  token_already_spent: 'token_spent',
  token_expired_or_revoked: 'token_dead',
  token_of_another_client: 'invalid_request',
  // tokens that are presented for access
  authorization_missing: 'credentials_missing',
  authorization_malformed: 'invalid_token',
  token_sent_as_bearer: 'invalid_token',
  token_unreadable: 'invalid_token',
  token_audience: 'invalid_token',
  token_bound_to_another_key: 'invalid_token',
  token_inactive: 'invalid_token',
  proof_token_hash: 'invalid_dpop_proof',
  action_not_covered: 'insufficient_scope',
  // AWS credentials
  arguments_not_accepted: 'invalid_request',
  call_differs: 'invalid_token',
  aws_refused: 'temporarily_unavailable',
  aws_unavailable: 'temporarily_unavailable',
  // what is managed
  session_not_found: 'not_found',
  checkpoint_missing: 'checkpoint_missing',
  tile_not_found: 'not_found',
  entry_not_found: 'not_found',
  entry_text_dropped: 'not_found',
  token_not_found: 'not_found',
  agent_not_found: 'not_found',
  signing_key_not_found: 'not_found',
  nothing_quarantined: 'nothing_to_release',
  idempotency_key_of_another_request: 'idempotency_key_reused',
  // verifiers
  verifier_closed: 'verifier_refused',
  verifier_of_another_resource: 'verifier_refused',
  // the kill switch
  kill_target_unknown: 'invalid_request',
  kill_switch_not_found: 'not_found',
  own_kill_switch: 'another_person_needed',
  // limits and outages
  source_rate: 'rate_limited',
  client_rate: 'rate_limited',
  queue_full: 'temporarily_unavailable',
  streams_too_many: 'temporarily_unavailable',
  database_replaced: 'temporarily_unavailable',
  database_unavailable: 'temporarily_unavailable',
  replication_unknown: 'temporarily_unavailable',
  signing_key_unavailable: 'temporarily_unavailable',
  drill_missed: 'temporarily_unavailable',
  catalogue_differs: 'catalogue_differs',
} as const satisfies Record<string, RefusalCode>;

export type RefusalReason = keyof typeof REFUSAL_REASONS;

export type RefusalOptions = {
  /**
   * One sentence for the caller: what was expected and what to do. Never a secret, never an echo of input. What its
   * code says by itself when absent.
   */
  hint?: string;
  /** Header fields that the answer must carry, e.g. `Retry-After` or `Allow`. */
  headers?: Readonly<Record<string, string>>;
  /** True where an access token was presented: some codes have another status there. */
  withToken?: boolean;
  cause?: unknown;
};

const RETRY_AFTER_SECONDS = '1';

export class Refusal extends Error {
  readonly reason: RefusalReason;
  readonly code: RefusalCode;
  readonly status: number;
  readonly hint: string | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(reason: RefusalReason, { hint, headers = {}, withToken = false, cause }: RefusalOptions = {}) {
    const code = REFUSAL_REASONS[reason];
    super(REFUSAL_CODES[code].title, cause === undefined ? undefined : { cause });
    this.name = 'Refusal';
    this.reason = reason;
    this.code = code;
    this.status = statusOf(code, withToken);
    this.hint = hint ?? ADVICE[code];
    const mustRetryLater = this.status === 429 || this.status === 503;
    this.headers = mustRetryLater ? { 'Retry-After': RETRY_AFTER_SECONDS, ...headers } : headers;
  }
}

function statusOf(code: RefusalCode, withToken: boolean): number {
  const { status, statusWithToken = status }: { status: number; statusWithToken?: number } =
    REFUSAL_CODES[code];
  return withToken ? statusWithToken : status;
}

/** Throws the refusal: `throw` as an expression. */
export function refuse(reason: RefusalReason, options?: RefusalOptions): never {
  throw new Refusal(reason, options);
}
