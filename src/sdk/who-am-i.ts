/** What an agent or an operator is to its broker, asked with a key that is made for the question: no session is opened. */
import { systemClock } from './agent-clock.ts';
import { giveUp } from './agent-error.ts';
import { type AgentKey, openKey } from './agent-key.ts';
import { createBrokerLink } from './broker-link.ts';
import { createNonces } from './nonces.ts';
import { requireIssuer } from './places.ts';
import type { FetchLike } from './send.ts';
import { createServerTimes } from './server-times.ts';
import { makeSessionKey } from './session-key.ts';

/** As the broker answers; `openapi.yaml` has its members (`OwnAgent`). */
export type OwnAgent = Readonly<Record<string, unknown>>;

/** @throws {AgentError} */
export async function whoAmI(options: {
  issuer: string;
  clientId: string;
  key: AgentKey | Promise<AgentKey>;
  fetch: FetchLike;
  withinMilliseconds: number;
}): Promise<OwnAgent> {
  const { issuer, clientId, fetch, withinMilliseconds } = options;
  const signal = AbortSignal.timeout(withinMilliseconds);
  const clock = systemClock;
  const link = createBrokerLink({
    issuer,
    clientId,
    signer: Promise.resolve(await openKey(options.key)),
    fetch,
    clock,
    random: Math.random,
    times: createServerTimes({ clock, home: requireIssuer(issuer).origin }),
    nonces: createNonces(),
  });
  const sessionKey = await makeSessionKey();
  try {
    const { json } = await link.ask({ path: '/v1/agents/current', fields: {}, sessionKey, signal });
    return json;
  } catch (error) {
    if (!signal.aborted) throw error;
    return giveUp('unavailable', `The broker at ${issuer} does not say in time who we are.`);
  }
}
