/** What a resource answers, as a `Response`: bounded, masked, and with an end only if it had one. */
import type { IncomingMessage } from 'node:http';
import type { Secrets } from './proxy-mask.ts';
import { ProxyRefusal } from './proxy-refusal.ts';

export type Reading = {
  method: string;
  limits: { idleMilliseconds: number; answerBytes: number };
  secrets: Secrets;
  /** What was shown comes back. */
  onEcho(): void;
};

const BODILESS: readonly number[] = [204, 205, 304];

/** @throws {ProxyRefusal} for what is not passed on; the connection is for the caller to end */
export function readAnswer(incoming: IncomingMessage, reading: Reading): Response {
  const { statusCode: status = 0 } = incoming;
  // 407 is for a proxy to say, and whoever believed it would send its password again.
  if (status < 200 || status > 599 || status === 407) throw new ProxyRefusal('answer_malformed');
  const headers = readHeaders(incoming, reading);
  if (reading.method === 'HEAD' || BODILESS.includes(status)) {
    incoming.once('data', () => incoming.destroy());
    return new Response(null, { status, headers });
  }
  const encoding = headers.get('content-encoding') ?? 'identity';
  if (!/^identity$/i.test(encoding)) throw new ProxyRefusal('answer_encoded');
  return new Response(ReadableStream.from(readBody(incoming, reading)), { status, headers });
}

function readHeaders({ rawHeaders }: IncomingMessage, { secrets, onEcho }: Reading): Headers {
  const headers = new Headers();
  let hits = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const [name = '', value = ''] = rawHeaders.slice(index, index + 2);
    const masked = secrets.maskText(value);
    const isNamed = secrets.maskText(name) !== name;
    if (masked !== value || isNamed) hits += 1;
    if (!isNamed) headers.append(name, masked);
  }
  if (hits > 0) onEcho();
  return headers;
}

async function* readBody(
  incoming: IncomingMessage,
  { limits, secrets, onEcho }: Reading,
): AsyncGenerator<Buffer> {
  const mask = secrets.openMask();
  for await (const chunk of boundedBody(incoming, limits)) {
    const passed = mask.pass(chunk);
    if (mask.hits() > 0) onEcho();
    if (passed.length > 0) yield passed;
  }
  if (mask.end().length > 0) yield mask.end();
}

/** The time is that of the upstream alone: it stands still while nobody takes what came. */
async function* boundedBody(
  incoming: IncomingMessage,
  { idleMilliseconds, answerBytes }: Reading['limits'],
): AsyncGenerator<Buffer> {
  const wait = () =>
    setTimeout(() => incoming.destroy(new ProxyRefusal('resource_silent')), idleMilliseconds);
  let left = answerBytes;
  let waiting = wait();
  try {
    for await (const first of incoming as AsyncIterable<Buffer>) {
      clearTimeout(waiting);
      const chunk = withNext(first, incoming);
      left -= chunk.length;
      if (left < 0) throw new ProxyRefusal('answer_too_large');
      yield chunk;
      waiting = wait();
    }
  } finally {
    clearTimeout(waiting);
  }
}

const PIECE_BYTES = 65_536;

/** What came with it: an answer in a million chunks is not a million pieces of work. */
function withNext(first: Buffer, incoming: IncomingMessage): Buffer {
  const parts = [first];
  let { length } = first;
  while (length < PIECE_BYTES && incoming.readableLength > 0) {
    const next: Buffer | null = incoming.read();
    if (next === null) break;
    parts.push(next);
    length += next.length;
  }
  return parts.length === 1 ? first : Buffer.concat(parts, length);
}
