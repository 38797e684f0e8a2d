/**
 * JSON as RFC 8259 §4 and RFC 7515 §4 want it where a decision hangs on it: no member twice, bounded depth and
 * size, only well-formed text, no number that changes while it is read. `JSON.parse` keeps the last of two equal
 * members, so that two parsers that read the same signed bytes can see different things; it rounds
 * 9007199254740993 and turns 1e400 into Infinity; and whatever walks its result by recursion can be made to
 * overflow the stack. This scan runs over the text before `JSON.parse` does, once, without recursion.
 */

/** Bounds of one document. */
export type JsonBounds = {
  maxDepth: number;
  maxMembers: number;
  /**
   * `integers`: every number is a whole one in its one spelling, so neither 1.0 nor 1E0 nor -0; for messages of
   * our own that know no others. `any` (the default) still refuses what cannot be kept: 1e400, 1e-400 and whole
   * numbers past 2^53.
   */
  numbers?: 'any' | 'integers';
};

export const DEFAULT_JSON_BOUNDS: JsonBounds = { maxDepth: 16, maxMembers: 1_000 };

export class JsonError extends Error {
  override readonly name = 'JsonError';
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DIGIT_ZERO = 0x30;
const DIGIT_NINE = 0x39;
const OPEN_BRACE = 0x7b;
const BACKSLASH = 0x5c;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/**
 * Parses one JSON document.
 * @throws {JsonError} when the text is not JSON, repeats a member, has a member `__proto__`, holds a lone
 * surrogate or a number that would change, or exceeds a bound.
 */
export function parseStrictJson(text: string, bounds: JsonBounds = DEFAULT_JSON_BOUNDS): unknown {
  if (!text.isWellFormed()) throw new JsonError('the text holds a lone surrogate');
  scan(text, bounds);
  try {
    // Once the text itself is well formed, only an escape can bring a lone surrogate in.
    return text.includes('\\u') ? JSON.parse(text, refuseLoneSurrogates) : JSON.parse(text);
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
 * Counts depth and members, compares member names after unescaping and looks at each number. It need not find
 * every syntax error: `JSON.parse` runs on the same text afterwards. It must not be fooled about where strings
 * begin and end.
 */
function scan(text: string, { maxDepth, maxMembers, numbers = 'any' }: JsonBounds): void {
  const open: (Names | null)[] = []; // the names seen in each open object; null for an array
  const isPlain = !text.includes('\\');
  let members = 0;
  let nameExpected = false;
  let index = 0;
  while (index < text.length) {
    const character = text.charCodeAt(index);
    if (character === QUOTE) {
      const end = isPlain ? endOfPlainString(text, index) : endOfString(text, index);
      if (nameExpected) recordName(open.at(-1) ?? null, text.slice(index, end));
      nameExpected = false;
      index = end;
      continue;
    }
    if ((character >= DIGIT_ZERO && character <= DIGIT_NINE) || character === MINUS) {
      index = endOfNumber(text, index, numbers);
      continue;
    }
    if (character === OPEN_BRACE || character === OPEN_BRACKET) {
      open.push(character === OPEN_BRACE ? { few: [], many: null } : null);
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

/** Most objects have few members, and to compare a few names is cheaper than to file them. */
type Names = { few: string[]; many: Set<string> | null };
const FEW_NAMES = 16;

function recordName(names: Names | null, literal: string): void {
  if (names === null) throw new JsonError('the text is not JSON');
  const name = literal.includes('\\') ? unescaped(literal) : literal.slice(1, -1);
  // Harmless as JSON.parse leaves it, and a new prototype for whoever copies it with Object.assign.
  if (name === '__proto__') throw new JsonError('an object has the member "__proto__"');
  const { few, many } = names;
  if (many === null ? few.includes(name) : many.has(name)) {
    throw new JsonError('an object has the same member twice');
  }
  if (many !== null) many.add(name);
  else if (few.push(name) > FEW_NAMES) names.many = new Set(few);
}

function unescaped(literal: string): string {
  try {
    return JSON.parse(literal) as string;
  } catch (error) {
    throw new JsonError('the text is not JSON', { cause: error });
  }
}

/** Where nothing is escaped the next quote closes it. */
function endOfPlainString(text: string, start: number): number {
  const end = text.indexOf('"', start + 1);
  if (end < 0) throw new JsonError('the text is not JSON');
  return end + 1;
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

const NUMBER = /[-+.0-9eE]+/y;
const INTEGER = /^-?[0-9]+$/;
const PLAIN_INTEGER = /^(?:0|-?[1-9][0-9]*)$/;
const MORE_THAN_ZERO = /^-?[0.]*[1-9]/;

/** Whole numbers of few digits are exact whoever reads them. */
const FEW_DIGITS = 15;

/** The index after such a number that begins at `start`; `start` itself when it is another one. */
function endOfDigits(text: string, start: number): number {
  let index = start;
  let character = text.charCodeAt(index);
  if (character === DIGIT_ZERO) return start;
  while (character >= DIGIT_ZERO && character <= DIGIT_NINE) {
    index += 1;
    character = text.charCodeAt(index);
  }
  const goesOn = character === COMMA || character === CLOSE_BRACE || character === CLOSE_BRACKET;
  return goesOn && index - start <= FEW_DIGITS ? index : start;
}

/** The index after the number that begins at `start`, once it is known that reading it changes nothing. */
function endOfNumber(text: string, start: number, numbers: 'any' | 'integers'): number {
  const end = endOfDigits(text, start);
  if (end > start) return end;
  NUMBER.lastIndex = start;
  const literal = NUMBER.exec(text)?.[0] ?? '';
  const value = Number(literal);
  if (numbers === 'integers' && !PLAIN_INTEGER.test(literal)) {
    throw new JsonError('a number is not a whole number in plain digits');
  }
  const changes = INTEGER.test(literal)
    ? !Number.isSafeInteger(value)
    : !Number.isFinite(value) || (value === 0 && MORE_THAN_ZERO.test(literal));
  if (changes) throw new JsonError('a number is too large or too small to be kept exactly');
  return start + literal.length;
}
