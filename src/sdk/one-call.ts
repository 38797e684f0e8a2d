/**
 * A call that has a token of its own: good for one method, URL and set of arguments, once. What the arguments are is
 * written where resource servers compare them (RFC 8785 of the JSON that is sent, or of the query).
 */
import { argumentsOfQuery } from '../json/arguments-of-query.ts';
import { canonicalJson } from '../json/canonical-json.ts';
import { giveUp } from './agent-error.ts';
import { sha256 } from './base64url.ts';
import { discard, type Grant, type Presenter } from './presenter.ts';
import { readRequest } from './request.ts';
import type { NamedCall } from './run.ts';

export type AgentCall = {
  action: string;
  /** Default: POST with arguments, GET without. */
  method?: string;
  /** With its query. */
  url: string | URL;
  /** Sent as JSON. Without them the query is what is compared. */
  arguments?: unknown;
};

export type CallInit = { headers?: HeadersInit; signal?: AbortSignal };
type HeadersInit = NonNullable<RequestInit['headers']>;

export type Call = (call: AgentCall, init?: CallInit) => Promise<Response>;

const MAX_TOKENS = 2;

export function createCall(options: {
  provide: (call: NamedCall, signal: AbortSignal) => Promise<Grant>;
  presenter: Presenter;
}): Call {
  const { provide, presenter } = options;
  return async (
    { action, url, arguments: given, method = given === undefined ? 'GET' : 'POST' },
    init = {},
  ) => {
    const place = new URL(url);
    place.hash = '';
    const body = given === undefined ? undefined : textOf(given);
    const request = await readRequest(place.href, {
      ...init,
      method,
      redirect: 'manual',
      ...(body === undefined ? {} : { body }),
    });
    if (body !== undefined) request.headers.set('content-type', 'application/json');
    const digest = await sha256(body ?? canonicalJson(argumentsOfQuery(place.href)));
    const call = { action, method: request.method, url: place.href, arguments_digest: digest };
    for (let left = MAX_TOKENS - 1; ; left -= 1) {
      const { response } = await presenter.present(request, await provide(call, request.signal));
      if (response.status !== 401 || left === 0) return response;
      await discard(response); // nothing was done: the token was not let in
    }
  };
}

/** The very bytes that the digest is of. */
function textOf(given: unknown): string {
  try {
    return canonicalJson(given);
  } catch {
    return giveUp(
      'misconfigured',
      'The arguments of a call have to be JSON: plain objects, arrays, finite numbers.',
    );
  }
}
