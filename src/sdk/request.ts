/** A request as `fetch` takes it, read once so that it can be sent more than once. */
import { readBytes } from './read-answer.ts';

export type AgentRequest = {
  method: string;
  url: URL;
  headers: Headers;
  body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | undefined;
  /** False for a body that is longer than what is kept of one. */
  canRepeat: boolean;
  redirect: RequestRedirect;
  signal: AbortSignal;
  /** What else the caller said; it is passed on. */
  rest: RequestInit;
};

type RequestRedirect = 'error' | 'follow' | 'manual';

const MAX_KEPT_BYTES = 1_048_576;

/** @throws {TypeError} for what `fetch` would not send either */
export async function readRequest(input: string | URL | Request, init: RequestInit): Promise<AgentRequest> {
  const request = new Request(input, init);
  const { read, rest } = await readBytes(request.body, MAX_KEPT_BYTES);
  return {
    method: request.method,
    url: new URL(request.url),
    headers: withoutCredentials(request.headers),
    body: rest ?? (request.body === null ? undefined : read),
    canRepeat: rest === null,
    redirect: request.redirect as RequestRedirect,
    signal: signalOf(input, init) ?? request.signal,
    rest: { ...(typeof input === 'object' && 'method' in input ? settingsOf(input) : {}), ...init },
  };
}

/** The caller's own: one that only follows it stops doing so in Node when its request is collected. */
function signalOf(input: string | URL | Request, { signal }: RequestInit): AbortSignal | null | undefined {
  return signal === undefined && typeof input === 'object' && 'method' in input ? input.signal : signal;
}

/** Those of the agent take their place. */
function withoutCredentials(given: Headers): Headers {
  const headers = new Headers(given);
  headers.delete('authorization');
  headers.delete('dpop');
  return headers;
}

function settingsOf({
  cache,
  credentials,
  integrity,
  keepalive,
  mode,
  referrerPolicy,
}: Request): RequestInit {
  return { cache, credentials, integrity, keepalive, mode, referrerPolicy };
}

/** For one attempt. */
export function initOf(
  { rest, method, body, signal, canRepeat }: AgentRequest,
  headers: Headers,
): RequestInit {
  return {
    ...rest,
    method,
    headers,
    redirect: 'manual',
    signal,
    ...(canRepeat ? {} : { duplex: 'half' }),
    body: body ?? null,
  };
}

/**
 * The request that a redirect asks for (Fetch, HTTP-redirect fetch), on the same origin and without a body.
 * @returns null for any other: a proof is for one URL, and nothing that carries it goes elsewhere by itself
 */
export function redirected(request: AgentRequest, { status, headers }: Response): AgentRequest | null {
  const location = headers.get('location');
  if (location === null || !URL.canParse(location, request.url.href)) return null;
  const url = new URL(location, request.url);
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  if (url.origin !== request.url.origin || !(isRead || status === 303)) return null;
  if (isRead) return { ...request, url };
  const bare = new Headers(request.headers);
  for (const name of ['content-type', 'content-length', 'content-encoding', 'content-language'])
    bare.delete(name);
  return { ...request, url, method: 'GET', headers: bare, body: undefined, canRepeat: true };
}
