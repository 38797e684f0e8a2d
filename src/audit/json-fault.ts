/**
 * Whether a value in memory has one form as JSON, found out before anything is written: without recursion, looking
 * at no more values than allowed, so that a cycle, a chain of ten thousand or a few objects that refer to each other
 * a billion times cost nothing. Stricter than canonical JSON needs: what a strict reader would refuse is a fault here.
 */
import { isJsonObject } from '../json/strict-json.ts';

export type JsonFault =
  | 'cycle'
  | 'too-deep'
  | 'too-many-values'
  | 'lone-surrogate'
  | 'bigint'
  | 'not-a-json-number'
  | 'not-json';

/**
 * The same question about what a parser of JSON made, which has neither cycles nor accessors: most of it is well, and
 * that is seen in a quarter of the time.
 * @returns false when {@link jsonFaultOf} has to look closely
 */
export function isWellParsed(
  root: unknown,
  { maxDepth, maxValues }: { maxDepth: number; maxValues: number },
): boolean {
  let left = maxValues;
  const isWell = (value: unknown, depth: number): boolean => {
    if (typeof value !== 'object' || value === null) return faultOfScalar(value) === null;
    if (depth >= maxDepth) return false;
    const isArray = Array.isArray(value);
    if (!isArray && Object.getPrototypeOf(value) !== Object.prototype) return false;
    const names = Object.keys(value);
    left -= 1 + names.length;
    if (left < 0 || (isArray && names.length !== value.length)) return false;
    for (const name of names) {
      if (name === '__proto__' || !name.isWellFormed()) return false;
      if (!isWell((value as Record<string, unknown>)[name], depth + 1)) return false;
    }
    return true;
  };
  return isWell(root, 0);
}

type Visit = { value: unknown; depth: number } | { leave: object };

/** @param maxDepth containers within containers; `maxValues` counts every member, item and container */
export function jsonFaultOf(
  root: unknown,
  { maxDepth, maxValues }: { maxDepth: number; maxValues: number },
): JsonFault | null {
  const open = new Set<object>();
  const toVisit: Visit[] = [{ value: root, depth: 0 }];
  let values = 0;
  for (let visit = toVisit.pop(); visit !== undefined; visit = toVisit.pop()) {
    if ('leave' in visit) {
      open.delete(visit.leave);
      continue;
    }
    const { value, depth } = visit;
    if (typeof value !== 'object' || value === null) {
      const fault = faultOfScalar(value);
      if (fault !== null) return fault;
      continue;
    }
    if (open.has(value)) return 'cycle';
    if (depth >= maxDepth) return 'too-deep';
    const members = membersOf(value);
    if (typeof members === 'string') return members;
    values += 1 + members.length;
    if (values > maxValues) return 'too-many-values';
    open.add(value);
    toVisit.push({ leave: value });
    for (const member of members) toVisit.push({ value: member, depth: depth + 1 });
  }
  return null;
}

function faultOfScalar(value: unknown): JsonFault | null {
  if (value === null || typeof value === 'boolean') return null;
  if (typeof value === 'string') return value.isWellFormed() ? null : 'lone-surrogate';
  if (typeof value === 'bigint') return 'bigint';
  if (typeof value !== 'number') return 'not-json';
  // Whole numbers past 2^53 may have been others before they came here: they have to be written as text.
  const isKept = Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value));
  return isKept ? null : 'not-a-json-number';
}

/** A Date, a Map, a getter, `toJSON`: each would be written as something else than what it is. */
function membersOf(value: object): unknown[] | JsonFault {
  if (Array.isArray(value)) return Object.keys(value).length === value.length ? value : 'not-json';
  const prototype = Object.getPrototypeOf(value);
  if (!isJsonObject(value) || (prototype !== Object.prototype && prototype !== null)) return 'not-json';
  const descriptors = Object.entries(Object.getOwnPropertyDescriptors(value)).filter(
    ([, { enumerable }]) => enumerable,
  );
  if (descriptors.some(([name, { get }]) => name === '__proto__' || get !== undefined)) return 'not-json';
  if (descriptors.some(([name]) => !name.isWellFormed())) return 'lone-surrogate';
  return descriptors.map(([, descriptor]) => descriptor.value);
}
