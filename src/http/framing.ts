/**
 * What has to hold of every request before anything looks at it: that two readers of the same bytes would see
 * one request. Node keeps the first of two `Authorization` or `Host` headers and joins two `DPoP` headers, and
 * routes a request target with somebody else's host in it; so names are counted in the raw list, and the target
 * is a path.
 */
import type { IncomingMessage } from 'node:http';
import { refuse } from '../errors/refusal.ts';

/** RFC 9112 §3.2.1: a path and perhaps a query, of visible ASCII without what no URL has (RFC 3986 §2). */
const TARGET = /^\/(?:[!$&-;=?-[\]^_`a-z{|}~]|%[0-9A-Fa-f]{2})*$/;

/** RFC 9112 §3.2, RFC 3986 §3.2.2: a name or an address, perhaps with a port; or empty, when there is none to name. */
const HOST = /^(?:(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?)?$/;
/** node takes some others for them. */
const HTTP_VERSIONS: readonly string[] = ['1.0', '1.1'];

/** Past 2^53 readers begin to disagree about the number. */
const MAX_LENGTH_DIGITS = 15;

/** @throws {Refusal} `invalid_request`, or `invalid_dpop_proof` for a second proof */
export function refuseBadFraming(request: IncomingMessage): void {
  if (!TARGET.test(request.url ?? '')) {
    refuse('request_malformed', {
      hint: 'The request target has to be a path of properly encoded characters.',
    });
  }
  refuseRepeatedHeaders(request.rawHeaders);
  const { host, 'transfer-encoding': encoding, 'content-length': length = '' } = request.headers;
  if (length.length > MAX_LENGTH_DIGITS) {
    refuse('request_malformed', { hint: 'The Content-Length is no length.' });
  }
  if (!HTTP_VERSIONS.includes(request.httpVersion)) {
    refuse('request_malformed', { hint: 'The versions here are HTTP/1.1 and HTTP/1.0.' });
  }
  if (host === undefined ? request.httpVersion !== '1.0' : !HOST.test(host)) {
    refuse('request_malformed', { hint: 'The Host header is missing, or names no host.' });
  }
  if (encoding !== undefined && encoding.toLowerCase() !== 'chunked') {
    refuse('request_malformed', { hint: 'The only transfer coding here is chunked.' });
  }
}

/** Sensitive headers by the length of their names, so that most names are told apart without reading them. */
const SENSITIVE = [
  'host',
  'dpop',
  'content-type',
  'authorization',
  'content-length',
  'content-encoding',
  'transfer-encoding',
];
const LENGTHS: readonly boolean[] = Array.from({ length: 32 }, (_, length) =>
  SENSITIVE.some((name) => name.length === length),
);

function refuseRepeatedHeaders(rawHeaders: readonly string[]): void {
  let seen = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const raw = rawHeaders[index] ?? '';
    if (LENGTHS[raw.length] !== true) continue;
    const place = SENSITIVE.indexOf(raw.toLowerCase());
    if (place === -1) continue;
    const bit = 1 << place;
    if ((seen & bit) !== 0) refuseRepeated(SENSITIVE[place] ?? '');
    seen |= bit;
  }
}

function refuseRepeated(name: string): never {
  return refuse(name === 'dpop' ? 'proof_repeated' : 'header_repeated', { hint: `Send one ${name} header.` });
}
