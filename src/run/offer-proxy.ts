/** The offer of `--proxy`: programs that know nothing of mayfly ask for `http://…`, and their requests are signed on the way. */
import type { FetchLike } from '../sdk/send.ts';
import type { Offer, OpenOffer } from './offer.ts';
import { AROUND_PROXY, openProxy } from './proxy.ts';
import { createPlaces } from './proxy-places.ts';
import { createUpstream } from './proxy-upstream.ts';

export type ProxyOffer = {
  /** For the agent of the run: it speaks with resources on connections of the run's own. */
  fetch: FetchLike;
  open: OpenOffer;
};

/** @throws {AgentError} `misconfigured` for resources that are none */
export function offerProxy({
  resources,
  report,
}: {
  resources: readonly string[];
  report(line: string): void;
}): ProxyOffer {
  createPlaces(resources); // said before anything is opened
  const origins = new Set(resources.map((resource) => new URL(resource).origin));
  const upstream = createUpstream({ warn: report });
  return {
    fetch: (url, init) =>
      origins.has(new URL(url).origin) ? upstream.fetch(url, init) : globalThis.fetch(url, init),
    // What is idle upstream keeps no process, and the end of the session may still be on its way.
    async open({ session, offered }): Promise<Offer> {
      const { environment, close } = await openProxy({ agent: session, resources });
      return { environment: { ...environment, ...pastProxy(offered) }, withheld: AROUND_PROXY, close };
    },
  };
}

/** What the run itself has on this machine is asked without a proxy, and nothing else is. */
function pastProxy(offered: Readonly<Record<string, string>>): Record<string, string> {
  const { MAYFLY_TOKEN_ENDPOINT, AWS_CONTAINER_CREDENTIALS_FULL_URI } = offered;
  const own = [MAYFLY_TOKEN_ENDPOINT, AWS_CONTAINER_CREDENTIALS_FULL_URI].filter((url) => url !== undefined);
  if (own.length === 0) return {};
  const hosts = own.map((url) => new URL(url).host).join(',');
  return { no_proxy: hosts, NO_PROXY: hosts };
}
