/**
 * The statements of an action's IAM policy as they stand in a file: what is wrong with them, and what they say. A
 * closed grammar: whatever it does not know is refused, also where IAM would take it.
 */
import { type AwsPolicy, type AwsStatement, fillResource, isTimeKey } from './aws-policy.ts';
import { isMapping } from './fields.ts';
import { described } from './problem.ts';

export type AwsFlaw = { steps: (string | number)[]; message: string };

const ACTION = /^([a-z0-9-]{1,40}):[A-Za-z0-9]{1,100}$/;
/** These hand out what outlives the token: other sessions, keys, roles. */
const SERVICES_THAT_LEND = new Set(['sts', 'iam', 'sso', 'organizations', 'rolesanywhere']);
const RESOURCE = /^arn:([a-z-]+):([a-z0-9-]{1,40}):([a-z0-9-]*):(\d{12})?:([A-Za-z0-9_.@=+,:/#*?-]{1,500})$/;
const OPERATOR =
  /^(?:ForAnyValue:|ForAllValues:)?(?:(?:String(?:Not)?(?:Equals(?:IgnoreCase)?|Like)|(?:Numeric|Date)(?:(?:Not)?Equals|LessThan(?:Equals)?|GreaterThan(?:Equals)?)|Arn(?:Not)?(?:Equals|Like)|(?:Not)?IpAddress|Bool)(?:IfExists)?|Null)$/;
const KEY = /^[A-Za-z0-9-]{1,40}:[A-Za-z0-9_.@=+/-]{1,128}$/;
/** Without what JSON would escape, and without `$`, which begins a policy variable. */
const VALUE = /^[\x20\x21\x23\x25-\x5b\x5d-\x7e]{1,256}$/;
const MOMENT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/;
const MAX_ITEMS = 50;

export function policyFlaws(policy: unknown): AwsFlaw[] {
  if (!isMapping(policy) || !hasOnly(policy, ['Version', 'Statement'])) {
    return [flaw(['policy'], 'Version and Statement alone', policy)];
  }
  const statements = listOf(policy.Statement);
  return [
    ...check(['policy', 'Version'], policy.Version === '2012-10-17', '"2012-10-17"', policy.Version),
    ...check(['policy', 'Statement'], isShort(statements), 'a list of statements', policy.Statement),
    ...statements
      .slice(0, MAX_ITEMS)
      .flatMap((statement, index) => statementFlaws(statement, ['policy', 'Statement', index])),
  ];
}

function statementFlaws(statement: unknown, steps: AwsFlaw['steps']): AwsFlaw[] {
  if (!isMapping(statement) || !hasOnly(statement, ['Effect', 'Action', 'Resource', 'Condition'])) {
    return [flaw(steps, 'Effect, Action, Resource and perhaps Condition, nothing else', statement)];
  }
  const { Effect, Action, Resource, Condition } = statement;
  const isResource = (text: unknown) =>
    typeof text === 'string' && RESOURCE.test(fillResource(text, () => 'x'));
  return [
    ...check([...steps, 'Effect'], Effect === 'Allow', 'Allow: what is not allowed is denied', Effect),
    ...check(
      [...steps, 'Action'],
      isSet(Action, isLentAction),
      'full names like s3:GetObject, without wildcards, and none of a service that lends credentials',
      Action,
    ),
    ...check(
      [...steps, 'Resource'],
      isSet(Resource, isResource),
      // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how it is written in a policy
      'ARNs with a resource in them, where only ${arguments.<name>} may stand for something',
      Resource,
    ),
    ...(Condition === undefined ? [] : conditionFlaws(Condition, [...steps, 'Condition'])),
  ];
}

function isLentAction(action: unknown): boolean {
  const service = typeof action === 'string' ? ACTION.exec(action)?.[1] : undefined;
  return service !== undefined && !SERVICES_THAT_LEND.has(service);
}

function conditionFlaws(condition: unknown, steps: AwsFlaw['steps']): AwsFlaw[] {
  const expected = 'operators of IAM, each with keys and plain values without $';
  if (!isMapping(condition) || !isShort(Object.keys(condition))) return [flaw(steps, expected, condition)];
  return Object.entries(condition).flatMap(([operator, keys]) => {
    const isKnown = OPERATOR.test(operator) && isMapping(keys) && hasDistinctKeys(keys);
    if (!isKnown) return [flaw([...steps, operator], expected, operator)];
    return Object.entries(keys).flatMap(([key, values]) =>
      check([...steps, operator, key], isCondition(operator, key, values), expected, values),
    );
  });
}

function hasDistinctKeys(keys: Record<string, unknown>): boolean {
  const names = Object.keys(keys);
  return isShort(names) && new Set(names.map((name) => name.toLowerCase())).size === names.length;
}

function isCondition(operator: string, key: string, values: unknown): boolean {
  if (!KEY.test(key) || !isSet(values, (value) => isText(value, VALUE))) return false;
  const isEnd = operator === 'DateLessThan' && isTimeKey(key);
  return !isEnd || (listOf(values).length === 1 && isText(listOf(values)[0], MOMENT));
}

/** @param policy has no flaws */
export function policyOf({ Version, Statement }: Record<string, unknown>): AwsPolicy {
  const statements = listOf(Statement) as Record<string, unknown>[];
  return { Version: Version as AwsPolicy['Version'], Statement: statements.map(statementOf) };
}

function statementOf({ Action, Resource, Condition }: Record<string, unknown>): AwsStatement {
  const lists = { Action: sorted(Action), Resource: sorted(Resource) };
  if (Condition === undefined) return { Effect: 'Allow', ...lists };
  const operators = Object.entries(Condition as Record<string, Record<string, unknown>>).map(
    ([operator, keys]) =>
      [
        operator,
        Object.fromEntries(Object.entries(keys).map(([key, values]) => [key, sorted(values)])),
      ] as const,
  );
  return { Effect: 'Allow', ...lists, Condition: Object.fromEntries(operators) };
}

/** Partition and account of what an ARN in a policy names; the account is often absent. */
export function placeOfResource(resource: string): { partition: string; account: string | undefined } {
  const [, partition = '', , , account] = RESOURCE.exec(fillResource(resource, () => 'x')) ?? [];
  return { partition, account };
}

export function check(steps: AwsFlaw['steps'], holds: boolean, expected: string, found: unknown): AwsFlaw[] {
  return holds ? [] : [flaw(steps, expected, found)];
}

export function flaw(steps: AwsFlaw['steps'], expected: string, found: unknown): AwsFlaw {
  return { steps, message: `expected ${expected}, found ${described(found)}` };
}

export function isText(value: unknown, form: RegExp): value is string {
  return typeof value === 'string' && form.test(value);
}

function hasOnly(value: Record<string, unknown>, names: string[]): boolean {
  return Object.keys(value).every((name) => names.includes(name));
}

function isShort(items: readonly unknown[]): boolean {
  return items.length > 0 && items.length <= MAX_ITEMS;
}

/** One text or a list of different ones. */
function isSet(value: unknown, isItem: (item: unknown) => boolean): boolean {
  const items = listOf(value);
  return isShort(items) && items.every(isItem) && new Set(items).size === items.length;
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : value === undefined ? [] : [value];
}

function sorted(value: unknown): string[] {
  return (listOf(value) as string[]).toSorted();
}
