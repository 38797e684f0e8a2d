/**
 * The verifier as servers use it: `requireAction` for Express and everything else that speaks `(request, response,
 * next)`, `verifyRequest` and `guard` for servers that speak fetch's `Request` and `Response`. A handler behind
 * `requireAction` reads who called with `grantOf`; one that forgot the guard gets an exception, not a stranger.
 */
import type { ServerResponse } from 'node:http';
import type { Demand, Granted } from './decision.ts';
import { refusedResponse, sendRefused } from './refused.ts';
import { type NodeRequest, requestOfFetch, requestOfNode } from './resource-request.ts';
import type { Verification, Verifier } from './verifier.ts';

export type Middleware = (
  request: NodeRequest,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => Promise<void>;

export type ActionGuard = {
  /**
   * Mount it after the parser of the body (`express.json()`), since a request token is bound to the arguments.
   * @throws {TypeError} when it is no name of an action
   */
  requireAction(action: string, options?: Omit<Demand, 'action'>): Middleware;
  /** What the guard in front of this handler granted. @throws {Error} when there was none */
  grantOf(request: object): Granted;
  /** With the finished answer when the request is refused. */
  verifyRequest(
    request: Request,
    demand: Demand,
  ): Promise<Granted | (Extract<Verification, { granted: false }> & { response: Response })>;
  /** A fetch-style handler that is reached only with a grant. */
  guard(
    demand: Demand,
    handler: (request: Request, granted: Granted) => Response | Promise<Response>,
  ): (request: Request) => Promise<Response>;
};

/** A scope token (RFC 6749 §3.3): one name, no space. */
const ACTION_NAME = /^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/;

/** @returns also the actions that the guards made so far ask for */
export function createActionGuard(verify: Verifier['verify']): {
  guards: ActionGuard;
  guardedActions: () => readonly string[];
} {
  const grants = new WeakMap<object, Granted>();
  const actions = new Set<string>();

  const verifyRequest: ActionGuard['verifyRequest'] = async (request, demand) => {
    const verification = await verify(requestOfFetch(request), demand);
    return verification.granted ? verification : { ...verification, response: refusedResponse(verification) };
  };

  const guards: ActionGuard = {
    verifyRequest,

    requireAction(action, options = {}) {
      if (!ACTION_NAME.test(action)) throw new TypeError('requireAction takes the name of one action');
      actions.add(action);
      return async (request, response, next) => {
        let verification: Verification;
        try {
          verification = await verify(requestOfNode(request), { action, ...options });
        } catch (error) {
          next(error);
          return;
        }
        if (!verification.granted) {
          sendRefused(verification, response);
          return;
        }
        for (const [name, value] of Object.entries(verification.headers)) response.setHeader(name, value);
        grants.set(request, verification);
        next();
      };
    },

    grantOf(request) {
      const granted = grants.get(request);
      if (granted === undefined) throw new Error('no requireAction stands in front of this handler');
      return granted;
    },

    guard(demand, handler) {
      actions.add(demand.action);
      return async (request) => {
        const verification = await verifyRequest(request, demand);
        if (!verification.granted) return verification.response;
        return withHeaders(await handler(request, verification), verification.headers);
      };
    },
  };
  return { guards, guardedActions: () => [...actions] };
}

/** On a copy: the headers of a response that came from `fetch` or `Response.redirect` cannot be changed. */
function withHeaders(response: Response, headers: Granted['headers']): Response {
  const entries = Object.entries(headers);
  if (entries.length === 0) return response;
  const copy = new Response(response.body, response);
  for (const [name, value] of entries) copy.headers.set(name, value);
  return copy;
}
