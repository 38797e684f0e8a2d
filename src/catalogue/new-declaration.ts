/** What the policy files of clients that do not exist yet have in common. */
import { type Field, invalidValue } from './fields.ts';
import type { NamedJwk } from './keys.ts';

/** What is wrong with a value, in the words of the check; null for a good one, and for one that was not said. */
export function complaint(name: string, field: Field<unknown>, value: unknown): string | null {
  if (value === undefined || field.schema.safeParse(value).success) return null;
  const { message, fix } = invalidValue(name, field, value);
  return `${message}. ${fix}`;
}

/** As JSON, which YAML 1.2 reads as it is; what was not said is left empty, so that the check asks for it. */
export function said(value: string | undefined, hint: string): string {
  return value === undefined ? `"" # ${hint}` : JSON.stringify(value);
}

export function keyInYaml(key: NamedJwk): string {
  const members = Object.entries(key).map(([member, value]) => `${member}: ${JSON.stringify(value)}`);
  return `{ ${members.join(', ')} }`;
}
