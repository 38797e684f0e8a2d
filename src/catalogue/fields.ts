/**
 * Reads a mapping of a policy file field by field, so that one wrong field hides no other: what is right comes
 * back, what is wrong is reported at its own place. Callers get every field as possibly absent and carry on.
 */
import { z } from 'zod';
import { didYouMean } from '../errors/nearest-name.ts';
import { type Path, type PolicySource, REFUSED } from './policy-yaml.ts';
import { described, quoted, type Report } from './problem.ts';

/** A mapping or list somewhere in a file. */
export type Section = { source: PolicySource; path: Path; value: unknown };

/** What one field has to be. `expected` completes the sentence "expected …". */
export type Field<T> = {
  schema: z.ZodType<T>;
  expected: string;
  fix: string;
  optional?: boolean;
  /** Says more exactly what is wrong with a value that the schema refuses, or null. */
  diagnose?: (value: unknown) => Finding | null;
};

/** What is wrong, apart from where. */
export type Finding = { rule: string; message: string; fix: string; severity?: 'warning' };

/** A field that another reader reads; here it only counts as known. */
export const READ_ELSEWHERE: Field<unknown> = {
  schema: z.unknown(),
  expected: '',
  fix: '',
  optional: true,
};

/** More unknown keys than anybody reads; the report says that there are too many. */
const MAX_REPORTED_KEYS = 102;

export type Shape = Record<string, Field<unknown>>;

export type Read<S extends Shape> = {
  [K in keyof S]?: S[K] extends Field<infer T> ? T : never;
};

export function sectionAt(section: Section, ...steps: (string | number)[]): Section {
  let value = section.value;
  for (const step of steps) value = childOf(value, step);
  return { source: section.source, path: [...section.path, ...steps], value };
}

/** Reads the fields of a mapping: unknown keys, missing keys and wrong values are reported. */
export function readFields<S extends Shape>(section: Section, shape: S, report: Report): Read<S> {
  if (section.value === REFUSED) return {};
  if (!isMapping(section.value)) {
    reportAt(section, report, {
      rule: 'invalid-value',
      message: `expected a mapping with ${Object.keys(shape).join(', ')}, found ${described(section.value)}`,
      fix: 'Write it as "key: value" lines.',
    });
    return {};
  }
  reportUnknownKeys(section, Object.keys(shape), report);
  const result: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(shape)) {
    const value = readField(section, key, field, report);
    if (value !== undefined) result[key] = value;
  }
  return result as Read<S>;
}

function readField(section: Section, key: string, field: Field<unknown>, report: Report): unknown {
  const value = childOf(section.value, key);
  if (value === undefined) {
    if (field.optional !== true) reportMissing(section, key, field, report);
    return undefined;
  }
  return accepted(sectionAt(section, key), key, field, report);
}

/** Reads a list item by item; items that are wrong or repeated are reported and left out. */
export function readList<T>(section: Section, item: Field<T>, report: Report): { value: T; index: number }[] {
  if (!Array.isArray(section.value)) return [];
  const seen = new Set<unknown>();
  const result: { value: T; index: number }[] = [];
  for (const index of section.value.keys()) {
    const at = sectionAt(section, index);
    const value = accepted(at, `item ${index + 1}`, item, report);
    if (value === undefined) continue;
    if (seen.has(value)) reportAt(at, report, repeated(value));
    else result.push({ value, index });
    seen.add(value);
  }
  return result;
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** False when something inside was refused, so that the whole cannot be judged. */
export function isWhole(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return value !== REFUSED;
  return Object.values(value).every(isWhole);
}

/** Reports at the place of a section. */
export function reportAt(
  { source, path }: Section,
  report: Report,
  problem: Finding,
  part?: 'key' | 'value',
): void {
  report({ ...source.spot(path, part), ...problem });
}

function accepted<T>(at: Section, name: string, field: Field<T>, report: Report): T | undefined {
  if (at.value === REFUSED) return undefined;
  const result = field.schema.safeParse(at.value);
  if (result.success) return result.data;
  reportAt(at, report, field.diagnose?.(at.value) ?? invalidValue(name, field, at.value));
  return undefined;
}

export function invalidValue(name: string, field: Field<unknown>, value: unknown): Finding {
  return {
    rule: 'invalid-value',
    message: `${name}: expected ${field.expected}, found ${described(value)}`,
    fix: field.fix,
  };
}

function reportUnknownKeys(section: Section, known: string[], report: Report): void {
  const unknown = Object.keys(section.value as object).filter((key) => !known.includes(key));
  for (const key of unknown.slice(0, MAX_REPORTED_KEYS)) {
    const fix = `${didYouMean(key, known)}Known here: ${known.join(', ')}.`;
    const message = `expected a known key, found ${quoted(key)}`;
    reportAt(sectionAt(section, key), report, { rule: 'unknown-key', message, fix }, 'key');
  }
}

function reportMissing(section: Section, key: string, field: Field<unknown>, report: Report): void {
  reportAt(
    section,
    report,
    { rule: 'missing-key', message: `expected ${key}: ${field.expected}, found nothing`, fix: field.fix },
    'key',
  );
}

function repeated(value: unknown): Finding {
  return {
    rule: 'duplicate-item',
    message: `expected each item once, found ${described(value)} a second time`,
    fix: 'Keep one of the two.',
  };
}

/** Own members only: `constructor` is not a key that somebody wrote. */
function childOf(value: unknown, step: string | number): unknown {
  if (Array.isArray(value)) return value[step as number];
  return isMapping(value) && Object.hasOwn(value, step) ? value[step] : undefined;
}
