/**
 * The JSON Canonicalization Scheme (RFC 8785): one byte sequence for one value, so that a digest of it can be
 * compared. `JSON.stringify` already writes numbers and escapes as §3.2.2 demands, and the default sort of an
 * array of strings orders by UTF-16 code units as §3.2.3 demands; what is left is to refuse what has no
 * canonical form.
 */

const MAX_DEPTH = 64;

/**
 * @throws {TypeError} for what JSON has no form for: NaN, infinities, lone surrogates, undefined, holes in arrays,
 * functions, bigints, objects that are not plain (a Date, a Map), and values nested too deep
 */
export function canonicalJson(value: unknown): string {
  return write(value, MAX_DEPTH);
}

function write(value: unknown, depth: number): string {
  if (depth === 0) throw new TypeError(`nested deeper than ${MAX_DEPTH}`);
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return writeNumber(value);
  if (typeof value === 'string') return writeString(value);
  if (Array.isArray(value)) return `[${Array.from(value, (item) => write(item, depth - 1)).join(',')}]`;
  if (isPlainObject(value)) return writeObject(value as Record<string, unknown>, depth);
  throw new TypeError(`a ${typeof value} has no JSON form`);
}

/** Anything else would be written as what its enumerable members happen to be: every Date as `{}`. */
function isPlainObject(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Text that grows, not a list that is joined: half the time, and this runs for every line of the audit log. */
function writeObject(value: Record<string, unknown>, depth: number): string {
  let members = '';
  for (const name of Object.keys(value).sort()) {
    members += `${members === '' ? '' : ','}${writeString(name)}:${write(value[name], depth - 1)}`;
  }
  return `{${members}}`;
}

function writeNumber(value: number): string {
  if (!Number.isFinite(value)) throw new TypeError('a number without a JSON form');
  return JSON.stringify(value);
}

function writeString(value: string): string {
  if (!value.isWellFormed()) throw new TypeError('a string holds a lone surrogate');
  return JSON.stringify(value);
}
