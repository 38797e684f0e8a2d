/**
 * A refusal is an expected answer: somebody asked for something that they may not have, and is told so with a
 * stable code, the rule that refused and what would fix it. Whatever is thrown and is no Refusal is a defect of
 * mayfly and leaves as an opaque 500.
 *
 * Two closed tables keep the two audiences apart. A *reason* is what happened, for the audit log. A *code* is
 * what the caller is told; several reasons share one code where the difference would help an attacker (an
 * unknown client and a wrong signature are both `invalid_client`, in the same words).
 */
import { ADVICE, REFUSAL_CODES, type RefusalCode } from './refusal-codes.ts';
import { REFUSAL_REASONS, type RefusalReason } from './refusal-reasons.ts';

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
