/**
 * Shows a token to a resource server, with a proof for this very request, until it is let in or refused for a reason
 * that another proof does not change.
 */
import type { HeldToken } from './access-token.ts';
import { giveUp } from './agent-error.ts';
import { type Demanded, demandedBy } from './challenge.ts';
import type { Nonces } from './nonces.ts';
import { isSafe } from './places.ts';
import { readBytes } from './read-answer.ts';
import { type AgentRequest, initOf } from './request.ts';
import { type FetchLike, NetworkFailure, networkCodeOf } from './send.ts';
import type { ServerTimes } from './server-times.ts';
import type { SessionKey } from './session-key.ts';

/** A token, and the key that it is bound to. */
export type Grant = { token: HeldToken; key: SessionKey; forget(): void };

export type Presented = { response: Response; demanded: Demanded | null };

/** Which request it is for; the newest nonce of that server is taken where none is given. */
type Shown = { method: string; url: URL; nonce?: string; signal: AbortSignal };

export type Credentials = { Authorization: string; DPoP: string };

export type Presenter = {
  /** For one request; whoever sends it takes care of nonces. */
  credentials(request: Shown, grant: Grant): Promise<Credentials>;
  /** @throws {TypeError} when nobody answers, as `fetch` does */
  present(request: AgentRequest, grant: Grant | null): Promise<Presented>;
};

const MAX_NONCES = 2;
const MAX_PROOFS = 1;
const MAX_DRAINED_BYTES = 65_536;

export function createPresenter(options: {
  fetch: FetchLike;
  times: ServerTimes;
  nonces: Nonces;
}): Presenter {
  const { fetch, times, nonces } = options;

  async function credentials(
    { method, url, nonce = nonces.of(url.origin), signal }: Shown,
    { token, key }: Grant,
  ): Promise<Credentials> {
    if (!isSafe(url)) {
      giveUp('misconfigured', `No token is sent to ${url.origin}: it would go over the network in clear.`);
    }
    const accessToken = token.text();
    const issuedAt = times.nowSeconds(url.origin);
    const proof = { method, url: url.href, issuedAt, nonce, accessToken };
    return { Authorization: `DPoP ${accessToken}`, DPoP: await key.sign(proof, signal) };
  }

  async function send(request: AgentRequest, grant: Grant | null): Promise<Presented> {
    const { url, signal } = request;
    const headers = new Headers(request.headers);
    const shown = grant === null ? [] : Object.entries(await credentials(request, grant));
    for (const [name, value] of shown) headers.set(name, value);
    const response = await fetch(url.href, initOf(request, headers)).catch((error: unknown) => {
      signal.throwIfAborted();
      // Not the error itself: whoever made this fetch may have put the request into it.
      const failure = new NetworkFailure(networkCodeOf(error));
      throw new TypeError(`fetch failed: ${url.origin} cannot be reached (${failure.code})`, {
        cause: failure,
      });
    });
    times.learn(url.origin, response.headers);
    nonces.learn(url.origin, response.headers);
    return { response, demanded: demandedBy(response.headers) };
  }

  return {
    credentials,
    async present(request, grant) {
      const left: Record<string, number> = { use_dpop_nonce: MAX_NONCES, invalid_dpop_proof: MAX_PROOFS };
      for (;;) {
        const presented = await send(request, grant);
        const { response, demanded } = presented;
        const error = demanded?.error ?? '';
        const tries = Object.hasOwn(left, error) ? (left[error] ?? 0) : 0;
        if (grant === null || response.status !== 401 || !request.canRepeat || tries === 0) return presented;
        left[error] = tries - 1;
        await discard(response);
      }
    },
  };
}

/** What nobody will read: its connection can be used again when it is short. */
export async function discard({ body }: Response): Promise<void> {
  const { rest } = await readBytes(body, MAX_DRAINED_BYTES).catch(() => ({ rest: null }));
  await rest?.cancel();
}
