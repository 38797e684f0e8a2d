/**
 * What a run may have: tokens of its one session, for the actions that it was started with and, where resources were
 * named, for those alone. The program may ask for less, and for nothing else.
 */
import type { Wanted } from '../sdk/access-token.ts';
import type { AgentSession } from '../sdk/agent.ts';
import type { Demands } from '../sdk/demands.ts';
import { covers } from '../sdk/places.ts';
import type { AgentToken } from '../sdk/shown-token.ts';
import { refuseHere } from './refused-here.ts';

export type AskedToken = {
  actions?: readonly string[] | undefined;
  resource?: string | undefined;
};

export type AskedCredentials = AskedToken & { method: string; url: URL; nonce?: string | undefined };

export type RunTokens = {
  token(asked: AskedToken, signal: AbortSignal): Promise<AgentToken>;
  /** For one request. */
  credentials(
    asked: AskedCredentials,
    signal: AbortSignal,
  ): Promise<{ token: AgentToken; authorization: string; dpop: string }>;
};

/** What the run was started with. */
export type Limits = { actions: readonly string[]; resources: readonly string[] };

export function createRunTokens({
  session,
  demands,
  limits: { actions, resources },
}: {
  session: AgentSession;
  /** Of the same actions: what a resource says that it asks for. */
  demands: Demands;
  limits: Limits;
}): RunTokens {
  function requireOwn({ actions: asked = [], resource }: AskedToken): void {
    if (!asked.every((action) => actions.includes(action))) {
      refuseHere('not_of_this_run', 'The run was started for other actions: see its --action options.');
    }
    if (resource !== undefined && resources.length > 0 && !resources.includes(resource)) {
      refuseHere('not_of_this_run', 'The run was started for other resources: see its --resource options.');
    }
  }

  /** The one of the run's resources that this is below, if it has any. */
  function resourceAt(url: URL): string | undefined {
    if (resources.length === 0) return undefined;
    const around = resources.filter((resource) => covers(new URL(resource), url));
    const [nearest] = around.toSorted((one, other) => other.length - one.length);
    return nearest ?? refuseHere('not_of_this_run', 'This URL lies below none of its --resource options.');
  }

  async function wantedAt(asked: AskedCredentials, signal: AbortSignal): Promise<Wanted> {
    const own = { resource: asked.resource ?? resourceAt(asked.url), actions: asked.actions ?? actions };
    const isPlain = own.resource !== undefined || own.actions.length === 1 || asked.actions !== undefined;
    if (isPlain) return own;
    return demands.known(asked) ?? (await demands.find(asked, null, signal)) ?? own;
  }

  return {
    async token(asked, signal) {
      requireOwn(asked);
      const resource = asked.resource ?? (resources.length === 1 ? resources[0] : undefined);
      const wanted = { actions: asked.actions ?? actions, ...(resource === undefined ? {} : { resource }) };
      return session.token({ ...wanted, signal });
    },
    async credentials(asked, signal) {
      requireOwn(asked);
      resourceAt(asked.url);
      const wanted = await wantedAt(asked, signal);
      const { resource } = wanted;
      const token = await session.token({
        actions: wanted.actions,
        ...(resource === undefined ? {} : { resource }),
        signal,
      });
      const { method, url, nonce } = asked;
      const request = { method, url, signal, ...(nonce === undefined ? {} : { nonce }) };
      const { Authorization, DPoP } = await token.credentials(request);
      demands.remember(asked, wanted);
      return { token, authorization: Authorization, dpop: DPoP };
    },
  };
}
