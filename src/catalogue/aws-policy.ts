/**
 * The IAM policy of an action, as far as it may be written in the catalogue: allowed actions by their full names, and
 * resources by ARN, in which an argument of the call may stand for one name. What IAM would let a policy say besides
 * (Deny, NotAction, NotResource, principals, wildcards in actions, policy variables) has no place here: a reviewer
 * reads at most what the policy grants.
 *
 * The same function fills the policy in to measure it when the catalogue loads and to compile it when somebody asks.
 */
export type AwsStatement = {
  Effect: 'Allow';
  /** Sorted. */
  Action: string[];
  /** Sorted; `${arguments.<name>}` stands for the value of an argument. */
  Resource: string[];
  /** Operator, key, values; sorted values. */
  Condition?: Record<string, Record<string, string[]>>;
};

export type AwsPolicy = { Version: '2012-10-17'; Statement: AwsStatement[] };

/** What STS takes as an inline session policy, in characters (AssumeRole, parameter Policy). */
export const MAX_POLICY_CHARACTERS = 2_048;

const PLACEHOLDER = /\$\{arguments\.([A-Za-z_][A-Za-z0-9_]{0,63})\}/g;
const TIME_OPERATOR = 'DateLessThan';
const TIME_KEY = 'aws:CurrentTime';

/** Names of the arguments that stand in the policy, each once. */
export function argumentsIn({ Statement }: AwsPolicy): string[] {
  const names = Statement.flatMap(({ Resource }) => Resource.flatMap(placeholdersIn));
  return [...new Set(names)].sort();
}

export function placeholdersIn(resource: string): string[] {
  return [...resource.matchAll(PLACEHOLDER)].map(([, name = '']) => name);
}

/** The ARN with a name in each place where an argument stands. */
export function fillResource(resource: string, named: (argument: string) => string): string {
  return resource.replaceAll(PLACEHOLDER, (_whole, name: string) => named(name));
}

/**
 * The session policy in as few characters as JSON allows, bound in time on every statement.
 *
 * @param until `2026-11-23T12:00:00Z`: from then on it allows nothing
 */
export function fillPolicy(
  { Version, Statement }: AwsPolicy,
  { named, until }: { named: (argument: string) => string; until: string },
): string {
  const statements = Statement.map(({ Effect, Action, Resource, Condition = {} }) => ({
    Effect,
    Action: oneOrMany(Action),
    Resource: oneOrMany(Resource.map((resource) => fillResource(resource, named))),
    Condition: conditionUntil(Condition, until),
  }));
  return JSON.stringify({ Version, Statement: oneOrMany(statements) });
}

/** Values of one key are alternatives, keys and operators have to hold together: so a time that is there is lowered. */
function conditionUntil(condition: Record<string, Record<string, string[]>>, until: string) {
  const others = Object.entries(condition).map(([operator, keys]) => [operator, keysOf(keys)] as const);
  const { [TIME_OPERATOR]: dates = {} } = condition;
  const [name = TIME_KEY, values = []] = Object.entries(dates).find(([key]) => isTimeKey(key)) ?? [];
  const [earliest = until] = [...values, until].sort();
  return {
    ...Object.fromEntries(others),
    [TIME_OPERATOR]: { ...keysOf(dates), [name]: earliest },
  };
}

/** IAM compares keys without their case. */
export function isTimeKey(key: string): boolean {
  return key.toLowerCase() === TIME_KEY.toLowerCase();
}

function keysOf(keys: Record<string, string[]>) {
  return Object.fromEntries(Object.entries(keys).map(([key, values]) => [key, oneOrMany(values)]));
}

function oneOrMany<T>(items: T[]): T | T[] {
  const [first, ...more] = items;
  return first === undefined || more.length > 0 ? items : first;
}
