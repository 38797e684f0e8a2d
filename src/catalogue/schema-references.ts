/**
 * References inside a schema. Only `#/$defs/<name>` is allowed: nothing is fetched, nothing is resolved against a
 * base, and following all of them ends. A cycle would let arguments drive the check as deep as they like, and a
 * chain of definitions that each name the next one twice doubles the work at every step.
 */
import { isMapping } from './fields.ts';
import { described, quoted } from './problem.ts';
import { type SchemaPath, type SchemaRisk, unenforceable } from './schema-risk.ts';

const LOCAL_DEFINITION = /^#\/\$defs\/([A-Za-z0-9_-]+)$/;
const MAX_EXPANDED_NODES = 2_000;

export function referenceRisks(
  reference: unknown,
  { path, root }: { path: SchemaPath; root: object },
): SchemaRisk[] {
  const fix = 'Copy what it refers to into $defs at the top of this schema and write $ref: "#/$defs/<name>".';
  const name = definitionName(reference);
  if (name === null) {
    const message = `expected a reference to #/$defs/<name>, found ${described(reference)}`;
    return [unenforceable(path, message, fix)];
  }
  if (definition(root, name) !== undefined) return [];
  return [unenforceable(path, `expected a definition ${quoted(name)} in $defs at the top, found none`, fix)];
}

/** What comes of following every reference: too much, or never an end. */
export function expansionRisks(root: object): SchemaRisk[] {
  const expansion: Expansion = { root, nodes: 0, cycle: null };
  expand(root, [], expansion);
  if (expansion.cycle !== null) {
    const message = `expected references that end, found that ${quoted(expansion.cycle)} leads back to itself`;
    return [unenforceable(['$defs', expansion.cycle], message, 'Write out as many levels as a call needs.')];
  }
  if (expansion.nodes <= MAX_EXPANDED_NODES) return [];
  const message = `expected at most ${MAX_EXPANDED_NODES} parts with every reference followed, found more`;
  return [unenforceable([], message, 'Make the schema smaller.')];
}

type Expansion = { root: object; nodes: number; cycle: string | null };

function expand(value: unknown, open: readonly string[], expansion: Expansion): void {
  if (typeof value !== 'object' || value === null) return;
  expansion.nodes += 1;
  if (expansion.nodes > MAX_EXPANDED_NODES || expansion.cycle !== null) return;
  for (const [key, child] of Object.entries(value)) {
    const name = key === '$ref' ? definitionName(child) : null;
    if (name === null) expand(child, open, expansion);
    else if (open.includes(name)) expansion.cycle = name;
    else expand(definition(expansion.root, name), [...open, name], expansion);
  }
}

function definitionName(reference: unknown): string | null {
  return typeof reference === 'string' ? (LOCAL_DEFINITION.exec(reference)?.[1] ?? null) : null;
}

function definition(root: object, name: string): unknown {
  const definitions = '$defs' in root && isMapping(root.$defs) ? root.$defs : {};
  return Object.hasOwn(definitions, name) ? definitions[name] : undefined;
}
