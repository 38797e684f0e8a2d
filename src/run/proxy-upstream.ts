/**
 * A `fetch` for the agent of one run, on connections of its own. It speaks HTTP/1.1 strictly and believes little: what
 * is not well-formed, not in time or not within its bounds is an error and the end of that connection, and no answer
 * that was cut off looks whole. Whatever was shown to a resource is masked in what comes back.
 */
import { type ClientRequest, type IncomingMessage, request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { FetchLike } from '../sdk/send.ts';
import { createSecrets } from './proxy-mask.ts';
import { createPool, type Pool } from './proxy-pool.ts';
import { ProxyRefusal, type ProxyRefusalCode } from './proxy-refusal.ts';
import { readAnswer } from './proxy-resource-answer.ts';

export type UpstreamLimits = {
  connectMilliseconds: number;
  /** From the end of the request to the header of its answer. */
  headerMilliseconds: number;
  /** Between two parts of a body, while somebody waits for them. */
  idleMilliseconds: number;
  answerBytes: number;
};

export type UpstreamOptions = {
  /** One line for the person who started the run. */
  warn(line: string): void;
  limits?: Partial<UpstreamLimits>;
  /** PEM; those that the machine trusts when absent. */
  authorities?: string;
};

export type Upstream = {
  /** Redirects are answers. Rejects with an error whose `code` is one of `PROXY_REFUSALS`, or the platform's. */
  fetch: FetchLike;
  /** Cuts off whatever is under way. */
  close(): void;
};

const LIMITS: UpstreamLimits = {
  connectMilliseconds: 10_000,
  headerMilliseconds: 300_000,
  idleMilliseconds: 300_000,
  answerBytes: 64 * 1_024 ** 3,
};
const MAX_HEADER_BYTES = 16_384;
const MAX_INFORMATIONAL = 8;

export function createUpstream({ warn, limits: given, authorities }: UpstreamOptions): Upstream {
  const limits = { ...LIMITS, ...given };
  const pool = createPool(authorities);
  const secrets = createSecrets();
  const warned = new Set<string>();

  function onEcho({ origin }: URL): void {
    if (warned.has(origin)) return;
    warned.add(origin);
    warn(`${origin} sends back the token or the proof that it was shown. They are masked; tell its owner.`);
  }

  return {
    async fetch(url, { method = 'GET', headers: named, body, signal }) {
      const place = new URL(url);
      const headers = new Headers(named);
      headers.set('accept-encoding', 'identity');
      for (const secret of shownIn(headers)) secrets.remember(secret);
      const incoming = await ask({ place, method, headers, body, signal, limits, pool });
      try {
        return readAnswer(incoming, { method, limits, secrets, onEcho: () => onEcho(place) });
      } catch (error) {
        incoming.destroy();
        throw error;
      }
    },
    close: () => pool.close(),
  };
}

/** The token without its scheme, and the proof. */
function shownIn(headers: Headers): string[] {
  const [, token = ''] = (headers.get('authorization') ?? '').split(' ');
  return [token, headers.get('dpop') ?? ''];
}

type Asked = {
  place: URL;
  method: string;
  headers: Headers;
  body: RequestInit['body'];
  signal: AbortSignal | null | undefined;
  limits: UpstreamLimits;
  pool: Pool;
};

function ask({ place, method, headers, body, signal, limits, pool }: Asked): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const isStream = body instanceof ReadableStream;
    const bytes = isStream ? null : bytesOf(body);
    if (bytes !== null) headers.set('content-length', String(bytes.length));
    // Said, since Node sends a body of DELETE without any frame otherwise: as if it were the next request.
    if (isStream && !headers.has('content-length')) headers.set('transfer-encoding', 'chunked');
    const send = place.protocol === 'https:' ? tlsRequest : plainRequest;
    const request = send(place, {
      method,
      headers: Object.fromEntries(headers),
      agent: pool.of(place),
      maxHeaderSize: MAX_HEADER_BYTES,
      insecureHTTPParser: false,
      ...(signal ? { signal } : {}),
    });
    request.once('error', reject).once('upgrade', (_incoming, socket) => {
      socket.destroy();
      reject(new ProxyRefusal('answer_malformed'));
    });
    watch(request, limits);
    request.once('response', (incoming) => {
      // Whoever reads the answer is told; by itself Node takes a reset for the end of a body that has no length.
      request.on('error', (error) => incoming.complete || incoming.destroy(error));
      incoming.on('error', () => undefined);
      resolve(incoming);
    });
    if (!isStream) request.end(bytes ?? undefined);
    else sendStream(Readable.fromWeb(body), request);
  });
}

function sendStream(body: Readable, request: ClientRequest): void {
  body.once('error', (error) => request.destroy(error)); // before pipeline() does it, without saying why
  pipeline(body, request).catch(() => undefined);
}

/** What the agent sends: null for no body at all. */
function bytesOf(body: unknown): Buffer | null {
  if (body === null || body === undefined) return null;
  return typeof body === 'string' ? Buffer.from(body) : Buffer.from(body as Uint8Array);
}

/** Until the header of the answer is there. */
function watch(request: ClientRequest, limits: UpstreamLimits): void {
  const timers = new Set<NodeJS.Timeout>();
  const after = (milliseconds: number, code: ProxyRefusalCode) => {
    const timer = setTimeout(() => request.destroy(new ProxyRefusal(code)), milliseconds);
    timers.add(timer);
    return timer;
  };
  request.once('socket', (socket) => {
    if (request.reusedSocket || socket.bytesRead > 0) return; // of the pool, or handed on by who was served before
    const connecting = after(limits.connectMilliseconds, 'resource_unreachable');
    socket.once('secureConnect', () => clearTimeout(connecting));
    if (!('encrypted' in socket)) socket.once('connect', () => clearTimeout(connecting));
  });
  request.setTimeout(limits.idleMilliseconds, () => request.destroy(new ProxyRefusal('resource_silent')));
  request.once('finish', () => after(limits.headerMilliseconds, 'resource_silent'));
  let informational = 0;
  request.on('information', () => {
    informational += 1;
    if (informational > MAX_INFORMATIONAL) request.destroy(new ProxyRefusal('answer_malformed'));
  });
  const stop = () => {
    for (const timer of timers) clearTimeout(timer);
  };
  request.once('close', stop).once('response', () => {
    stop();
    request.setTimeout(0);
  });
}
