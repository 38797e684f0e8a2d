/**
 * What the verifier needs to know of a request, whatever server received it. Every header line stands by itself,
 * since most servers keep the first of two `Authorization` lines and join two `DPoP` lines, and each of them reads
 * another request than its neighbour. The scheme and the host are not here: they come from the configuration, so
 * that no `Host` and no `X-Forwarded-Host` can move a proof to another server.
 */
import type { IncomingMessage } from 'node:http';
import { argumentsOfFetch, argumentsOfNode } from './call-arguments.ts';

export type ResourceRequest = {
  method: string;
  /** Path and query exactly as they were sent: the origin-form of RFC 9112 §3.2.1. */
  target: string;
  headers: readonly (readonly [name: string, value: string])[];
  /** The arguments of the call; asked for only when the token is bound to one. */
  readArguments: () => unknown;
};

/** A Node request; a framework may have parsed its body (`body`) and cut its `url` (`originalUrl`). */
export type NodeRequest = IncomingMessage & { originalUrl?: string; body?: unknown };

export function requestOfNode(request: NodeRequest): ResourceRequest {
  const { rawHeaders } = request;
  const target = request.originalUrl ?? request.url ?? '';
  const headers = Array.from({ length: rawHeaders.length / 2 }, (_, index): [string, string] => [
    rawHeaders[2 * index] ?? '',
    rawHeaders[2 * index + 1] ?? '',
  ]);
  return {
    method: request.method ?? '',
    target,
    headers,
    readArguments: () => argumentsOfNode(request, target),
  };
}

/** A request of the Fetch API, which joins equal headers with a comma: two tokens then are no token. */
export function requestOfFetch(request: Request): ResourceRequest {
  const { pathname, search } = new URL(request.url);
  const target = `${pathname}${search}`;
  return {
    method: request.method,
    target,
    headers: [...request.headers],
    readArguments: () => argumentsOfFetch(request, target),
  };
}

export function valuesOf(request: ResourceRequest, name: string): string[] {
  return request.headers.filter(([given]) => given.toLowerCase() === name).map(([, value]) => value);
}
