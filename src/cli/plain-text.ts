/**
 * What a server sent, fit for a terminal. A name or a reason that somebody else chose could hold the sequences by
 * which a terminal is told to move, to recolour, to retitle, to answer; or marks that turn the order of a line
 * around. They are shown by their number instead.
 */

/** Controls, formats (with the marks of direction), separators of lines, and what is no character. */
const NOT_SHOWN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

/** The same, without what JSON escapes by itself and the line feeds between its members. */
const NOT_SHOWN_IN_JSON = /[\u007f-\u009f\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

/** One line, whatever came. */
export function plainText(text: string): string {
  return text.replace(NOT_SHOWN, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

/** The same for what has several lines of our own. */
export function plainLines(text: string): string {
  return text.split('\n').map(plainText).join('\n');
}

/** JSON that means the same and shows nothing but what it is. */
export function plainJson(value: unknown, { indent = 0 }: { indent?: number } = {}): string {
  return JSON.stringify(value, null, indent).replace(NOT_SHOWN_IN_JSON, escaped);
}

/** By UTF-16 code units, since JSON has no other way to write a character beyond them (RFC 8259 §7). */
function escaped(character: string): string {
  return Array.from(
    { length: character.length },
    (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`,
  ).join('');
}
