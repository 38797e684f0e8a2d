/**
 * Whether one JSON Schema provably admits nothing that another refused. It may say no to what is narrower (then a
 * person looks); it must never say yes to what is not. So it knows a few shapes of narrowing and takes everything
 * else for a widening.
 */
import { canonicalJson } from '../json/canonical-json.ts';
import type { Versions } from './catalogue-change.ts';
import { isMapping } from './fields.ts';

type Schema = Record<string, unknown>;

/** They tell people something and change nothing that is admitted. */
const ANNOTATIONS = new Set(
  '$comment $schema title description default examples deprecated readOnly writeOnly'.split(' '),
);
const UPPER_BOUNDS = 'maxLength maxItems maxProperties maximum exclusiveMaximum'.split(' ');
const LOWER_BOUNDS = 'minLength minItems minProperties minimum exclusiveMinimum'.split(' ');
/** Compared by their own rules below. */
const COMPARED = new Set(
  [...UPPER_BOUNDS, ...LOWER_BOUNDS].concat(
    'type enum required uniqueItems properties patternProperties additionalProperties items prefixItems'.split(
      ' ',
    ),
  ),
);
/** Keywords that mean something only together: provable when nothing was there, or nothing changed. */
const TOGETHER = [
  ['contains', 'minContains', 'maxContains'],
  ['if', 'then', 'else'],
] as const;

export function isProvablyNarrower({ before, after }: Versions<unknown>): boolean {
  if (isSame(before, after) || after === false) return true;
  const [from, to] = [plain(before), plain(after)];
  if (from === null || to === null) return false;
  if (Object.keys(from).length === 0) return true;
  // what counts as evaluated depends on every keyword beside it
  if ('unevaluatedProperties' in from || 'unevaluatedItems' in from) return isSame(from, to);
  return RULES.every((holds) => holds(from, to));
}

const RULES: readonly ((from: Schema, to: Schema) => boolean)[] = [
  (from, to) => UPPER_BOUNDS.every((bound) => isWithin(from[bound], to[bound], 1)),
  (from, to) => LOWER_BOUNDS.every((bound) => isWithin(from[bound], to[bound], -1)),
  (from, to) => from.uniqueItems !== true || to.uniqueItems === true,
  (from, to) => isSubset(from.enum, to.enum),
  (from, to) => isSubset(typesOf(from), typesOf(to)),
  (from, to) => isSubset(to.required ?? [], from.required ?? []),
  isNarrowerList,
  isNarrowerObject,
  (from, to) => TOGETHER.every((names) => isUntouched(names, from, to)),
  (from, to) => Object.keys(from).every((name) => isKnown(name) || isSame(from[name], to[name])),
];

function isKnown(name: string): boolean {
  return COMPARED.has(name) || TOGETHER.some((names) => (names as readonly string[]).includes(name));
}

/** Without annotations, `const` as an `enum` of one; null for what is no schema. `true` admits everything, as `{}`. */
function plain(schema: unknown): Schema | null {
  if (schema === true) return {};
  if (!isMapping(schema)) return null;
  const entries = Object.entries(schema).filter(([keyword]) => !ANNOTATIONS.has(keyword));
  const { const: only, ...rest } = Object.fromEntries(entries);
  if (!('const' in schema)) return rest;
  return 'enum' in rest ? null : { ...rest, enum: [only] };
}

/** A bound that was there must still be there and no looser. `direction` 1: smaller is narrower. */
function isWithin(before: unknown, after: unknown, direction: 1 | -1): boolean {
  if (before === undefined) return true;
  if (typeof before !== 'number' || typeof after !== 'number') return false;
  return (before - after) * direction >= 0;
}

function isSubset(before: unknown, after: unknown): boolean {
  if (before === undefined) return true;
  if (!Array.isArray(before) || !Array.isArray(after)) return false;
  const allowed = new Set(before.map(canonicalJson));
  return after.every((item) => allowed.has(canonicalJson(item)));
}

/** Every number that is whole is also a number. */
function typesOf({ type }: Schema): unknown[] | undefined {
  if (type === undefined) return undefined;
  const types = Array.isArray(type) ? type : [type];
  return types.includes('number') ? [...types, 'integer'] : types;
}

function isNarrowerList(from: Schema, to: Schema): boolean {
  if (!isSame(from.prefixItems, to.prefixItems)) return false;
  return isProvablyNarrower({ before: from.items ?? true, after: to.items ?? true });
}

function isNarrowerObject(from: Schema, to: Schema): boolean {
  if (!isSame(from.patternProperties, to.patternProperties)) return false;
  const [before, after] = [propertiesOf(from), propertiesOf(to)];
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  const changesNames = [...names].some(
    (name) => !(Object.hasOwn(before, name) && Object.hasOwn(after, name)),
  );
  if (changesNames && from.patternProperties !== undefined) return false;
  const [others, othersAfter] = [from.additionalProperties ?? true, to.additionalProperties ?? true];
  return (
    isProvablyNarrower({ before: others, after: othersAfter }) &&
    [...names].every((name) =>
      isProvablyNarrower({
        before: Object.hasOwn(before, name) ? before[name] : others,
        after: Object.hasOwn(after, name) ? after[name] : othersAfter,
      }),
    )
  );
}

function propertiesOf({ properties }: Schema): Record<string, unknown> {
  return isMapping(properties) ? properties : {};
}

function isUntouched(names: readonly string[], from: Schema, to: Schema): boolean {
  return names.every((name) => !(name in from)) || names.every((name) => isSame(from[name], to[name]));
}

function isSame(before: unknown, after: unknown): boolean {
  if (before === undefined || after === undefined) return before === after;
  return canonicalJson(before) === canonicalJson(after);
}
