/**
 * Checks a call's arguments against the JSON Schema of its action. The arguments come from a model, so the check
 * itself must not be something to attack: patterns run on RE2's algorithm (linear time, no backtracking), nothing
 * is loaded from elsewhere, `$data` is off, the first error ends it.
 */
import { Ajv2020 } from 'ajv/dist/2020.js';
import { RE2JS } from 're2js';

export type ArgumentCheck = (value: unknown) => boolean;

/** The pattern as ECMA-262 and as RE2 read it, or what they have against it. */
export function patternProblem(pattern: string): string | null {
  try {
    new RegExp(pattern, 'u');
    RE2JS.compile(pattern);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * @param schema a schema that passed the lint
 * @returns the check; it never throws for any parsed JSON
 * @throws {Error} when the schema is not valid JSON Schema 2020-12 in Ajv's strict mode
 */
export function compileArgumentSchema(schema: object): ArgumentCheck {
  const compiler = sharedCompiler();
  try {
    const validate = compiler.compile(schema);
    return (value) => validate(value) === true;
  } finally {
    compiler.removeSchema(schema); // it would keep every schema of every version that was ever loaded
  }
}

/** What is wrong with a schema as JSON Schema 2020-12, and where; null when nothing is. */
export function schemaFlaw(schema: object): { path: string[]; message: string } | null {
  const compiler = sharedCompiler();
  if (compiler.validateSchema(schema) !== true) {
    const [error] = compiler.errors ?? [];
    return { path: stepsOf(error?.instancePath ?? ''), message: error?.message ?? 'is not a JSON Schema' };
  }
  try {
    compileArgumentSchema(schema);
    return null;
  } catch (error) {
    return { path: [], message: error instanceof Error ? error.message : String(error) };
  }
}

/** RFC 6901 §4. */
function stepsOf(pointer: string): string[] {
  const steps = pointer.split('/').slice(1);
  return steps.map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

let compiler: Ajv2020 | null = null;

/** Made once, when first needed: compiling the meta-schemas takes longer than everything else here. */
function sharedCompiler(): Ajv2020 {
  compiler ??= new Ajv2020({
    strict: true,
    strictTypes: true,
    strictTuples: true,
    strictRequired: true,
    allErrors: false,
    $data: false,
    logger: false,
    code: { regExp: linearRegExp },
  });
  return compiler;
}

/** Ajv shares compiled patterns by what `toString` says: without one, the first pattern would stand for all. */
function linearRegExp(pattern: string): { test(text: string): boolean; toString(): string } {
  const compiled = RE2JS.compile(pattern);
  return { test: (text) => compiled.test(text), toString: () => `/${pattern}/u` };
}
/** Ajv wants the source text of the constructor, for code that it would write to a file; it writes none here. */
linearRegExp.code = 'linearRegExp';
