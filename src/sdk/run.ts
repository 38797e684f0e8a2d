/** One session: a key that was made for it, the tokens that are bound to it, and its end. */

import { type HeldToken, readToken, type Wanted } from './access-token.ts';
import type { AgentClock } from './agent-clock.ts';
import type { BrokerLink } from './broker-link.ts';
import { createHeldTokens, type HeldTokens } from './held-tokens.ts';
import { makeSessionKey, type SessionKey } from './session-key.ts';

/** The one call that a token is for: RFC 9396, type `mayfly_call`. */
export type NamedCall = { action: string; method: string; url: string; arguments_digest: string };

export type Run = {
  key: SessionKey;
  tokens: HeldTokens;
  /** Undefined until its first token: it is the broker who opens it. */
  id(): string | undefined;
  /** A token for one call; it is not kept. */
  mintForCall(call: NamedCall): Promise<HeldToken>;
  /** At the broker. @throws {AgentError} */
  end(signal: AbortSignal): Promise<void>;
};

export type RunOptions = {
  link: BrokerLink;
  clock: AgentClock;
  random: () => number;
  tokenLifetimeSeconds: number | undefined;
  /** Of the agent: what is asked of the broker is asked for whoever waits, and ends when the agent is closed. */
  lifetime: AbortSignal;
};

export async function openRun({
  link,
  clock,
  random,
  tokenLifetimeSeconds,
  lifetime,
}: RunOptions): Promise<Run> {
  const key = await makeSessionKey();
  let id: string | undefined;
  let wasAsked = false;

  async function mint(fields: Record<string, string>): Promise<HeldToken> {
    wasAsked = true;
    const answer = await link.ask({ path: 'token', fields, sessionKey: key, signal: lifetime });
    const token = readToken(answer, clock);
    id = token.sessionId ?? id;
    return token;
  }

  function mintWanted({ resource, actions }: Wanted): Promise<HeldToken> {
    return mint({
      scope: actions.join(' '),
      ...(resource === undefined ? {} : { resource }),
      ...(tokenLifetimeSeconds === undefined ? {} : { ttl_seconds: String(tokenLifetimeSeconds) }),
    });
  }

  return {
    key,
    tokens: createHeldTokens({ mint: mintWanted, random }),
    id: () => id,
    mintForCall: (call) =>
      mint({ authorization_details: JSON.stringify([{ type: 'mayfly_call', ...call }]) }),
    async end(signal) {
      // Also when no answer came: the token may have been minted all the same.
      if (wasAsked)
        await link.ask({ path: '/v1/sessions/current/revoke', fields: {}, sessionKey: key, signal });
    },
  };
}
