/** Says once that the broker cannot be asked and once that it can again; a flood of refusals is no flood of lines. */
import type { Alarm } from './known-ledger.ts';
import { VerifierRefusal } from './refusal.ts';
import type { VerifierLog } from './verifier-options.ts';

export type TroubleLog = {
  /** What a question to the broker ended with. */
  failed(error: unknown): void;
  over(): void;
  /** What brokers said contradicts what they said before; null when it does not. */
  alarm(alarm: Alarm | null): void;
  /** One broker speaks of another ledger; null when it speaks of ours again. */
  distrusted(broker: string, reason: string | null): void;
};

const OF_THE_BROKER = [
  'broker_unreachable',
  'broker_refuses',
  'broker_answer_unusable',
  'questions_exhausted',
  'clock_differs',
  'broker_behind',
];

export function createTroubleLog(log: VerifierLog, issuer: string): TroubleLog {
  let current: string | null = null;
  let currentAlarm: Alarm | null = null;
  return {
    over() {
      if (current === null) return;
      current = null;
      log.info({ issuer }, 'the broker answers again');
    },
    failed(error) {
      const reason = error instanceof VerifierRefusal ? error.reason : 'defect';
      if (reason === current || !(reason === 'defect' || OF_THE_BROKER.includes(reason))) return;
      current = reason;
      const cause = codeOf(error instanceof VerifierRefusal ? error.cause : error);
      log.warn({ issuer, reason, cause }, 'the broker cannot be asked; requests are refused once leases end');
    },
    distrusted(broker, reason) {
      if (reason === null) log.info({ issuer, broker }, 'this broker speaks of the same ledger again');
      else log.warn({ issuer, broker, reason }, 'this broker speaks of another ledger; others are asked');
    },
    alarm(alarm) {
      if (alarm === currentAlarm) return;
      currentAlarm = alarm;
      if (alarm === null) log.info({ issuer }, 'the ledger has a new generation; requests are decided again');
      else
        log.warn(
          { issuer, reason: alarm },
          'the ledger contradicts what it said before; requests are refused',
        );
    },
  };
}

/** `ECONNREFUSED`, `TimeoutError`, `HTTP 401`: names only, since messages may quote what was sent. */
function codeOf(cause: unknown): string | undefined {
  if (!(cause instanceof Error)) return undefined;
  const code = cause.cause instanceof Error && 'code' in cause.cause ? cause.cause.code : undefined;
  return typeof code === 'string' ? code : cause.name;
}
