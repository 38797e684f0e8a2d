/**
 * Names of things: `ses_01k…` is a prefix that says what it names, and 26 characters of base32 that hold 48 bits
 * of time and 80 random bits. They sort by the millisecond they were made in, so an index grows at its end and a
 * token's hour can be read from its name; within one millisecond their order is random. They are names, not
 * secrets: 80 bits keep two brokers from meeting by chance, nothing is allowed because somebody knows one.
 */
import { randomFillSync } from 'node:crypto';
import type { Clock } from './clock.ts';

/** Crockford's base32 in lower case: no i, l, o, u, and its order is the order of the numbers. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const TIME_CHARACTERS = 10;
const RANDOM_BYTES = 10;
const MAX_MILLISECONDS = 2 ** 48 - 1;

/** The first character carries 3 of the 50 bits that ten characters could hold, so it ends at 7. */
const IDENTIFIER = /^[a-z]{2,8}_[0-7][0-9a-hjkmnp-tv-z]{25}$/;

/** `PAIRS[n]` spells ten bits. */
const PAIRS = Array.from({ length: 1024 }, (_, bits) => `${ALPHABET[bits >> 5]}${ALPHABET[bits & 31]}`);

/** Random bytes are drawn many at a time: one draw costs more than a hundred identifiers. */
const pool = Buffer.allocUnsafe(RANDOM_BYTES * 512);
let used = pool.length;

/** The same millisecond is spelled once. */
let spelledMilliseconds = -1;
let spelledTime = '';

/**
 * @param prefix what is named: two to eight lower-case letters, e.g. `ses`
 * @returns e.g. `ses_01k5h0m2v3x8q6d0w9r7t4y1zb`
 */
export function newIdentifier(prefix: string, clock: Clock): string {
  const milliseconds = Math.floor(clock.milliseconds());
  if (milliseconds !== spelledMilliseconds) {
    spelledTime = spellTime(milliseconds);
    spelledMilliseconds = milliseconds;
  }
  return `${prefix}_${spelledTime}${spellRandom()}`;
}

/**
 * When the thing that `identifier` names was made: milliseconds since 1970-01-01T00:00Z, or null when the text is
 * not an identifier in its one spelling. Anybody can write one with any time in it: proof of nothing.
 */
export function millisecondsOfIdentifier(identifier: string): number | null {
  if (!IDENTIFIER.test(identifier)) return null;
  const start = identifier.indexOf('_') + 1;
  let milliseconds = 0;
  for (let index = start; index < start + TIME_CHARACTERS; index += 1) {
    milliseconds = milliseconds * 32 + ALPHABET.indexOf(identifier.charAt(index));
  }
  return milliseconds;
}

/** Whether the text could be the name of such a thing, e.g. of a `ses`. */
export function isIdentifierOf(prefix: string, text: string): boolean {
  return text.startsWith(`${prefix}_`) && IDENTIFIER.test(text);
}

function spellTime(milliseconds: number): string {
  if (!(milliseconds >= 0 && milliseconds <= MAX_MILLISECONDS)) {
    throw new RangeError('the clock is outside the years that an identifier can name');
  }
  let text = '';
  for (let rest = milliseconds, pair = 0; pair < TIME_CHARACTERS / 2; pair += 1) {
    text = PAIRS[rest % 1024] + text;
    rest = Math.floor(rest / 1024);
  }
  return text;
}

function spellRandom(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  let text = '';
  for (const end = used + RANDOM_BYTES; used < end; used += 5) text += spellFiveBytes(used);
  return text;
}

/** 40 bits, eight characters. */
function spellFiveBytes(at: number): string {
  const high = pool.readUIntBE(at, 2) * 16 + (pool.readUInt8(at + 2) >> 4); // the first 20 bits
  const low = (pool.readUIntBE(at + 2, 3) & 0xfffff) >>> 0; // the last 20
  return `${PAIRS[high >> 10]}${PAIRS[high & 1023]}${PAIRS[low >> 10]}${PAIRS[low & 1023]}`;
}
