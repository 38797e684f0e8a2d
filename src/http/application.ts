/**
 * The edge: everything generic about a request happens here, once, so that a route can be one sentence.
 *
 *   bytes → one request? → too many from there? → which route → its body → the route's answer → bytes
 *
 * Each step either passes or throws, and one place at the end turns what was thrown into an answer: a Refusal
 * into its status and words, an outage of the database into 503, a defect into an opaque 500 that stands in the
 * log under the request's id. So no error page of Express, no stack and no SQL can leave; and since the address,
 * the scheme and the host of a request are nowhere to be had but as {@link Source}, nobody can build an issuer or
 * a proof's target from them.
 */
import type { IncomingMessage, RequestListener } from 'node:http';
import express from 'express';
import { Refusal } from '../errors/refusal.ts';
import { createEdge, type EdgeOptions } from './edge.ts';
import type { Route } from './route.ts';

/**
 * @param options.routes asked in this order: put the busiest first
 * @throws {RangeError} when a limit is not a whole number above zero
 */
export function createHttpApplication({
  routes,
  ...options
}: { routes: readonly Route[] } & EdgeOptions): RequestListener {
  const { serve, refuseRequest } = createEdge(options);
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('strict routing');
  app.enable('case sensitive routing');
  app.set('query parser', false);
  for (const [path, served] of Map.groupBy(routes, (route) => route.path)) {
    const place = app.route(path);
    for (const route of served) {
      const on = (route.method === 'GET' ? place.get : place.post).bind(place);
      on((request, response) => serve(route, { request, response, params: request.params as Params }));
    }
    const allow = served.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ');
    place.all((request, response) => refuseRequest(wrongMethod(request, allow), { request, response }));
  }
  app.use((request, response) => refuseRequest(new Refusal('route_unknown'), { request, response }));
  app.use(((error, request, response, _next) =>
    refuseRequest(undecodable(error), { request, response })) satisfies express.ErrorRequestHandler);
  return app;
}

type Params = Readonly<Record<string, string>>;

/** A browser that asks whether a page of another origin may call (Fetch §4.8) learns nothing: none may. */
function wrongMethod({ method, headers }: IncomingMessage, allow: string): Refusal {
  const isPreflight = method === 'OPTIONS' && headers['access-control-request-method'] !== undefined;
  if (isPreflight) return new Refusal('route_unknown');
  return new Refusal('method_unsupported', { hint: `Use ${allow}.`, headers: { Allow: allow } });
}

/** All that Express itself complains about is a path whose escapes are not UTF-8. */
function undecodable(error: unknown): unknown {
  return error instanceof URIError
    ? new Refusal('request_malformed', { hint: 'The path is not percent-encoded UTF-8.', cause: error })
    : error;
}
