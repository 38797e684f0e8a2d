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

/** The endpoint of the run is asked without a proxy, and nothing else is. */
function pastProxy({ MAYFLY_TOKEN_ENDPOINT: endpoint }: Readonly<Record<string, string>>) {
  if (endpoint === undefined) return {};
  const { host } = new URL(endpoint);
  return { no_proxy: host, NO_PROXY: host };
}
