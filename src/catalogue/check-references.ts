/**
 * The rules between declarations: names are unique, what is referred to exists, and an agent is granted only what
 * its zone may reach. They hold for files, where each finding has a place, and for a stored document, where any
 * finding refuses the whole; so the place is a parameter.
 */
import { didYouMean } from '../errors/nearest-name.ts';
import { AWS_PATH } from './aws-access.ts';
import type { Finding } from './fields.ts';
import { quoted } from './problem.ts';

export type Declarations<At> = {
  zones: readonly { name: string; mayCall: readonly { zone: string; section: At }[]; section: At }[];
  resources: readonly {
    audience?: string | undefined;
    zone?: string | undefined;
    developmentKey?: boolean;
    developmentPath?: string | undefined;
    keys: readonly { thumbprint: string; section: At }[];
    actions: readonly { name: string; aws?: DeniableRole | undefined; section: At }[];
    section: At;
  }[];
  agents: readonly {
    name?: string | undefined;
    zone?: string | undefined;
    keys: readonly { thumbprint: string; section: At }[];
    may: readonly { action: string; section: At }[];
    section: At;
  }[];
  operators: readonly {
    name?: string | undefined;
    keys: readonly { thumbprint: string; section: At }[];
    section: At;
  }[];
};

type DeniableRole = { roleArn: string; denyWhenRevoked?: true };

/** Tells a finding at `steps` below a place. */
export type Tell<At> = (at: At, steps: readonly string[], finding: Finding, part?: 'key' | 'value') => void;

export function checkReferences<At>(declarations: Declarations<At>, tell: Tell<At>): void {
  checkUnique(declarations, tell);
  checkAws(declarations, tell);
  checkZones(declarations, tell);
  checkGrants(declarations, tell);
}

function checkUnique<At>({ zones, resources, agents, operators }: Declarations<At>, tell: Tell<At>): void {
  const once = (kind: string): ((name: string | undefined, at: At, steps: string[]) => void) => {
    const seen = new Set<string>();
    return (name, at, steps) => {
      if (name === undefined) return;
      if (seen.has(name)) tell(at, steps, declaredTwice(kind, name), steps.length === 0 ? 'key' : 'value');
      seen.add(name);
    };
  };
  const [zone, audience, path] = [once('zone'), once('resource'), once('development_path')];
  const [action, client, key] = [once('action'), once('agent or operator'), once('key')];
  for (const { name, section } of zones) zone(name, section, []);
  for (const resource of resources) {
    audience(resource.audience, resource.section, ['resource']);
    path(resource.developmentPath, resource.section, ['development_path']);
    for (const { name, section } of resource.actions) action(name, section, []);
  }
  // one namespace: a token and a revocation name a client, whatever it is
  for (const { name, section } of agents) client(name, section, ['agent']);
  for (const { name, section } of operators) client(name, section, ['operator']);
  for (const { keys } of [...resources, ...agents, ...operators]) {
    for (const { thumbprint, section } of keys) key(thumbprint, section, ['x']);
  }
}

function declaredTwice(kind: string, name: string): Finding {
  return {
    rule: 'duplicate-name',
    message: `expected each ${kind} to be declared once, found ${quoted(name)} a second time`,
    fix:
      kind === 'key'
        ? 'Give everybody a key of their own: whoever holds a shared key can act as both.'
        : `Rename or remove one of the two.`,
  };
}

/** What gives AWS credentials is served by the broker: nobody else has a key for it, and nothing else is there. */
function checkAws<At>({ resources }: Declarations<At>, tell: Tell<At>): void {
  const denies = new Map<string, boolean>();
  for (const { audience, keys, developmentKey = false, actions, section } of resources) {
    const others = actions.filter(({ aws }) => aws === undefined);
    if (others.length === actions.length) continue;
    if (audience !== undefined && !audience.endsWith(AWS_PATH)) tell(section, ['resource'], AWS_ELSEWHERE);
    if (keys.length > 0 || developmentKey) tell(section, [], AWS_WITH_KEY, 'key');
    for (const { section: at } of others) tell(at, [], AWS_MISSING, 'key');
    for (const { aws, section: at } of actions) {
      if (aws === undefined) continue;
      const isDenied = aws.denyWhenRevoked === true;
      if ((denies.get(aws.roleArn) ?? isDenied) !== isDenied) tell(at, ['aws'], AWS_DENIED_BY_HALF, 'key');
      denies.set(aws.roleArn, isDenied);
    }
  }
}

const AWS_ELSEWHERE: Finding = {
  rule: 'aws-resource',
  message: `expected a resource at ${AWS_PATH} of the issuer for actions with aws`,
  fix: `The broker serves them itself. Write resource: https://<the issuer>${AWS_PATH}.`,
};
const AWS_WITH_KEY: Finding = {
  rule: 'aws-resource',
  message: 'expected neither keys nor development_key for a resource whose actions have aws',
  fix: 'Remove them: the broker serves this resource itself.',
};
const AWS_DENIED_BY_HALF: Finding = {
  rule: 'aws-resource',
  message: 'expected deny_when_revoked to be the same in all actions with this role_arn',
  fix: 'A policy on a role is for all who have it. Write it in each of them, or use another role.',
};
const AWS_MISSING: Finding = {
  rule: 'aws-resource',
  message: 'expected aws in every action of this resource, found an action without',
  fix: 'Move the action to the resource that serves it.',
};

function checkZones<At>({ zones, resources, agents }: Declarations<At>, tell: Tell<At>): void {
  const known = new Set(zones.map(({ name }) => name));
  const check = (zone: string | undefined, at: At, steps: string[]): void => {
    if (zone !== undefined && !known.has(zone)) tell(at, steps, unknown('zone', zone, known, 'zones.yaml'));
  };
  for (const { mayCall } of zones) for (const { zone, section } of mayCall) check(zone, section, []);
  for (const { zone, section } of [...resources, ...agents]) check(zone, section, ['zone']);
}

function checkGrants<At>({ zones, resources, agents }: Declarations<At>, tell: Tell<At>): void {
  const reach = new Map(zones.map(({ name, mayCall }) => [name, new Set(mayCall.map(({ zone }) => zone))]));
  const zoneOfAction = new Map(
    resources.flatMap(({ zone, actions }) => actions.map(({ name }) => [name, zone] as const)),
  );
  for (const agent of agents) {
    for (const { action, section } of agent.may) {
      const target = zoneOfAction.get(action);
      const reachable = agent.zone === undefined ? undefined : reach.get(agent.zone);
      if (!zoneOfAction.has(action)) {
        tell(section, [], unknown('action', action, zoneOfAction.keys(), 'a file of resources/'));
      } else if (target !== undefined && reach.has(target) && reachable?.has(target) === false) {
        tell(section, [], outOfReach(action, target, agent.zone ?? ''));
      }
    }
  }
}

function unknown(
  kind: 'zone' | 'action',
  name: string,
  known: Iterable<string>,
  declaredIn: string,
): Finding {
  return {
    rule: `unknown-${kind}`,
    message: `expected a declared ${kind}, found ${quoted(name)}`,
    fix: `${didYouMean(name, known)}Declare it in ${declaredIn}, or remove it here.`,
  };
}

function outOfReach(action: string, target: string, zone: string): Finding {
  return {
    rule: 'zone-not-reachable',
    message: `expected an action in a zone that ${zone} may call, found ${action} in ${target}`,
    fix: `Remove it, move the agent, or (for a whole zone at once) add ${target} to may_call of ${zone} in zones.yaml.`,
  };
}
