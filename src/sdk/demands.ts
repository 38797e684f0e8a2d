/**
 * Which token a request needs: what the resource asked for when it was called there before, or, at a place that is
 * new, what it asked for lately elsewhere. A wrong guess costs one request: the answer says what is needed.
 */
import type { Wanted } from './access-token.ts';
import { giveUp } from './agent-error.ts';
import type { Demanded } from './challenge.ts';
import { covers } from './places.ts';
import type { ResourceDirectory } from './resource-directory.ts';

type Place = { method: string; url: URL };

export type Demands = {
  /** Without asking anybody; null when nothing is known. */
  known(place: Place): Wanted | null;
  /** It worked. */
  remember(place: Place, wanted: Wanted): void;
  /** @param demanded by a challenge, if there was one @returns null when this is no resource of any broker */
  find(place: Place, demanded: Demanded | null, signal: AbortSignal): Promise<Wanted | null>;
  /** More than before, at the same resource. @throws {AgentError} `denied` above what this agent was made for */
  more(wanted: Wanted, actions: readonly string[]): Wanted;
};

const MAX_PLACES = 1_000;
const MAX_RESOURCES = 100;

/** @param declared of `createAgent()`: never ask for more than these, and for these where nobody says better */
export function createDemands({
  directory,
  declared,
}: {
  directory: ResourceDirectory;
  declared: { resource?: string | undefined; actions?: readonly string[] | undefined };
}): Demands {
  const places = new Map<string, Wanted>();
  const resources = new Map<string, Wanted>();

  function within(actions: readonly string[]): readonly string[] {
    const strange = actions.filter((action) => declared.actions?.includes(action) === false);
    if (strange.length === 0) return actions;
    return giveUp(
      'denied',
      `The resource asks for ${strange.join(' ')}, which this agent was not made for.`,
      {
        hint: 'createAgent({ actions }) lists what it may ask for.',
      },
    );
  }

  /** Of all that a resource offers, what this agent is for. */
  function offered(actions: readonly string[]): readonly string[] {
    const { actions: own } = declared;
    if (own === undefined) return actions;
    const both = actions.filter((action) => own.includes(action));
    return both.length === 0 ? own : both;
  }

  function declaredAt(url: URL): Wanted | null {
    const { resource, actions } = declared;
    const isThere = resource !== undefined && actions !== undefined && covers(new URL(resource), url);
    return isThere ? { resource, actions } : null;
  }

  function latestAround(url: URL): Wanted | null {
    const around = [...resources.keys()].filter((resource) => covers(new URL(resource), url));
    const nearest = around.toSorted((one, other) => other.length - one.length)[0];
    return (nearest === undefined ? undefined : resources.get(nearest)) ?? null;
  }

  return {
    known: ({ method, url }) => places.get(nameOf(method, url)) ?? declaredAt(url) ?? latestAround(url),
    remember({ method, url }, wanted) {
      keep(places, nameOf(method, url), wanted, MAX_PLACES);
      if (wanted.resource !== undefined) keep(resources, wanted.resource, wanted, MAX_RESOURCES);
    },
    async find({ url }, demanded, signal) {
      const resource = await directory.describe({ url, named: demanded?.resourceMetadata }, signal);
      if (resource === null) return null;
      const asked = demanded?.actions ?? [];
      const actions = asked.length > 0 ? within(asked) : offered(resource.actions);
      if (actions.length > 0) return { resource: resource.name, actions };
      return giveUp('misconfigured', `${url.origin} does not say which actions it asks for.`, {
        hint: 'Say it: fetch(url, { actions: [...] }).',
      });
    },
    more: ({ resource }, actions) => ({ resource, actions: within(actions) }),
  };
}

function nameOf(method: string, { origin, pathname }: URL): string {
  return `${method} ${origin}${pathname}`;
}

function keep(map: Map<string, Wanted>, name: string, wanted: Wanted, most: number): void {
  map.delete(name);
  map.set(name, wanted);
  const [oldest = ''] = map.keys();
  if (map.size > most) map.delete(oldest);
}
