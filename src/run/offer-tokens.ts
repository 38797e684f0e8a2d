/** The offer that every run makes: an endpoint of its own, where the program gets what its requests carry. */
import { join } from 'node:path';
import { systemClock } from '../sdk/agent-clock.ts';
import { createDemands } from '../sdk/demands.ts';
import { createResourceDirectory } from '../sdk/resource-directory.ts';
import { anybodyHere } from './bearer.ts';
import { createBootstrap } from './bootstrap.ts';
import { openLocalEndpoint } from './local-endpoint.ts';
import type { Offer, OpenOffer, RunContext } from './offer.ts';
import { RunError } from './run-error.ts';
import { createRunTokens, type RunTokens } from './run-tokens.ts';
import { tokenVerbs } from './token-verbs.ts';

/** On a port of 127.0.0.1: whoever has the bootstrap code gets the secret, once. */
export const offerTokens: OpenOffer = async (context) => {
  const { code, verb, guard } = createBootstrap(context);
  const { tokens, stop } = openTokens(context);
  const endpoint = await openLocalEndpoint({ verbs: [verb, ...tokenVerbs({ tokens, guard })] });
  return closing(stop, {
    environment: { MAYFLY_TOKEN_ENDPOINT: endpoint.address, MAYFLY_BOOTSTRAP: code },
    close: endpoint.close,
  });
};

/** On a Unix socket, which only the program's user can open. */
export const offerTokensOnSocket: OpenOffer = async (context) => {
  const socket = requireShort(join(context.folder, 'tokens.sock'));
  const { tokens, stop } = openTokens(context);
  const endpoint = await openLocalEndpoint({ verbs: tokenVerbs({ tokens, guard: anybodyHere }), socket });
  context.handOver(socket);
  return closing(stop, { environment: { MAYFLY_TOKEN_SOCKET: socket }, close: endpoint.close });
};

/** unix(7) */
const MAX_SOCKET_BYTES = 107;

function requireShort(socket: string): string {
  if (Buffer.byteLength(socket) <= MAX_SOCKET_BYTES) return socket;
  throw new RunError(
    `${socket} is longer than a Unix socket may be called: name a shorter folder in TMPDIR, like /tmp.`,
  );
}

function openTokens({ issuer, session, limits }: RunContext): { tokens: RunTokens; stop: () => void } {
  const lifetime = new AbortController();
  const directory = createResourceDirectory({
    issuer,
    fetch: (url, init) => globalThis.fetch(url, init),
    clock: systemClock,
    lifetime: lifetime.signal,
  });
  const demands = createDemands({ directory, declared: limits });
  return { tokens: createRunTokens({ session, demands, limits }), stop: () => lifetime.abort() };
}

function closing(stop: () => void, { environment, close }: Offer): Offer {
  return {
    environment,
    async close() {
      stop();
      await close();
    },
  };
}
