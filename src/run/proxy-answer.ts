/**
 * How the proxy of a run tells its program what went wrong: a problem (RFC 9457) with a stable code and a hint.
 * `Proxy-Status` (RFC 9209) tells these answers from those of resources, whose own field of that name is not passed on.
 */
import { type ServerResponse, STATUS_CODES } from 'node:http';
import { AgentError } from '../sdk/agent-error.ts';
import { NetworkFailure } from '../sdk/send.ts';
import { agentProblem, type Problem, problemBody } from './agent-problem.ts';
import { isProxyRefusalCode, PROXY_REFUSALS, ProxyRefusal, type ProxyRefusalCode } from './proxy-refusal.ts';

function problemOf(error: unknown): Problem {
  if (error instanceof ProxyRefusal) return ownProblem(error.code);
  if (error instanceof AgentError) return problemOfAgent(error);
  const cause = error instanceof Error ? error.cause : undefined;
  // Whatever else was thrown is a defect, and could hold anything.
  return cause instanceof NetworkFailure ? networkProblem(cause.code) : ownProblem('internal_error');
}

function ownProblem(code: ProxyRefusalCode, detail?: string): Problem {
  const { status, error, title, hint } = PROXY_REFUSALS[code];
  const retryAfterSeconds = code === 'nonce_needed' ? 1 : undefined;
  return { status, error, retryAfterSeconds, members: { code, title, detail, hint } };
}

function networkProblem(code: string): Problem {
  if (isProxyRefusalCode(code)) return ownProblem(code);
  return ownProblem(
    code.startsWith('HPE_') ? 'answer_malformed' : 'resource_unreachable',
    `It is called ${code}.`,
  );
}

function problemOfAgent(error: AgentError): Problem {
  const problem = agentProblem(error);
  // Where nobody who decides was asked, the resource wants what the run was not started with.
  const isOwn = error.code === 'denied' && error.brokerCode === undefined;
  if (!isOwn) return problem;
  return { ...problem, members: { ...problem.members, hint: 'Start the run with --action for it.' } };
}

type Written = { status: number; headers: Record<string, string>; body: string };

function written({ status, error, retryAfterSeconds, members }: Problem): Written {
  const body = JSON.stringify(problemBody({ status, members }));
  return {
    status,
    body,
    headers: {
      'Content-Type': 'application/problem+json',
      'Content-Length': String(Buffer.byteLength(body)),
      'Cache-Control': 'no-store',
      'Proxy-Status': `mayfly-run; error=${error}; details="${members.code}"`,
      ...(retryAfterSeconds === undefined ? {} : { 'Retry-After': String(retryAfterSeconds) }),
      ...(status === 407 ? { 'Proxy-Authenticate': 'Basic realm="mayfly run", charset="UTF-8"' } : {}),
      ...(status === 405 ? { Allow: 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS' } : {}),
    },
  };
}

/** @param error anything that was thrown */
export function answerProblem(response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) return;
  const { status, headers, body } = written(problemOf(error));
  // Strangers are not listened to any longer than it takes to say no.
  response.writeHead(status, { ...headers, ...(status === 407 ? { Connection: 'close' } : {}) }).end(body);
}

/** The same as bytes, where there is no response to write to; it ends the connection. */
export function problemBytes(error: unknown): string {
  const { status, headers, body } = written(problemOf(error));
  const lines = Object.entries({ ...headers, Connection: 'close' }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('\r\n')}\r\n\r\n${body}`;
}
