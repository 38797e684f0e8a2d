/**
 * What the *arguments* of a call are. A request token names them by a digest, `arguments_digest`: base64url of
 * SHA-256 of their RFC 8785 form. Agent and resource server, each in its own language, find the same value so:
 *
 * 1. The request has a body (a `Content-Length` above zero, or a `Transfer-Encoding`): its media type has to be
 *    `application/json` or end in `+json`, and the arguments are the JSON value in it, whatever its kind. Numbers
 *    are IEEE 754 doubles, as RFC 8785 §3.2.2.3 has them.
 * 2. It has none: the arguments are an object of the query's parameters, parsed as `application/x-www-form-
 *    urlencoded` (WHATWG URL §5.1). A name that comes once has a string, one that comes more often an array of
 *    strings in their order. Without a query it is `{}`, whose digest is
 *    `RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o`.
 *
 * The query is part of the call's URL too, also when there is a body. Header fields are no arguments: what an
 * action reads from a header is not bound to the token (RFC 9449 §11.7).
 *
 * The digest is taken of the value that the handler gets, after parsing: two parsers that read one body
 * differently cannot be played against each other.
 */
import { argumentsOfQuery } from '../json/arguments-of-query.ts';
import { canonicalDigest } from '../json/canonical-digest.ts';
import { JsonError, parseStrictJson } from '../json/strict-json.ts';
import { refuse } from './refusal.ts';
import type { NodeRequest } from './resource-request.ts';

const JSON_MEDIA_TYPE = /^application\/(?:json|[a-z0-9!#$&^_.-]+\+json)[ \t]*(?:;|$)/i;
const PLAIN_JSON = /^application\/json[ \t]*(?:;|$)/i;
const MAX_BODY_BYTES = 1_048_576;
const BODY_BOUNDS = { maxDepth: 64, maxMembers: 100_000 };

/** @throws {VerifierRefusal} when the value has no JSON form */
export function digestOfArguments(value: unknown): string {
  try {
    return canonicalDigest(value);
  } catch (error) {
    if (error instanceof TypeError) return refuseArguments(error);
    throw error;
  }
}

/**
 * @throws {Error} when the body has not been parsed yet: its digest would be taken of nothing, and the token
 *   would be good for any body
 */
export function argumentsOfNode(request: NodeRequest, target: string): unknown {
  const { headers, body } = request;
  const length = headers['content-length'];
  const hasBody =
    headers['transfer-encoding'] !== undefined || (length !== undefined && Number(length) !== 0);
  if (!hasBody) return argumentsOfQuery(target);
  if (!JSON_MEDIA_TYPE.test(headers['content-type'] ?? '')) return refuseArguments();
  if (body === undefined) {
    // Parsers take `application/json` and leave others to whoever wants them: then the caller sent one too many.
    if (!PLAIN_JSON.test(headers['content-type'] ?? '')) return refuseArguments();
    throw new Error('requireAction has to come after the parser of the body, e.g. app.use(express.json())');
  }
  return body;
}

export async function argumentsOfFetch(request: Request, target: string): Promise<unknown> {
  if (request.body === null) return argumentsOfQuery(target);
  if (!JSON_MEDIA_TYPE.test(request.headers.get('content-type') ?? '')) return refuseArguments();
  const body = request.clone().body; // the handler reads the original
  return body === null ? refuseArguments() : parseArguments(await readBounded(body));
}

/** No `for await`: to leave one early waits for the other half of the clone, which nobody may ever read. */
async function readBounded(body: ReadableStream<Uint8Array>): Promise<Buffer> {
  const reader = body.getReader();
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    bytes += part.value.byteLength;
    if (bytes > MAX_BODY_BYTES) refuseArguments();
    parts.push(part.value);
  }
  return Buffer.concat(parts);
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function parseArguments(bytes: Buffer): unknown {
  try {
    return parseStrictJson(utf8.decode(bytes), BODY_BOUNDS);
  } catch (error) {
    if (error instanceof JsonError || error instanceof TypeError) return refuseArguments(error);
    throw error;
  }
}

function refuseArguments(cause?: unknown): never {
  refuse('arguments_unreadable', {
    hint: 'The arguments of a call are one JSON document of at most 1 MiB, or the query.',
    cause,
  });
}
