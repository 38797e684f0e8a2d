import type { IncomingMessage } from 'node:http';

/** A word, or a number in lower-case hexadecimal, as UUIDs and traces have them. */
const PART = '(?:[A-Za-z0-9]{1,15}|[0-9a-f]{16,32})';

/**
 * Short and plain, or not written down at all: it goes into logs that people read in terminals. Nor is what a key or a
 * token could be, which came into the wrong header: longer parts than {@link PART} are taken for names only as a ULID.
 */
const PLAIN_NAME = new RegExp(`^(?:${PART}(?:[._-]{1,2}${PART})*|[0-7][0-9A-HJKMNP-TV-Z]{25})$`);
const MAX_NAME_CHARACTERS = 64;

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
  if (typeof value !== 'string' || value.length > MAX_NAME_CHARACTERS) return undefined;
  return PLAIN_NAME.test(value) ? value : undefined;
}
