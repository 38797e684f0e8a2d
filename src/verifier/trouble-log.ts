/** Says once that the broker cannot be asked and once that it can again; a flood of refusals is no flood of lines. */
import type { VerifierRefusal } from './refusal.ts';
import type { VerifierLog } from './verifier-options.ts';

export type TroubleLog = {
  refused(refusal: VerifierRefusal): void;
  over(): void;
};

const TOLD_BY_THE_BROKER = ['token_inactive', 'token_spent'];
const OF_THE_BROKER = [
  'broker_unreachable',
  'broker_refuses',
  'broker_answer_unusable',
  'questions_exhausted',
];

export function createTroubleLog(log: VerifierLog, issuer: string): TroubleLog {
  let current: string | null = null;
  const over = () => {
    if (current === null) return;
    current = null;
    log.info({ issuer }, 'the broker answers again');
  };
  return {
    over,
    refused({ reason, cause }) {
      if (TOLD_BY_THE_BROKER.includes(reason)) over();
      if (!OF_THE_BROKER.includes(reason) || reason === current) return;
      current = reason;
      log.warn({ issuer, reason, cause: codeOf(cause) }, 'the broker cannot be asked; requests are refused');
    },
  };
}

/** `ECONNREFUSED`, `TimeoutError`, `HTTP 401`: names only, since messages may quote what was sent. */
function codeOf(cause: unknown): string | undefined {
  if (!(cause instanceof Error)) return undefined;
  const code = cause.cause instanceof Error && 'code' in cause.cause ? cause.cause.code : undefined;
  return typeof code === 'string' ? code : cause.name;
}
