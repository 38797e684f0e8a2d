/** What the local endpoint answers: JSON, or a problem (RFC 9457) with a stable code and a hint. */
import { AgentError } from '../sdk/agent-error.ts';
import { agentProblem, type Problem, problemBody } from './agent-problem.ts';
import { LOCAL_CODES, RefusedHere } from './refused-here.ts';

export type LocalAnswer = {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: Readonly<Record<string, unknown>>;
};

export function answerOf(body: Readonly<Record<string, unknown>>): LocalAnswer {
  return { status: 200, headers: { 'Content-Type': 'application/json' }, body };
}

/** Never a 500, and of what nobody expected not a word: it could hold anything. */
export function problemOf(error: unknown): LocalAnswer {
  if (error instanceof RefusedHere) return localProblem(error);
  if (error instanceof AgentError) return toldOf(error);
  return problem({ status: 502, members: { code: 'run_failed', title: 'mayfly run could not do that' } });
}

function localProblem({ code, hint, headers }: RefusedHere): LocalAnswer {
  const { status, title } = LOCAL_CODES[code];
  return problem({ status, members: { code, title, hint } }, headers);
}

function toldOf(error: AgentError): LocalAnswer {
  const { retryAfterSeconds, ...told } = agentProblem(error);
  return problem(told, retryAfterSeconds === undefined ? {} : { 'Retry-After': String(retryAfterSeconds) });
}

function problem(
  told: Pick<Problem, 'status' | 'members'>,
  headers: Readonly<Record<string, string>> = {},
): LocalAnswer {
  return {
    status: told.status,
    headers: { ...headers, 'Content-Type': 'application/problem+json' },
    body: problemBody(told),
  };
}
