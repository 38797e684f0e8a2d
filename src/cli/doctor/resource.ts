/** A resource server's own word (RFC 9728): that it is called so, takes tokens of this broker, and offers the actions. */
import { systemClock } from '../../sdk/agent-clock.ts';
import { AgentError } from '../../sdk/agent-error.ts';
import { createResourceDirectory } from '../../sdk/resource-directory.ts';
import { type Finding, failed, type Hop, ok, warning } from './hop.ts';
import { isTimeout } from './network.ts';

export function resourceHop(options: {
  resource: URL;
  issuer: string;
  action: readonly string[];
  withinMilliseconds: number;
}): Hop {
  const { resource: url, issuer, action, withinMilliseconds } = options;

  async function look(): Promise<Finding> {
    const signal = AbortSignal.timeout(withinMilliseconds);
    const directory = createResourceDirectory({ issuer, fetch, clock: systemClock, lifetime: signal });
    try {
      const found = await directory.describe({ url, named: undefined }, signal);
      if (found === null) return silent(url);
      const absent = action.filter((name) => !found.actions.includes(name));
      if (absent.length === 0) {
        const offered = found.actions.join(' ') || 'actions that it does not name';
        return ok(`${found.name} takes tokens of this broker, for ${offered}.`);
      }
      return warning(
        `${found.name} does not speak of ${absent.join(' ')}, but of ${found.actions.join(' ') || 'no action'}.`,
        'Compare the actions with what the resource is called in scopes/resources/.',
      );
    } catch (error) {
      if (isTimeout(error)) return failed(`${url.origin} does not answer.`, `curl -i ${url.href}`);
      if (!(error instanceof AgentError)) throw error;
      const {
        message,
        hint = `Look at what it says: curl -i ${url.origin}/.well-known/oauth-protected-resource`,
      } = error;
      return failed(message, hint);
    }
  }

  return { name: 'resource', needs: [], ends: 'unreachable', look };
}

function silent(url: URL): Finding {
  const place = `${url.origin}/.well-known/oauth-protected-resource`;
  return warning(
    `${url.origin} does not say what it wants (RFC 9728), so clients have to be told.`,
    `Name actions where you ask for tokens; a server says it with mayfly/verifier's metadata() at ${place}`,
  );
}
