/**
 * Why a request was not let in. As on the broker's side there are two closed tables: a *reason* is what happened,
 * for the resource server's own log; a *code* is what the caller is told. A token that expired, that was revoked
 * or that nobody ever issued is one code in the same words, so that a found token cannot be tested for life.
 */
import type { RefusalReason as ProofReason } from '../errors/refusal-reasons.ts';

/** `error` is the one of the challenge (RFC 6750 §3.1, RFC 9449 §7.1); null where the challenge names none. */
export const REFUSAL_CODES = {
  credentials_missing: { status: 401, error: null, title: 'An access token is needed here' },
  invalid_request: { status: 400, error: 'invalid_request', title: 'The request has more than one reading' },
  invalid_token: {
    status: 401,
    error: 'invalid_token',
    title: 'The access token is not good for this request',
    hint: 'It is unknown, expired, revoked, used or for somewhere else: ask the broker for a new one.',
  },
  invalid_dpop_proof: { status: 401, error: 'invalid_dpop_proof', title: 'The DPoP proof is not valid' },
  use_dpop_nonce: { status: 401, error: 'use_dpop_nonce', title: 'The DPoP proof needs a fresh nonce' },
  insufficient_scope: {
    status: 403,
    error: 'insufficient_scope',
    title: 'The access token does not cover this action',
  },
  too_many_requests: { status: 429, error: null, title: 'Too many requests of one key' },
  temporarily_unavailable: {
    status: 503,
    error: null,
    title: 'It cannot be decided now whether this token is alive, so it is refused',
  },
} as const satisfies Record<string, { status: number; error: string | null; title: string; hint?: string }>;

export type RefusalCode = keyof typeof REFUSAL_CODES;

const REASONS = {
  // what came in has two readings, or none
  authorization_repeated: 'invalid_request',
  token_in_two_places: 'invalid_request',
  target_malformed: 'invalid_request',
  arguments_unreadable: 'invalid_request',
  // the token
  authorization_missing: 'credentials_missing',
  authorization_malformed: 'invalid_token',
  token_sent_as_bearer: 'invalid_token',
  token_malformed: 'invalid_token',
  token_type: 'invalid_token',
  token_algorithm: 'invalid_token',
  token_key_unknown: 'invalid_token',
  token_signature: 'invalid_token',
  token_claims: 'invalid_token',
  token_issuer: 'invalid_token',
  token_audience: 'invalid_token',
  token_time: 'invalid_token',
  token_unbound: 'invalid_token',
  token_bound_to_another_key: 'invalid_token',
  token_inactive: 'invalid_token',
  token_spent: 'invalid_token',
  token_revoked: 'invalid_token',
  // the proof, beyond what the proof's own reasons say
  proof_missing: 'invalid_dpop_proof',
  proof_repeated: 'invalid_dpop_proof',
  proof_token_hash: 'invalid_dpop_proof',
  proof_replayed: 'invalid_dpop_proof',
  proof_forgotten: 'invalid_dpop_proof',
  // what it may be used for
  action_not_covered: 'insufficient_scope',
  request_token_needed: 'insufficient_scope',
  call_unreadable: 'invalid_token',
  call_of_another_action: 'invalid_token',
  call_of_another_method: 'invalid_token',
  call_of_another_url: 'invalid_token',
  call_of_other_arguments: 'invalid_token',
  // bounds and outages
  proofs_of_key_exhausted: 'too_many_requests',
  proof_memory_full: 'temporarily_unavailable',
  proof_store_unreachable: 'temporarily_unavailable',
  broker_unreachable: 'temporarily_unavailable',
  broker_refuses: 'temporarily_unavailable',
  broker_answer_unusable: 'temporarily_unavailable',
  questions_exhausted: 'temporarily_unavailable',
  broker_behind: 'temporarily_unavailable',
  // what is known of the ledger is not, or no longer, good enough
  lease_missing: 'temporarily_unavailable',
  lease_expired: 'temporarily_unavailable',
  clock_differs: 'temporarily_unavailable',
  ledger_forked: 'temporarily_unavailable',
  ledger_rolled_back: 'temporarily_unavailable',
  verifier_closed: 'temporarily_unavailable',
} as const satisfies Record<string, RefusalCode>;

type OwnReason = keyof typeof REASONS;

/** A closed set: of this table, or one of the `proof_…` reasons that the broker uses too. */
export type VerifierRefusalReason = OwnReason | Extract<ProofReason, `proof_${string}`>;

export type VerifierRefusalOptions = {
  /** One sentence for the caller, in words of ours: never anything that came in. */
  hint?: string;
  /** Whole seconds, for `Retry-After`. */
  retryAfterSeconds?: number;
  cause?: unknown;
};

/** Thrown within the verifier only; whoever uses it gets a {@link Refused}. */
export class VerifierRefusal extends Error {
  readonly reason: VerifierRefusalReason;
  readonly code: RefusalCode;
  readonly hint: string | undefined;
  readonly retryAfterSeconds: number;

  constructor(reason: VerifierRefusalReason, options: VerifierRefusalOptions = {}) {
    const code = codeOf(reason);
    super(REFUSAL_CODES[code].title, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'VerifierRefusal';
    this.reason = reason;
    this.code = code;
    this.hint = options.hint ?? (code === 'invalid_token' ? REFUSAL_CODES.invalid_token.hint : undefined);
    this.retryAfterSeconds = options.retryAfterSeconds ?? 1;
  }
}

export function refuse(reason: VerifierRefusalReason, options?: VerifierRefusalOptions): never {
  throw new VerifierRefusal(reason, options);
}

function codeOf(reason: VerifierRefusalReason): RefusalCode {
  if (reason in REASONS) return REASONS[reason as OwnReason];
  return reason === 'proof_nonce_missing' || reason === 'proof_nonce_stale'
    ? 'use_dpop_nonce'
    : 'invalid_dpop_proof';
}
