/** A request of the local endpoint, as far as it has to be read before anybody knows whether it may be. */
import type { IncomingMessage } from 'node:http';
import { JsonError, parseStrictJsonObject } from '../json/strict-json.ts';
import { refuseHere } from './refused-here.ts';

export type Json = Readonly<Record<string, unknown>>;

const MAX_BODY_BYTES = 16_384;
/** Of what is refused for its length, so that its sender gets to read why. */
const MAX_DISCARDED_BYTES = 1_048_576;

/**
 * A page in a browser on this machine can reach this port, too. It cannot leave out `Origin` where it counts, and it
 * cannot choose `Host`, whatever its DNS says.
 * @param host the only one that is right; undefined on a Unix socket, which no page reaches
 * @throws {RefusedHere}
 */
export function requireOwnProgram({ headersDistinct: headers }: IncomingMessage, host?: string): void {
  const [given, ...others] = headers.host ?? [];
  if (host !== undefined && (given !== host || others.length > 0)) {
    refuseHere('foreign_request', 'Ask by the very address that the run gave, with no other Host.');
  }
  // Sec-Fetch-Mode alone is what `fetch` in Node sends; browsers never leave out the site (Fetch Metadata §2.4).
  const isOfPage = headers['sec-fetch-site']?.some((site) => site !== 'none') === true;
  if (isOfPage || headers.origin !== undefined) {
    refuseHere('foreign_request', 'Nothing is served to pages: leave out Origin and Sec-Fetch-Site.');
  }
}

/** @returns the members of its JSON; none for an empty body @throws {RefusedHere} */
export async function readBody(request: IncomingMessage): Promise<Json> {
  const bytes = await readBytes(request);
  if (bytes.length === 0) return {};
  const { 'content-type': type = '', 'content-encoding': encoding = 'identity' } = request.headers;
  if (!/^application\/json *(;|$)/i.test(type) || encoding !== 'identity') {
    refuseHere('unsupported_media_type', 'Send Content-Type: application/json, and nothing compressed.');
  }
  try {
    return parseStrictJsonObject(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    // TextDecoder says TypeError of what is no UTF-8
    if (!(error instanceof JsonError || error instanceof TypeError)) throw error;
    return refuseHere('invalid_request', 'The body has to be one JSON object, each member once, in UTF-8.');
  }
}

async function readBytes(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length <= MAX_BODY_BYTES) parts.push(part);
    else if (length > MAX_DISCARDED_BYTES) break;
  }
  if (length <= MAX_BODY_BYTES) return Buffer.concat(parts);
  return refuseHere('content_too_large', `A body here has at most ${MAX_BODY_BYTES} bytes.`);
}

/** What will not be read; whoever sends more than is bearable is cut off. */
export function discardBody(request: IncomingMessage): void {
  let length = 0;
  request.on('data', (part: Buffer) => {
    length += part.length;
    if (length > MAX_DISCARDED_BYTES) request.destroy();
  });
}
