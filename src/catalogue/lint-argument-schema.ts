/**
 * The rule risky-argument-schema. Walks a JSON Schema with a closed list of keywords: one that is not listed is
 * refused, because a keyword that one validator enforces and another ignores is a hole that looks like a wall.
 * A *value* position (the arguments themselves, a property, an item) has to say what fits and how much of it; in a
 * *refinement* (allOf, if, not, …) only references and patterns are looked at.
 */
import { isMapping } from './fields.ts';
import { patternRisks } from './schema-pattern.ts';
import { expansionRisks, referenceRisks } from './schema-references.ts';
import { acceptableRisk, type SchemaPath, type SchemaRisk, unenforceable } from './schema-risk.ts';

type Position = 'value' | 'refinement';
/** What a keyword holds: a schema, a list of schemas, a mapping of schemas, or no schema. */
type Holds = { position: Position; container: 'one' | 'list' | 'map' } | 'plain';

const KEYWORDS: ReadonlyMap<string, Holds> = new Map([
  ...holding({ position: 'value', container: 'one' }, 'items additionalProperties'),
  ...holding({ position: 'value', container: 'one' }, 'unevaluatedItems unevaluatedProperties'),
  ...holding({ position: 'value', container: 'list' }, 'prefixItems anyOf oneOf'),
  ...holding({ position: 'value', container: 'map' }, 'properties patternProperties $defs'),
  ...holding({ position: 'refinement', container: 'one' }, 'not if then else contains propertyNames'),
  ...holding({ position: 'refinement', container: 'list' }, 'allOf'),
  ...holding({ position: 'refinement', container: 'map' }, 'dependentSchemas'),
  ...holding('plain', '$ref $comment title description default examples deprecated readOnly writeOnly'),
  ...holding('plain', 'type enum const required dependentRequired pattern minLength maxLength'),
  ...holding('plain', 'multipleOf minimum maximum exclusiveMinimum exclusiveMaximum'),
  ...holding('plain', 'minItems maxItems uniqueItems minContains maxContains minProperties maxProperties'),
]);

const DIALECT = 'https://json-schema.org/draft/2020-12/schema';

/** Everything risky in the schema of an action's arguments. */
export function risksOf(schema: object): SchemaRisk[] {
  const risks = [...expansionRisks(schema)];
  if (risks.length === 0) visit(schema, { path: [], position: 'value', root: schema, risks });
  if (!('type' in schema) || schema.type !== 'object') {
    risks.unshift(unenforceable([], 'expected type: object', 'Arguments are named: write type: object.'));
  }
  return risks;
}

type Visit = { path: SchemaPath; position: Position; root: object; risks: SchemaRisk[] };

function visit(schema: unknown, at: Visit): void {
  if (!isMapping(schema)) return;
  for (const [keyword, value] of Object.entries(schema)) {
    visitKeyword(keyword, value, { ...at, path: [...at.path, keyword] });
  }
  if (at.position === 'value') at.risks.push(...unboundedIn(schema, at.path));
}

function visitKeyword(keyword: string, value: unknown, at: Visit): void {
  const holds = KEYWORDS.get(keyword);
  if (keyword === '$schema' && value === DIALECT && at.path.length === 1) return;
  if (holds === undefined) at.risks.push(unknownKeyword(keyword, at.path));
  else if (keyword === '$ref') at.risks.push(...referenceRisks(value, at));
  else if (keyword === 'pattern') at.risks.push(...patternRisks(value, at.path));
  else if (holds !== 'plain') visitSchemas(holds, value, at);
  if (keyword === 'patternProperties' && isMapping(value)) {
    for (const pattern of Object.keys(value)) at.risks.push(...patternRisks(pattern, [...at.path, pattern]));
  }
}

function visitSchemas({ position, container }: Exclude<Holds, 'plain'>, value: unknown, at: Visit): void {
  // what stands inside a refinement only refines, too
  const inner = { ...at, position: at.position === 'refinement' ? at.position : position };
  if (container === 'one') visit(value, inner);
  if (container === 'list' && Array.isArray(value)) {
    for (const [index, item] of value.entries()) visit(item, { ...inner, path: [...at.path, index] });
  }
  if (container === 'map' && isMapping(value)) {
    for (const [name, item] of Object.entries(value)) visit(item, { ...inner, path: [...at.path, name] });
  }
  if (container !== 'one' && inner.position === 'value') at.risks.push(...admitsAnything(value, at.path));
}

function unboundedIn(schema: Record<string, unknown>, path: SchemaPath): SchemaRisk[] {
  if ('enum' in schema || 'const' in schema) return [];
  const types = Array.isArray(schema.type) ? schema.type : [schema.type];
  const risks: SchemaRisk[] = [];
  if (!['type', '$ref', 'anyOf', 'oneOf'].some((keyword) => keyword in schema)) {
    risks.push(acceptableRisk(path, 'expected a type, found none', 'Say what fits here: add type.'));
  }
  if (types.includes('string') && !('maxLength' in schema)) {
    risks.push(acceptableRisk(path, 'expected text with a bound, found none', 'Add maxLength.'));
  }
  if (types.includes('array')) risks.push(...unboundedList(schema, path));
  if (types.includes('object')) risks.push(...unboundedObject(schema, path));
  return risks;
}

function unboundedList(schema: Record<string, unknown>, path: SchemaPath): SchemaRisk[] {
  const risks: SchemaRisk[] = [];
  if (!('maxItems' in schema)) {
    risks.push(acceptableRisk(path, 'expected a list with a bound, found none', 'Add maxItems.'));
  }
  if (schema.items === undefined || schema.items === true) {
    risks.push(acceptableRisk(path, 'expected a list that says what its items are', 'Add items.'));
  }
  return risks;
}

function unboundedObject(schema: Record<string, unknown>, path: SchemaPath): SchemaRisk[] {
  const { additionalProperties: additional, unevaluatedProperties: unevaluated, maxProperties } = schema;
  const isClosed = additional === false || unevaluated === false;
  const namesAreBounded = isClosed && !('patternProperties' in schema);
  const countIsBounded = maxProperties !== undefined && (isClosed || isMapping(additional));
  if (namesAreBounded || countIsBounded) return [];
  return [
    acceptableRisk(
      path,
      'expected an object that admits only the properties it names, found an open one',
      'Add additionalProperties: false, or a schema for them together with maxProperties.',
    ),
  ];
}

/** `true` and `{}` as a property or an alternative. */
function admitsAnything(value: unknown, path: SchemaPath): SchemaRisk[] {
  const entries = isMapping(value)
    ? Object.entries(value)
    : Object.entries(Array.isArray(value) ? value : []);
  return entries
    .filter(([, schema]) => schema === true)
    .map(([name]) => acceptableRisk([...path, name], 'expected a type, found true', 'Say what fits here.'));
}

function unknownKeyword(keyword: string, path: SchemaPath): SchemaRisk {
  return unenforceable(
    path,
    `expected a keyword that every validator enforces alike, found ${keyword}`,
    'Remove it. For a format, write a pattern with maxLength; definitions go to $defs at the top.',
  );
}

function holding(holds: Holds, keywords: string): [string, Holds][] {
  return keywords.split(' ').map((keyword) => [keyword, holds]);
}
