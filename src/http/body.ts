/**
 * The bytes of a request, never more than the bound, never inflated. (The readers that come with Express read a
 * body that is too long to its end before they answer, and look at each request for encodings that mayfly does
 * not take.)
 */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { Refusal, refuse } from '../errors/refusal.ts';
import { JsonError, parseStrictJson } from '../json/strict-json.ts';
import { EMPTY_FORM, type Form, readForm } from './form.ts';
import type { HttpLimits } from './limits.ts';

const FORM_TYPE = /^application\/x-www-form-urlencoded[ \t]*(?:;[ \t]*charset=(?:utf-8|"utf-8")[ \t]*)?$/i;
const JSON_TYPE = /^application\/json[ \t]*(?:;[ \t]*charset=(?:utf-8|"utf-8")[ \t]*)?$/i;

const FORM_HINT = 'Send the parameters as application/x-www-form-urlencoded, UTF-8, not compressed.';
const JSON_HINT = 'Send the body as application/json, UTF-8, not compressed.';

const NO_BYTES = Buffer.alloc(0);

/** @throws {Refusal} `unsupported_media_type`, `content_too_large` or `invalid_request` */
export async function readFormBody(request: IncomingMessage, limits: HttpLimits): Promise<Form> {
  requireType(request, FORM_TYPE, FORM_HINT);
  const form = readForm(await readBytes(request, limits.bodyBytes), limits);
  return request.url?.includes('?') ? outsideQuery(form, request.url, limits) : form;
}

/** @returns undefined when there is no body @throws {Refusal} as {@link readFormBody} */
export async function readJsonBody(
  request: IncomingMessage,
  limits: HttpLimits,
  numbers: 'any' | 'integers',
): Promise<unknown> {
  if (!hasBody(request)) return undefined;
  requireType(request, JSON_TYPE, JSON_HINT);
  const bytes = await readBytes(request, limits.bodyBytes);
  if (bytes.length === 0) return undefined;
  if (!isUtf8(bytes)) refuse('request_malformed', { hint: JSON_HINT });
  try {
    return parseStrictJson(bytes.toString('utf8'), { maxDepth: 16, maxMembers: 1_000, numbers });
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    return refuse('request_malformed', {
      hint: `The body is not acceptable JSON: ${error.message}.`,
      cause: error,
    });
  }
}

/** @throws {Refusal} when a request carries content that nobody is going to read */
export function refuseBody(request: IncomingMessage): void {
  if (hasBody(request)) refuse('request_malformed', { hint: 'This operation takes no body.' });
}

/**
 * Where the body is JSON nothing reads the query: what stands there was meant for something, and a change that somebody
 * only wanted to try (`?dry_run=true`) would be made.
 * @throws {Refusal}
 */
export function refuseQuery({ url = '' }: IncomingMessage): void {
  const mark = url.indexOf('?');
  if (mark !== -1 && mark < url.length - 1) {
    refuse('parameter_invalid', { hint: 'Parameters belong in the body, not in the query.' });
  }
}

/** @throws {Refusal} */
export function readQuery(url: string, limits: HttpLimits): Form {
  const mark = url.indexOf('?');
  return mark === -1 ? EMPTY_FORM : readForm(Buffer.from(url.slice(mark + 1), 'latin1'), limits);
}

/**
 * Reads on after a refusal, so that its sender is not cut off before it could read the answer; within a bound.
 */
export function discardRest(request: IncomingMessage, maxBytes: number): void {
  if (request.complete || request.destroyed) return;
  let discarded = 0;
  request.on('data', (chunk: Buffer) => {
    discarded += chunk.length;
    if (discarded > maxBytes) request.socket.destroy();
  });
  request.on('error', () => {});
}

function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

function requireType({ headers }: IncomingMessage, type: RegExp, hint: string): void {
  if (headers['content-encoding'] !== undefined) refuse('media_type_unsupported', { hint });
  if (!type.test(headers['content-type'] ?? '')) refuse('media_type_unsupported', { hint });
}

/** The query is no second place for parameters: what the body has, it may not have too (RFC 6749 §3.2). */
function outsideQuery(form: Form, url: string, limits: HttpLimits): Form {
  const query = readQuery(url, limits);
  const refuseBoth = (name: string) => {
    if (query.all(name).length > 0) {
      refuse('parameter_invalid', { hint: 'Parameters belong in the body, not in the query.' });
    }
  };
  return {
    one(name) {
      refuseBoth(name);
      return form.one(name);
    },
    all(name) {
      refuseBoth(name);
      return form.all(name);
    },
    names: form.names,
  };
}

/** @throws {Refusal} */
function readBytes(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  if (!hasBody(request)) return Promise.resolve(NO_BYTES);
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > maxBytes) return Promise.reject(tooLarge(maxBytes));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= maxBytes) chunks.push(chunk);
      else reject(tooLarge(maxBytes));
    });
    request.on('end', () => resolve(chunks.length === 1 ? (chunks[0] ?? NO_BYTES) : Buffer.concat(chunks)));
    request.on('close', () => {
      if (!request.readableEnded) reject(cutOff());
    });
  });
}

function tooLarge(maxBytes: number): Refusal {
  return new Refusal('body_too_large', { hint: `A body has at most ${maxBytes} bytes.` });
}

/** Its sender will hardly read it; the promise has to end all the same. */
function cutOff(): Refusal {
  return new Refusal('request_malformed', { hint: 'The body ended before its announced length.' });
}
