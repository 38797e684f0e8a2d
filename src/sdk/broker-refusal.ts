/** What a broker's no means for an agent. */
import type { Moment } from './agent-clock.ts';
import { AgentError, type AgentErrorCode, tellable } from './agent-error.ts';

/** By the broker's own code (`code` of its answers), a closed set. */
const MEANINGS: Readonly<Record<string, AgentErrorCode>> = {
  invalid_scope: 'denied',
  invalid_target: 'denied',
  invalid_authorization_details: 'denied',
  unauthorized_client: 'denied',
  insufficient_scope: 'denied',
  aws_refused: 'denied',
  approval_required: 'approval_pending',
  session_ended: 'stopped',
  agent_stopped: 'stopped',
  rate_limited: 'throttled',
  invalid_client: 'misconfigured',
};

export type BrokerAnswer = {
  status: number;
  headers: Headers;
  json: Readonly<Record<string, unknown>>;
  /** When the request went out. */
  askedAt: Moment;
};

export function codeOf({ json }: BrokerAnswer): string {
  const code = json.code ?? json.error;
  return typeof code === 'string' && /^[a-z_]{1,64}$/.test(code) ? code : 'unknown';
}

/** @param retryAfterSeconds what it said about coming back, if that can be meant */
export function refusalOf(answer: BrokerAnswer, retryAfterSeconds: number | null): AgentError {
  const { status, json, headers } = answer;
  const brokerCode = codeOf(answer);
  const told = tellable(json.error_description) ?? tellable(json.title) ?? 'It gave no reason';
  const requestId = tellable(json.request_id) ?? tellable(headers.get('request-id'));
  const about = requestId === undefined ? '' : `, request ${requestId}`;
  return new AgentError(meaningOf(brokerCode, status), `${told} (${brokerCode}${about})`, {
    brokerCode,
    hint: tellable(json.hint),
    requestId,
    status,
    approvalId: tellable(json.approval_id),
    retryAfterSeconds: retryAfterSeconds ?? undefined,
  });
}

function meaningOf(brokerCode: string, status: number): AgentErrorCode {
  const known = Object.hasOwn(MEANINGS, brokerCode) ? MEANINGS[brokerCode] : undefined;
  if (known !== undefined) return known;
  if (status === 429) return 'throttled';
  return status >= 500 ? 'unavailable' : 'protocol';
}
