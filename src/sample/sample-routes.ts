/**
 * A resource server as anybody could write one with `mayfly/verifier`: three resources on one port, each with its
 * own audience, its own key and its own metadata. The guard stands in the route, so this table says what is open
 * to whom; a handler gets nothing but requests that passed it.
 */
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import { z } from 'zod';
import type { Verifier } from '../verifier/index.ts';
import { createToolsRoute } from './mcp-tools.ts';
import { CUSTOMERS } from './sample-customers.ts';

export type SampleOptions = { customers: Verifier; storage: Verifier; tools: Verifier };

export const READ_CUSTOMERS = 'db:read:customers';
export const WRITE_EXPORTS = 'storage:write:exports';

export function createSampleApplication({ customers, storage, tools }: SampleOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('strict routing');
  app.enable('case sensitive routing');
  app.use(noStore);
  app.use(express.json({ limit: '64kb', inflate: false, type: ['application/json', 'application/*+json'] }));

  app
    .route('/customers')
    .get(customers.requireAction(READ_CUSTOMERS), listCustomers(customers))
    .all(wrongMethod('GET, HEAD'));
  app
    .route('/exports')
    .post(storage.requireAction(WRITE_EXPORTS, { requestToken: true }), storeExport(storage))
    .all(wrongMethod('POST'));
  app.route('/mcp').post(createToolsRoute(tools)).all(wrongMethod('POST'));
  app.use(customers.metadata({ title: 'Customers' }));
  app.use(storage.metadata({ title: 'Exports' }));
  app.use(tools.metadata({ title: 'Tools' }));

  app.use((_request, response) => void problem(response, 404, 'not_found', 'There is nothing here'));
  app.use(answerError);
  return app;
}

function listCustomers(verifier: Verifier): RequestHandler {
  return (request, response) => {
    response.json({ data: CUSTOMERS, read_by: verifier.grantOf(request).claims.client_id });
  };
}

const exportSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,99}$/),
  format: z.enum(['csv', 'json', 'pdf']),
  rows: z.int().min(0).max(1_000_000).optional(),
});

/** It acts on the arguments that were checked against the token, and on nothing else of the request. */
function storeExport(verifier: Verifier): RequestHandler {
  return (request, response) => {
    const { call, claims } = verifier.grantOf(request);
    const { success, data } = exportSchema.safeParse(call?.arguments);
    if (!success) {
      problem(response, 422, 'arguments_invalid', 'An export has a name, a format and, if wanted, rows');
      return;
    }
    response.status(201).json({ stored: `${data.name}.${data.format}`, stored_by: claims.client_id });
  };
}

const noStore: RequestHandler = (_request, response, next) => {
  response.set({ 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' });
  next();
};

function wrongMethod(allow: string): RequestHandler {
  return (_request, response) => {
    response.set('Allow', allow);
    problem(response, 405, 'method_not_allowed', 'This method is not offered here');
  };
}

/** A body that cannot be parsed is its sender's fault and has a status below 500; the rest is ours. */
const answerError: ErrorRequestHandler = (error, _request, response, _next) => {
  const isTheirs = Number.isInteger(error?.status) && error.status >= 400 && error.status < 500;
  if (isTheirs) problem(response, error.status, 'body_unreadable', 'The body cannot be read as JSON');
  else problem(response, 500, 'internal_error', 'The resource server made a mistake');
};

/** RFC 9457. */
function problem(response: express.Response, status: number, code: string, title: string): void {
  const type = `urn:mayfly:problem:${code}`;
  response
    .status(status)
    .type('application/problem+json')
    .send(JSON.stringify({ type, title, status, code }));
}
