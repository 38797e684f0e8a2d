/**
 * Writes an answer in one go; of a stream only its head. `writeHead` with a flat list of names and values is what Node does fastest, and
 * nothing of Express adds to it: no ETag, no content negotiation, no X-Powered-By.
 */
import type { ServerResponse } from 'node:http';
import type { Answer } from './route.ts';
import { securityHeaders } from './security-headers.ts';

export type AnswerWriter = (response: ServerResponse, requestId: string, answer: Answer) => void;

/** RFC 6749 §5.1 asks for both. */
const NO_STORE = ['Cache-Control', 'no-store', 'Pragma', 'no-cache'];

const NO_HEADERS: NonNullable<Answer['headers']> = {};

/** @param https whether the public address is https, also behind a proxy that ends TLS */
export function createAnswerWriter({ https }: { https: boolean }): AnswerWriter {
  const constant = securityHeaders({ https });
  const constantNoStore = [...constant, ...NO_STORE];

  return (response, requestId, { status = 200, headers = NO_HEADERS, body, text, bytes, stream }) => {
    const content = bytes ?? text ?? (body === undefined ? '' : JSON.stringify(body));
    const list: string[] = (sets(headers, 'cache-control') ? constant : constantNoStore).slice();
    list.push('Request-Id', requestId);
    if (content !== '' && !sets(headers, 'content-type')) list.push('Content-Type', 'application/json');
    if (stream !== undefined) response.shouldKeepAlive = false;
    else if (status !== 204) list.push('Content-Length', String(Buffer.byteLength(content)));
    for (const name in headers) {
      const value = headers[name];
      if (typeof value === 'string') list.push(name, value);
      else for (const each of value ?? []) list.push(name, each);
    }
    response.writeHead(status, list);
    if (stream === undefined) response.end(content);
  };
}

function sets(headers: NonNullable<Answer['headers']>, wanted: string): boolean {
  for (const name in headers) {
    if (name.length === wanted.length && name.toLowerCase() === wanted) return true;
  }
  return false;
}
