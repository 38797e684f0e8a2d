/**
 * What an argument may be that stands in an ARN. Its schema has to prove that every value is one plain name: no
 * wildcard of IAM, no policy variable, nothing that ends one part of an ARN or of a path and begins another. A proof
 * here is a list of values, or a pattern of plain characters that can be read from left to right; a pattern that
 * would need more thought is refused, since who reviews it would need it too.
 */
import { isMapping } from './fields.ts';

/** The characters of IAM's own names and of most keys, without `/`, `:`, `*`, `?` and `$`. */
const PLAIN = 'A-Za-z0-9_.@=+,-';
const PLAIN_VALUE = new RegExp(`^[${PLAIN}]{1,256}$`);
const PLAIN_CHARACTER = new RegExp(`^[${PLAIN}]$`);
const MAX_VALUE_CHARACTERS = 256;

/** True for what may stand in an ARN in the place of an argument. */
export function isPlainName(value: unknown): boolean {
  return typeof value === 'string' && PLAIN_VALUE.test(value) && !/^\.+$/.test(value);
}

/** How long the argument can get, in characters, or what is wrong with its schema. */
export function argumentBound(
  schema: object | undefined,
  name: string,
): { longest: number } | { flaw: string } {
  const { properties, required } = (schema ?? {}) as { properties?: unknown; required?: unknown };
  const property = isMapping(properties) && Object.hasOwn(properties, name) ? properties[name] : undefined;
  if (!isMapping(property)) return { flaw: `expected an argument ${name}, found none in arguments` };
  if (!Array.isArray(required) || !required.includes(name)) {
    return { flaw: `expected the argument ${name} to be required` };
  }
  const longest = longestOf(property);
  if (longest !== null && longest <= MAX_VALUE_CHARACTERS) return { longest };
  return {
    flaw:
      `expected the argument ${name} to be an enum of plain names, or a string with a pattern of plain characters ` +
      `(${PLAIN}) of at most ${MAX_VALUE_CHARACTERS}`,
  };
}

function longestOf(property: Record<string, unknown>): number | null {
  const values = 'const' in property ? [property.const] : property.enum;
  if (Array.isArray(values)) {
    return values.length > 0 && values.every(isPlainName)
      ? Math.max(...values.map((value: string) => value.length))
      : null;
  }
  if (property.type !== 'string' || typeof property.pattern !== 'string') return null;
  const match = lengthsOf(property.pattern);
  const { minLength, maxLength } = property;
  if (match === null || Math.max(match.shortest, numberOr(minLength, 0)) < 1) return null;
  return Math.min(match.longest, numberOr(maxLength, Number.POSITIVE_INFINITY));
}

const ATOM = String.raw`(?:\[(?<set>[^\]\\^][^\]\\]*)\]|(?<escaped>\\[.+])|(?<literal>[A-Za-z0-9_@=,-]))`;
const COUNT = String.raw`(?:(?<sign>[?*+])|\{(?<least>\d{1,4})(?<open>,(?<most>\d{1,4})?)?\})?`;
const STEP = new RegExp(`${ATOM}${COUNT}`, 'y');

function numberOr(value: unknown, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise;
}

/** The lengths of the texts that a simple pattern matches; null for any other pattern. */
function lengthsOf(pattern: string): { shortest: number; longest: number } | null {
  if (!pattern.startsWith('^') || !pattern.endsWith('$') || pattern.length < 3) return null;
  const body = pattern.slice(1, -1);
  const lengths = { shortest: 0, longest: 0 };
  STEP.lastIndex = 0;
  while (STEP.lastIndex < body.length) {
    const step = STEP.exec(body)?.groups;
    if (step === undefined || (step.set !== undefined && !isPlainSet(step.set))) return null;
    lengths.shortest += leastOf(step);
    lengths.longest += mostOf(step);
  }
  return lengths;
}

function leastOf({ sign, least }: Record<string, string | undefined>): number {
  if (sign === '*' || sign === '?') return 0;
  return least === undefined ? 1 : Number(least);
}

function mostOf({ sign, least, open, most }: Record<string, string | undefined>): number {
  if (sign === '*' || sign === '+') return Number.POSITIVE_INFINITY;
  if (sign === '?' || least === undefined) return 1;
  if (open === undefined) return Number(least);
  return most === undefined ? Number.POSITIVE_INFINITY : Number(most);
}

const RANGES: readonly (readonly [string, string])[] = [
  ['a', 'z'],
  ['A', 'Z'],
  ['0', '9'],
];

/** Read as a pattern reads it, from the left: what looks like a range elsewhere may begin one here. */
function isPlainSet(set: string): boolean {
  for (let at = 0; at < set.length; ) {
    const [from = '', dash, to] = set.slice(at, at + 3);
    const isRange = dash === '-' && to !== undefined;
    if (isRange ? !isPlainRange(from, to) : !PLAIN_CHARACTER.test(from)) return false;
    at += isRange ? 3 : 1;
  }
  return true;
}

function isPlainRange(from: string, to: string): boolean {
  return RANGES.some(([low, high]) => low <= from && from <= to && to <= high);
}
