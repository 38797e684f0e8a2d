import type { IncomingMessage } from 'node:http';

/** Short and plain, or not written down at all: it goes into logs that people read in terminals. */
const PLAIN_NAME = /^[A-Za-z0-9_.-]{1,64}$/;

/**
 * What the caller calls its request, for the log alone: so that its log and ours can be laid side by side. Anybody can
 * write anything there, so it never takes the place of the id that mayfly gave. Absent, or not plain, is undefined.
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

function plainName(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' && PLAIN_NAME.test(value) ? value : undefined;
}
