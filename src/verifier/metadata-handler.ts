/**
 * Serves what a resource server says about itself (RFC 9728), where the challenges of its verifier point to. Unless it
 * is told otherwise it offers the actions that its guards ask for.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { resourceMetadata, resourceOfMetadataUrl } from './resource-metadata.ts';

export type MetadataOptions = {
  /** What clients may ask for. Default: the actions of all guards of this verifier. */
  actions?: readonly string[];
  /** For people. */
  title?: string;
};

/** For Express and its like: `app.use(verifier.metadata())`, before any guard of all paths. */
export type MetadataHandler = {
  (
    request: IncomingMessage & { originalUrl?: string },
    response: ServerResponse,
    next: (error?: unknown) => void,
  ): void;
  /** Where it is, on this server. */
  path: string;
  /** For servers that speak fetch. @returns null when the request is for something else */
  respond(request: Request): Response | null;
};

type Answer = { status: number; headers: Readonly<Record<string, string>>; body: string };

const WRONG_METHOD: Answer = {
  status: 405,
  headers: { 'Content-Type': 'application/problem+json', 'Cache-Control': 'no-store', Allow: 'GET, HEAD' },
  body: JSON.stringify({
    type: 'urn:mayfly:problem:method_not_allowed',
    title: 'This method is not offered here',
    status: 405,
    code: 'method_not_allowed',
  }),
};

const HEADERS = { 'Content-Type': 'application/json', 'Cache-Control': 'public, max-age=300' };

export function createMetadataHandler(
  verifier: {
    issuer: string;
    resource: string;
    resourceMetadataUrl: string;
    guardedActions: () => readonly string[];
  },
  { actions, title }: MetadataOptions = {},
): MetadataHandler {
  const { issuer, resourceMetadataUrl: url, guardedActions } = verifier;
  // RFC 9728 §3.3: clients compare it with the name from which they made the URL.
  const resource = resourceOfMetadataUrl(url) ?? verifier.resource;
  const path = new URL(url).pathname;

  /** When it is asked for: guards are made later than this. */
  function answer(method: string | undefined): Answer {
    if (method !== 'GET' && method !== 'HEAD') return WRONG_METHOD;
    const document = resourceMetadata({
      resource,
      issuer,
      actions: actions ?? guardedActions(),
      ...(title === undefined ? {} : { title }),
    });
    return { status: 200, headers: HEADERS, body: JSON.stringify(document) };
  }

  function serve(
    request: IncomingMessage & { originalUrl?: string },
    response: ServerResponse,
    next: () => void,
  ) {
    const { originalUrl = request.url ?? '', method } = request;
    if (originalUrl.split('?', 1)[0] !== path) {
      next();
      return;
    }
    const { status, headers, body } = answer(method);
    response.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) });
    response.end(method === 'HEAD' ? undefined : body);
  }

  function respond({ url: asked, method }: Request): Response | null {
    if (new URL(asked).pathname !== path) return null;
    const { status, headers, body } = answer(method);
    return new Response(method === 'HEAD' ? null : body, { status, headers });
  }

  return Object.assign(serve, { path, respond });
}
