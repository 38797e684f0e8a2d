/**
 * The session policy of one set of credentials: what the reviewed policy of the action says, with the arguments of this
 * call in its ARNs, and on every statement the moment at which the token ends. STS has no credentials for less than 900
 * seconds; this is what makes them worth nothing after the token (STS-03).
 *
 * It can only be narrower than what was reviewed: an argument is one plain name, checked here again whatever its schema
 * promised, and nothing but the time is added.
 */
import { isPlainName } from '../catalogue/aws-arguments.ts';
import { type AwsPolicy, argumentsIn, fillPolicy, MAX_POLICY_CHARACTERS } from '../catalogue/aws-policy.ts';
import { refuse } from '../errors/refusal.ts';

/**
 * @param values the arguments of the call, which the schema of the action has accepted
 * @param until NumericDate at which the token expires
 * @returns JSON for the parameter Policy of STS
 * @throws {Refusal} `arguments_not_accepted`
 */
export function compilePolicy(
  policy: AwsPolicy,
  { values, until }: { values: Readonly<Record<string, unknown>>; until: number },
): string {
  const names = new Map(argumentsIn(policy).map((name) => [name, plainName(name, values)] as const));
  const compiled = fillPolicy(policy, { named: (name) => names.get(name) ?? '', until: momentOf(until) });
  if (compiled.length > MAX_POLICY_CHARACTERS) throw new Error('the policy was measured when it was loaded');
  return compiled;
}

function plainName(argument: string, values: Readonly<Record<string, unknown>>): string {
  const value = Object.hasOwn(values, argument) ? values[argument] : undefined;
  if (typeof value === 'string' && isPlainName(value)) return value;
  return refuse('arguments_not_accepted', { hint: `The argument ${argument} has to be one plain name.` });
}

/** As IAM compares moments: ISO 8601 in UTC, whole seconds. */
export function momentOf(numericDate: number): string {
  return new Date(numericDate * 1000).toISOString().replace('.000Z', 'Z');
}
