/** What the local endpoint answers: JSON, or a problem (RFC 9457) with a stable code and a hint. */
import { AgentError, type AgentErrorCode } from '../sdk/agent-error.ts';
import { LOCAL_CODES, RefusedHere } from './refused-here.ts';

export type LocalAnswer = {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: Readonly<Record<string, unknown>>;
};

/** How an agent's error is told over HTTP: what will not change by asking again is no 5xx. */
const AGENT_STATUS: Readonly<Record<AgentErrorCode, number>> = {
  denied: 403,
  approval_pending: 403,
  stopped: 403,
  throttled: 429,
  unavailable: 503,
  closed: 503,
  misconfigured: 400,
  clock: 502,
  protocol: 502,
};

const RETRY_AFTER_SECONDS = 2;

export function answerOf(body: Readonly<Record<string, unknown>>): LocalAnswer {
  return { status: 200, headers: { 'Content-Type': 'application/json' }, body };
}

/** Never a 500, and of what nobody expected not a word: it could hold anything. */
export function problemOf(error: unknown): LocalAnswer {
  if (error instanceof RefusedHere) return localProblem(error);
  if (error instanceof AgentError) return agentProblem(error);
  return problem(502, { code: 'run_failed', title: 'mayfly run could not do that' });
}

function localProblem({ code, hint, headers }: RefusedHere): LocalAnswer {
  const { status, title } = LOCAL_CODES[code];
  return problem(status, { code, title, hint }, headers);
}

function agentProblem(error: AgentError): LocalAnswer {
  const { code, message, hint, brokerCode, requestId, approvalId } = error;
  const status = AGENT_STATUS[code];
  const waits = status === 429 || status === 503;
  const seconds = Math.max(1, Math.ceil(error.retryAfterSeconds ?? RETRY_AFTER_SECONDS));
  return problem(
    status,
    {
      code,
      title: message,
      hint,
      broker_code: brokerCode,
      request_id: requestId,
      approval_id: approvalId,
    },
    waits ? { 'Retry-After': String(seconds) } : {},
  );
}

function problem(
  status: number,
  { code, title, ...more }: { code: string; title: string } & Readonly<Record<string, unknown>>,
  headers: Readonly<Record<string, string>> = {},
): LocalAnswer {
  return {
    status,
    headers: { ...headers, 'Content-Type': 'application/problem+json' },
    body: { type: `urn:mayfly:problem:${code}`, title, status, code, ...more },
  };
}
