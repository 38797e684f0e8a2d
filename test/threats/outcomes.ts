/** The shorthand of the threat tables, and what each of them promises about the answer and about the database. */

export type Outcome =
  | 'OK'
  | 'INACT'
  | 'IR'
  | 'IG'
  | 'IS'
  | 'IT'
  | 'UG'
  | 'UC'
  | 'IC'
  | 'DP'
  | 'DN'
  | 'AD'
  | 'AR'
  | 'DENIED'
  | 'RATE'
  | '503'
  | '404'
  | '405'
  | '413'
  | '415'
  | 'SPENT'
  | 'DEAD'
  | 'UNKNOWN';

type Promised = {
  status: number;
  /** RFC 6749 `error`, or the `code` of problem+json. */
  error?: string;
  code?: string;
  /** Header fields that are there, each exactly once. */
  headers?: readonly string[];
};

export const OUTCOMES: Readonly<Record<Outcome, Promised>> = {
  OK: { status: 200 },
  INACT: { status: 200 },
  IR: { status: 400, error: 'invalid_request' },
  IG: { status: 400, error: 'invalid_grant' },
  IS: { status: 400, error: 'invalid_scope' },
  IT: { status: 400, error: 'invalid_target' },
  UG: { status: 400, error: 'unsupported_grant_type' },
  UC: { status: 400, error: 'unauthorized_client' },
  IC: { status: 401, error: 'invalid_client' },
  DP: { status: 400, error: 'invalid_dpop_proof' },
  DN: { status: 400, error: 'use_dpop_nonce', headers: ['dpop-nonce'] },
  AD: { status: 400, error: 'invalid_authorization_details' },
  AR: { status: 400, error: 'approval_required' },
  DENIED: { status: 400, error: 'access_denied' },
  RATE: { status: 429, error: 'temporarily_unavailable', code: 'rate_limited', headers: ['retry-after'] },
  '503': { status: 503, error: 'temporarily_unavailable', headers: ['retry-after'] },
  '404': { status: 404 },
  '405': { status: 405, headers: ['allow'] },
  '413': { status: 413 },
  '415': { status: 415 },
  SPENT: { status: 409, code: 'token_spent' },
  DEAD: { status: 409, code: 'token_dead' },
  UNKNOWN: { status: 404, code: 'token_unknown' },
};

/** How many rows a request adds. */
export type Rows = { sessions: number; tokens: number; spent: number; revocations: number; consumed: number };

export const NO_ROWS: Rows = { sessions: 0, tokens: 0, spent: 0, revocations: 0, consumed: 0 };
