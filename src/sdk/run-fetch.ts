/**
 * A `fetch` for programs that `mayfly run` started. The key of the session stays with the run: each request asks there
 * what it has to carry, and once more when the resource wants a nonce first.
 */
import { giveUp } from './agent-error.ts';
import type { AgentFetch } from './authorised-fetch.ts';
import { demandedBy } from './challenge.ts';
import { createNonces } from './nonces.ts';
import { discard } from './presenter.ts';
import { initOf, readRequest } from './request.ts';
import type { RunEndpoint } from './run-endpoint.ts';
import { isRedirect } from './send.ts';

const MAX_NONCES = 2;

export function createRunFetch(endpoint: RunEndpoint): AgentFetch {
  const nonces = createNonces();
  return async (input, { actions, resource, ...init } = {}) => {
    const request = await readRequest(input, init);
    const { method, url, signal } = request;
    signal.throwIfAborted();
    for (let left = MAX_NONCES; ; left -= 1) {
      const asked = { method, url: url.href, nonce: nonces.of(url.origin), actions, resource };
      const { authorization, dpop } = await endpoint.credentials(asked, signal);
      const headers = new Headers(request.headers);
      headers.set('authorization', authorization);
      headers.set('dpop', dpop);
      const response = await globalThis.fetch(url.href, initOf(request, headers));
      nonces.learn(url.origin, response.headers);
      const isNew = nonces.of(url.origin) !== asked.nonce; // to this request: another one may have brought it
      const isForNonce = response.status === 401 && demandedBy(response.headers)?.error === 'use_dpop_nonce';
      if (isRedirect(response) && request.redirect !== 'manual') {
        await discard(response);
        giveUp('protocol', `${url.origin} redirects a request, which is not sent on.`);
      }
      if (!isForNonce || !isNew || !request.canRepeat || left === 0) return response;
      await discard(response);
    }
  };
}
