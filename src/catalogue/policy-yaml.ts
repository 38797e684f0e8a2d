/**
 * One policy file as plain values, with the place of each. YAML can say one thing in many ways and some of them
 * mislead a reviewer: a key twice, an alias that multiplies, a tag that changes a type, a directive that turns
 * `no` into false. What is left here is the part of YAML 1.2 that reads as it looks: mappings, lists and scalars
 * of the core schema, each written out where it stands.
 */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type YAMLError,
} from 'yaml';
import { printable, quoted, type Report, type Spot } from './problem.ts';

/** Where a value stands inside its file: keys of mappings and indexes of lists, from the top. */
export type Path = readonly (string | number)[];

/** Stands where a value was refused and reported, so that nobody reports its absence as well. */
export const REFUSED = Symbol('refused');

export type PolicySource = {
  file: string;
  value: unknown;
  /** The syntax was broken, so `value` is only what could be made out; good for names, not for decisions. */
  broken: boolean;
  /** The place of what stands at `path`, or of the nearest thing around it that exists. */
  spot(path: Path, part?: 'key' | 'value'): Spot;
};

const MAX_DEPTH = 32;
/** `__proto__` is a key to YAML and to `JSON.parse`, and something else to much that reads their results. */
const FORBIDDEN_KEYS = new Set(['__proto__']);

/** Reads one file's text. Everything that is refused is reported; what could be read is returned all the same. */
export function parsePolicyYaml(
  { file, text }: { file: string; text: string },
  report: Report,
): PolicySource {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    version: '1.2',
    schema: 'core',
    strict: true,
    merge: false,
    resolveKnownTags: false,
    stringKeys: true,
    uniqueKeys: false, // compared in `readMap`: the parser's own comparison takes quadratic time
    prettyErrors: false,
    logLevel: 'error', // 'silent' would also keep quiet about a second document
    lineCounter: lines,
  });
  const spotOf = (offset: number): Spot => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const reader: Reader = { report, spotOf };
  const broken = reportSyntax(document, text, reader);
  const value = readNode(document.contents, { ...reader, report: broken ? () => {} : report }, MAX_DEPTH);
  return { file, value, broken, spot: (path, part) => spotOf(offsetOf(document.contents, path, part)) };
}

type Reader = { report: Report; spotOf(offset: number): Spot };

function reportSyntax(document: Document.Parsed, text: string, { report, spotOf }: Reader): boolean {
  for (const error of [...document.errors, ...document.warnings]) {
    report({ ...spotOf(error.pos[0]), ...syntaxProblem(error) });
  }
  const { yaml, tags } = document.directives;
  const declaresTags = Object.keys(tags).some((handle) => handle !== '!!');
  if (yaml.explicit || declaresTags || /^%/m.test(text)) {
    report({
      ...spotOf(Math.max(text.search(/^%/m), 0)),
      rule: 'yaml-directive',
      message: 'expected YAML 1.2 without directives, found a line that starts with %',
      fix: 'Remove the line.',
    });
    return true;
  }
  return document.errors.length > 0;
}

function syntaxProblem(error: YAMLError): { rule: string; message: string; fix: string } {
  if (error.code === 'RESOURCE_EXHAUSTION') return TOO_DEEP;
  if (error.code === 'MULTIPLE_DOCS') {
    return {
      rule: 'yaml-syntax',
      message: 'expected one document, found a second one',
      fix: 'Put it in a file of its own.',
    };
  }
  return {
    rule: 'yaml-syntax',
    message: `expected YAML 1.2: ${printable(error.message)}`,
    fix: 'Repair the syntax; everything else in this file is checked after that.',
  };
}

const TOO_DEEP = {
  rule: 'nested-too-deeply',
  message: `expected at most ${MAX_DEPTH} levels`,
  fix: 'Flatten what is nested here.',
};

function readNode(node: unknown, reader: Reader, depth: number): unknown {
  if (node === null || node === undefined) return null;
  const { report, spotOf } = reader;
  const spot = spotOf(startOf(node as Node) ?? 0);
  if (depth === 0) {
    report({ ...spot, ...TOO_DEEP });
    return REFUSED;
  }
  if (isAlias(node)) {
    report({ ...spot, ...NO_ALIAS });
    return REFUSED;
  }
  refuseDecoration(node as Node, spot, report);
  if (isMap(node)) return readMap(node.items as Pair[], reader, depth);
  if (isSeq(node)) return node.items.map((item) => readNode(item, reader, depth - 1));
  return isScalar(node) ? readScalar(node.value, spot, report) : REFUSED;
}

const NO_ALIAS = {
  rule: 'yaml-alias',
  message: 'expected a value, found an anchor or an alias',
  fix: 'Write the value out: a reviewer has to see what stands here.',
};

/** Anchors and tags change what a reader sees without saying so at the place where it matters. */
function refuseDecoration(node: Node, spot: Spot, report: Report): void {
  if ('anchor' in node && node.anchor !== undefined) report({ ...spot, ...NO_ALIAS });
  if (node.tag !== undefined) {
    report({
      ...spot,
      rule: 'yaml-tag',
      message: `expected a plain value, found the tag ${quoted(node.tag)}`,
      fix: 'Remove the tag; put text in quotes where it must stay text.',
    });
  }
}

function readMap(pairs: readonly Pair[], reader: Reader, depth: number): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const { key, value } of pairs) {
    const spot = reader.spotOf(startOf(key as Node) ?? 0);
    const name = readKey(key, spot, reader.report);
    const read = readNode(value, reader, depth - 1);
    if (name === null) continue;
    if (Object.hasOwn(result, name)) reader.report({ ...spot, ...duplicateKey(name) });
    else result[name] = read;
  }
  return result;
}

function readKey(key: unknown, spot: Spot, report: Report): string | null {
  if (isAlias(key)) report({ ...spot, ...NO_ALIAS });
  if (!isScalar(key) || typeof key.value !== 'string') return null; // the parser has reported it
  refuseDecoration(key, spot, report);
  if (FORBIDDEN_KEYS.has(key.value)) {
    report({
      ...spot,
      rule: 'forbidden-key',
      message: `expected an ordinary key, found ${quoted(key.value)}`,
      fix: 'Give it another name.',
    });
    return null;
  }
  const name = readScalar(key.value, spot, report);
  return typeof name === 'string' ? name : null;
}

function duplicateKey(name: string): { rule: string; message: string; fix: string } {
  return {
    rule: 'duplicate-key',
    message: `expected each key once, found ${quoted(name)} a second time`,
    fix: 'Keep one of the two.',
  };
}

/** Text without control characters, and numbers that every reader of JSON understands alike. */
function readScalar(value: unknown, spot: Spot, report: Report): unknown {
  if (typeof value === 'string' && !isPlainText(value)) {
    report({
      ...spot,
      rule: 'control-character',
      message: `expected text without control characters, found ${quoted(value)}`,
      fix: 'Remove the control character.',
    });
    return REFUSED;
  }
  if (typeof value === 'number' && !isExactNumber(value)) {
    report({
      ...spot,
      rule: 'inexact-number',
      message: `expected a number within ±(2^53 − 1), found ${value}`,
      fix: 'Use a smaller number.',
    });
    return REFUSED;
  }
  return value ?? null;
}

function isPlainText(text: string): boolean {
  return text.isWellFormed() && !/[^\P{Cc}\n\t]/u.test(text);
}

function isExactNumber(value: number): boolean {
  return Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER;
}

function startOf(node: { range?: readonly number[] | null } | null | undefined): number | undefined {
  return node?.range?.[0];
}

function offsetOf(root: unknown, path: Path, part: 'key' | 'value' = 'value'): number {
  let node = root;
  let offset = startOf(root as Node) ?? 0;
  for (const [index, step] of path.entries()) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && item.key.value === step);
      if (pair === undefined) return offset;
      offset = startOf(pair.key as Node) ?? offset;
      if (part === 'key' && index === path.length - 1) return offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[step as number];
    } else return offset;
    offset = startOf(node as Node | null) ?? offset;
  }
  return offset;
}
