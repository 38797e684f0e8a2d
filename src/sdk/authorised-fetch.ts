/**
 * A `fetch` that gets the right token by itself. It finds out what a resource wants from its challenge and metadata,
 * and takes each no once as a request to do better: a token that is not good any more is replaced, one that covers
 * too little is asked for anew. What comes after that is the answer, whatever it is.
 */
import type { Wanted } from './access-token.ts';
import { giveUp } from './agent-error.ts';
import type { Demands } from './demands.ts';
import { discard, type Grant, type Presented, type Presenter } from './presenter.ts';
import { type AgentRequest, readRequest, redirected } from './request.ts';
import { isRedirect } from './send.ts';

export type AgentFetchInit = RequestInit & {
  /** What the token has to allow. Left out, the resource is asked. */
  actions?: readonly string[];
  /** The audience, if the actions belong to several. */
  resource?: string;
};

export type AgentFetch = (input: string | URL | Request, init?: AgentFetchInit) => Promise<Response>;

export type Provide = (wanted: Wanted, signal: AbortSignal) => Promise<Grant>;

const MAX_REDIRECTS = 5;

export function createAuthorisedFetch(options: {
  provide: Provide;
  demands: Demands;
  presenter: Presenter;
}): AgentFetch {
  const { provide, demands, presenter } = options;

  async function firstWanted(request: AgentRequest): Promise<Wanted | null> {
    const known = demands.known(request);
    // What can be sent only once is not spent on finding out.
    return known ?? (request.canRepeat ? null : demands.find(request, null, request.signal));
  }

  /** @returns what to try instead, or null when the answer stands */
  async function instead(
    request: AgentRequest,
    { response, demanded }: Presented,
    { wanted, grant, isGiven, left }: Trying,
  ): Promise<Wanted | null> {
    if (response.status === 401 && grant === null) return demands.find(request, demanded, request.signal);
    if (wanted === null || grant === null) return null;
    if (response.status === 401 && left.tokens > 0) {
      left.tokens -= 1;
      grant.forget();
      const isTold = !isGiven && demanded !== null && demanded.actions.length > 0;
      return isTold ? demands.find(request, demanded, request.signal) : wanted;
    }
    const asked = demanded?.actions ?? [];
    const isMore = asked.some((action) => !grant.token.actions.includes(action));
    if (response.status !== 403 || demanded?.error !== 'insufficient_scope' || isGiven || !isMore)
      return null;
    if (left.steps === 0) return null;
    left.steps -= 1;
    return demands.more(wanted, asked);
  }

  async function fetchHere(request: AgentRequest, given: Wanted | null): Promise<Response> {
    const left = { tokens: 1, steps: 1 };
    let wanted = given ?? (await firstWanted(request));
    for (;;) {
      const grant = wanted === null ? null : await provide(wanted, request.signal);
      const presented = await presenter.present(request, grant);
      const { response } = presented;
      if (response.status !== 401 && response.status !== 403) {
        if (wanted !== null && given === null) demands.remember(request, wanted);
        return response;
      }
      const next = await instead(request, presented, { wanted, grant, isGiven: given !== null, left });
      if (next === null || !request.canRepeat) return response;
      await discard(response);
      wanted = next;
    }
  }

  return async (input, { actions, resource, ...init } = {}) => {
    let request = await readRequest(input, init);
    request.signal.throwIfAborted();
    const given = actions === undefined ? null : { actions, resource };
    for (let left = MAX_REDIRECTS; ; left -= 1) {
      const response = await fetchHere(request, given);
      if (!isRedirect(response) || request.redirect === 'manual') return response;
      await discard(response);
      const next = redirected(request, response);
      if (next === null || request.redirect === 'error' || left === 0) {
        giveUp('protocol', `${request.url.origin} redirects a request that is not sent on.`, {
          status: response.status,
          hint: 'Redirects are followed on the same origin, without a body, and not often.',
        });
      }
      request = next;
    }
  };
}

type Trying = {
  wanted: Wanted | null;
  grant: Grant | null;
  /** The caller said which actions. */
  isGiven: boolean;
  left: { tokens: number; steps: number };
};
