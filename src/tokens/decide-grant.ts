/**
 * May this agent have that token? A pure rule over the reviewed catalogue, the same for a token of a session and
 * for one bound to a single call. It never answers with less than was asked for: a client that gets a token has
 * every action that it named (at the resource that it named).
 */
import type { Action, Agent, Catalogue } from '../catalogue/catalogue.ts';
import { refuse } from '../errors/refusal.ts';
import type { Call } from './call.ts';
import type { TokenRequest } from './token-request.ts';

export type Grant = {
  /** Sorted names; the `scope` of the token. */
  actions: readonly string[];
  /** The audience. */
  resource: string;
  /** Upper bound; the end of the session may shorten it further. */
  lifetimeSeconds: number;
  /** Present in a request token: single use, for this call only. */
  call: Call | undefined;
};

export const MAX_REQUEST_TOKEN_SECONDS = 60;

export type GrantContext = {
  agent: Agent;
  catalogue: Catalogue;
  /** Other exact spellings of an audience, e.g. where the sample server plays it. */
  resourceAliases: ReadonlyMap<string, string>;
};

/** @throws {Refusal} */
export function decideGrant(
  request: TokenRequest,
  { agent, catalogue, resourceAliases }: GrantContext,
): Grant {
  const asked = request.actions.map((name) => grantedAction(name, agent, catalogue));
  const resource = chooseResource(request.resource, asked, { catalogue, resourceAliases });
  const actions = asked.filter((action) => action.resource === resource);
  if (actions.length === 0) {
    refuse('resource_mismatch', { hint: 'None of the actions belongs to this resource.' });
  }
  for (const action of actions) refuseUnusable(action, request.call);
  return {
    actions: actions.map((action) => action.name).sort(),
    resource,
    lifetimeSeconds: lifetimeOf(actions, request),
    call: request.call,
  };
}

/** An unknown action and one that is not granted get the same answer: names of the catalogue cannot be probed. */
function grantedAction(name: string, agent: Agent, catalogue: Catalogue): Action {
  const action = catalogue.actions.get(name);
  const zone = catalogue.zones.get(agent.zone);
  if (action === undefined || !agent.may.includes(name) || !zone?.mayCall.includes(action.zone)) {
    refuse('action_not_granted', {
      hint: `This agent may ask for what ${agent.file} lists; its owner, ${agent.owner}, can propose a change.`,
    });
  }
  return action;
}

function chooseResource(
  asked: string | undefined,
  actions: readonly Action[],
  { catalogue, resourceAliases }: Pick<GrantContext, 'catalogue' | 'resourceAliases'>,
): string {
  if (asked !== undefined) {
    const audience = resourceAliases.get(asked) ?? asked;
    if (catalogue.resources.has(audience)) return audience;
    refuse('resource_unknown', { hint: 'resource is the audience of a declared resource, to the letter.' });
  }
  const [resource, ...others] = new Set(actions.map((action) => action.resource));
  if (resource === undefined || others.length > 0) {
    refuse('resource_ambiguous', {
      hint: 'The actions belong to several resources: say which one in resource.',
    });
  }
  return resource;
}

function refuseUnusable(action: Action, call: Call | undefined): void {
  if (action.approval !== 'none') {
    refuse('action_needs_approval', {
      hint: 'A person has to approve each use of this action, and approvals are not available yet.',
    });
  }
  if (action.use === 'request' && call === undefined) {
    refuse('action_needs_request_token', {
      hint: 'This action is had only for one call at a time: ask with authorization_details of type mayfly_call.',
    });
  }
}

function lifetimeOf(actions: readonly Action[], { ttlSeconds, call }: TokenRequest): number {
  const wanted = ttlSeconds ?? Math.min(...actions.map((action) => action.lifetime.defaultSeconds));
  const allowed = Math.min(...actions.map((action) => action.lifetime.maxSeconds));
  return Math.min(wanted, allowed, call === undefined ? allowed : MAX_REQUEST_TOKEN_SECONDS);
}

/**
 * The spellings of a resource that are taken for its audience: an empty path may be written as `/` (RFC 3986
 * §6.2.3; deployed clients do), and, for a catalogue under development, where the sample server plays it.
 */
export function resourceAliases(
  catalogue: Catalogue,
  sampleOrigin: string | undefined,
): ReadonlyMap<string, string> {
  const aliases = new Map<string, string>();
  const add = (url: string, audience: string) => {
    aliases.set(url, audience);
    if (new URL(url).pathname === '/') aliases.set(`${url.replace(/\/$/, '')}/`, audience);
  };
  for (const { audience, developmentPath } of catalogue.resources.values()) {
    add(audience, audience);
    if (sampleOrigin !== undefined && developmentPath !== undefined) {
      add(`${sampleOrigin}${developmentPath === '/' ? '' : developmentPath}`, audience);
    }
  }
  return aliases;
}
