/**
 * Why the agent of a run did not get what its program needs, as a problem (RFC 9457): one table, whether the program
 * asked the local endpoint or the proxy. Only what may change by itself is said to be asked again.
 */
import type { AgentError, AgentErrorCode } from '../sdk/agent-error.ts';

export type Problem = {
  status: number;
  /** As RFC 9209 §2.3 names it. */
  error: string;
  retryAfterSeconds?: number | undefined;
  members: { code: string; title: string; hint?: string | undefined } & Readonly<Record<string, unknown>>;
};

const TOLD: Readonly<Record<AgentErrorCode, Pick<Problem, 'status' | 'error'>>> = {
  denied: { status: 403, error: 'http_request_denied' },
  approval_pending: { status: 403, error: 'http_request_denied' },
  stopped: { status: 403, error: 'http_request_denied' },
  throttled: { status: 429, error: 'http_request_denied' },
  unavailable: { status: 503, error: 'destination_unavailable' },
  closed: { status: 503, error: 'proxy_internal_response' },
  misconfigured: { status: 502, error: 'proxy_configuration_error' },
  clock: { status: 502, error: 'proxy_configuration_error' },
  protocol: { status: 502, error: 'http_protocol_error' },
};

/** Where the broker did not say. */
const RETRY_AFTER_SECONDS = 5;

export function agentProblem(error: AgentError): Problem {
  const { code, message, hint, brokerCode, requestId, approvalId } = error;
  const told = TOLD[code];
  const mayChange = told.status === 429 || told.status === 503;
  const seconds = Math.max(1, Math.ceil(error.retryAfterSeconds ?? RETRY_AFTER_SECONDS));
  return {
    ...told,
    retryAfterSeconds: mayChange ? seconds : undefined,
    members: {
      code,
      title: message,
      hint,
      broker_code: brokerCode,
      request_id: requestId,
      approval_id: approvalId,
    },
  };
}

export function problemBody({ status, members }: Pick<Problem, 'status' | 'members'>) {
  return { type: `urn:mayfly:problem:${members.code}`, status, ...members };
}
