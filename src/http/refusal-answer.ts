/**
 * A refusal as its caller reads it, in the format of the route's family. Only the closed tables of
 * `errors/refusal-codes.ts`, a hint that mayfly wrote and the request's id leave; nothing that came in goes out again.
 */
import type { IncomingMessage } from 'node:http';
import type { Refusal } from '../errors/refusal.ts';
import { REFUSAL_CODES } from '../errors/refusal-codes.ts';
import type { Answer, ErrorFormat } from './route.ts';

type Told = {
  status: number;
  error: string;
  code: string;
  title: string;
  hint?: string | undefined;
  headers?: Answer['headers'];
};

export function refusalAnswer(
  refusal: Refusal,
  { format, requestId, request }: { format: ErrorFormat; requestId: string; request: IncomingMessage },
): Answer {
  const { error, title } = REFUSAL_CODES[refusal.code];
  const { status, code, hint } = refusal;
  const headers = { ...challengeFor(refusal, request), ...refusal.headers };
  return errorAnswer({ status, error, code, title, hint, headers }, format, requestId);
}

/** What is said of a defect of mayfly: that there is one, and where in the log it stands. */
export function defectAnswer(format: ErrorFormat, requestId: string): Answer {
  const title = 'mayfly made a mistake; the request id names it in the log';
  return errorAnswer(
    { status: 500, error: 'server_error', code: 'internal_error', title },
    format,
    requestId,
  );
}

function errorAnswer(told: Told, format: ErrorFormat, requestId: string): Answer {
  return format === 'oauth' ? oauthAnswer(told, requestId) : problemAnswer(told, requestId);
}

/** RFC 6749 §5.2. Clients show `error_description` and little else, so the hint stands in it too. */
function oauthAnswer({ status, error, code, title, hint, headers = {} }: Told, requestId: string): Answer {
  const told = hint === undefined ? undefined : plain(hint);
  const description = told === undefined ? plain(title) : `${plain(title)}. ${told}`;
  return {
    status,
    headers,
    body: { error, error_description: description, code, hint: told, request_id: requestId },
  };
}

/** RFC 9457 §3. The type is a name, not an address: there is nothing to fetch. */
function problemAnswer({ status, code, title, hint, headers = {} }: Told, requestId: string): Answer {
  return {
    status,
    headers: { 'Content-Type': 'application/problem+json', ...headers },
    body: { type: `urn:mayfly:problem:${code}`, title, status, code, hint, request_id: requestId },
  };
}

/** RFC 6749 §5.2: no quotation mark, no backslash, nothing outside visible ASCII and the space. */
export function plain(text: string): string {
  return text
    .replaceAll('"', "'")
    .replaceAll('\\', '/')
    .replaceAll(/[^\x20-\x7e]/g, '?');
}

const SCHEMES: readonly string[] = ['Basic', 'Bearer', 'DPoP'];

/**
 * RFC 6749 §5.2: a client that tried the Authorization header is told so with a challenge of the same scheme; a
 * client that did not gets none, or its library reports the challenge instead of the error.
 */
function challengeFor(refusal: Refusal, { headers }: IncomingMessage): Record<string, string> {
  if (refusal.code !== 'invalid_client' || headers.authorization === undefined) return {};
  const used = headers.authorization.split(' ', 1)[0]?.toLowerCase();
  const scheme = SCHEMES.find((known) => known.toLowerCase() === used) ?? 'DPoP';
  return { 'WWW-Authenticate': `${scheme} realm="mayfly"` };
}
