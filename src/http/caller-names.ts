import type { IncomingMessage } from 'node:http';

/**
 * Short and plain, or not written down at all: it goes into logs that people read in terminals. Nor is what begins as
 * every JWT does (`{"` in base64url): a name may be kept, a token that came into the wrong header may not.
 */
const PLAIN_NAME = /^(?!eyJ)[A-Za-z0-9_.-]{1,64}$/;

/**
 * What the caller calls its request: so that its log and ours can be laid side by side. It is written down beside our id
 * and handed back as `Client-Request-Id`. Anybody can write anything there, so it never takes the place of the id that
 * mayfly gave. Absent, or not plain, is undefined.
 */
export function callerNames({ headers }: IncomingMessage): {
  caller_request_id: string | undefined;
  traceparent: string | undefined;
} {
  return {
    caller_request_id: plainName(headers['request-id'] ?? headers['x-request-id']),
    traceparent: plainName(headers.traceparent),
  };
}

/** The header that hands the name back; nothing for whoever gave none. */
export function namedBack(request: IncomingMessage): Readonly<Record<string, string>> | undefined {
  const { headers } = request;
  if (headers['request-id'] === undefined && headers['x-request-id'] === undefined) return undefined;
  const { caller_request_id: name } = callerNames(request);
  return name === undefined ? undefined : { 'Client-Request-Id': name };
}

function plainName(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' && PLAIN_NAME.test(value) ? value : undefined;
}
