/**
 * JSON as RFC 8259 §4 and RFC 7515 §4 want it where a decision hangs on it: no member twice, bounded depth and
 * size, only well-formed text. `JSON.parse` keeps the last of two equal members, so that two parsers that read
 * the same signed bytes can see different things; and whatever walks its result by recursion can be made to
 * overflow the stack. This scan runs over the text before `JSON.parse` does, once, without recursion.
 */

/** Bounds of one document. */
export type JsonBounds = { maxDepth: number; maxMembers: number };

export const DEFAULT_JSON_BOUNDS: JsonBounds = { maxDepth: 16, maxMembers: 1_000 };

export class JsonError extends Error {
  override readonly name = 'JsonError';
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/**
 * Parses one JSON document.
 * @throws {JsonError} when the text is not JSON, repeats a member, holds a lone surrogate or exceeds a bound.
 */
export function parseStrictJson(text: string, bounds: JsonBounds = DEFAULT_JSON_BOUNDS): unknown {
  if (!text.isWellFormed()) throw new JsonError('the text holds a lone surrogate');
  scan(text, bounds);
  try {
    return JSON.parse(text, refuseLoneSurrogates);
  } catch (error) {
    if (error instanceof JsonError) throw error;
    throw new JsonError('the text is not JSON', { cause: error });
  }
}

/** Like {@link parseStrictJson}, for a document that has to be an object. */
export function parseStrictJsonObject(text: string, bounds?: JsonBounds): Record<string, unknown> {
  const value = parseStrictJson(text, bounds);
  if (!isJsonObject(value)) throw new JsonError('an object was expected');
  return value;
}

export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `\ud800` in the text is a lone surrogate only after unescaping. */
function refuseLoneSurrogates(key: string, value: unknown): unknown {
  if (!key.isWellFormed() || (typeof value === 'string' && !value.isWellFormed())) {
    throw new JsonError('a string holds a lone surrogate');
  }
  return value;
}

/**
 * Counts depth and members and compares member names after unescaping. It need not find every syntax error:
 * `JSON.parse` runs on the same text afterwards. It must not be fooled about where strings begin and end.
 */
function scan(text: string, { maxDepth, maxMembers }: JsonBounds): void {
  const open: (Set<string> | null)[] = []; // the names seen in each open object; null for an array
  let members = 0;
  let nameExpected = false;
  let index = 0;
  while (index < text.length) {
    const character = text.charCodeAt(index);
    if (character === QUOTE) {
      const end = endOfString(text, index);
      if (nameExpected) {
        recordName(open.at(-1) ?? null, text.slice(index, end));
        nameExpected = false;
      }
      index = end;
      continue;
    }
    if (character === OPEN_BRACE || character === OPEN_BRACKET) {
      open.push(character === OPEN_BRACE ? new Set() : null);
      if (open.length > maxDepth) throw new JsonError(`nested deeper than ${maxDepth}`);
      nameExpected = character === OPEN_BRACE;
      members += 1;
    } else if (character === CLOSE_BRACE || character === CLOSE_BRACKET) {
      open.pop();
      nameExpected = false;
    } else if (character === COMMA) {
      nameExpected = (open.at(-1) ?? null) !== null;
      members += 1;
    }
    if (members > maxMembers) throw new JsonError(`more than ${maxMembers} members`);
    index += 1;
  }
}

function recordName(names: Set<string> | null, literal: string): void {
  if (names === null) throw new JsonError('the text is not JSON');
  const name = literal.includes('\\') ? unescaped(literal) : literal.slice(1, -1);
  if (names.has(name)) throw new JsonError('an object has the same member twice');
  names.add(name);
}

function unescaped(literal: string): string {
  try {
    return JSON.parse(literal) as string;
  } catch (error) {
    throw new JsonError('the text is not JSON', { cause: error });
  }
}

/** The index after the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  let index = start + 1;
  while (index < text.length) {
    const character = text.charCodeAt(index);
    if (character === BACKSLASH) index += 2;
    else if (character === QUOTE) return index + 1;
    else index += 1;
  }
  throw new JsonError('the text is not JSON');
}
