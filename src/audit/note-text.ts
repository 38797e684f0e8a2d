/**
 * The small spellings that all texts of a log share: one for each value, so that what was signed cannot be written
 * in a second way. Standard base64 with padding (RFC 4648 §4), decimal numbers without leading zeros, lines that end
 * with a line feed.
 */
import { AuditFormatError } from './format-error.ts';

export const HASH_BYTES = 32;

/** A tree of up to 2^53 leaves needs no longer proof; the limit of tlog-witness is 63. */
export const MAX_PROOF_HASHES = 63;

const DECIMAL = /^(?:0|[1-9][0-9]{0,15})$/;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The bytes, or null when `text` is not their one spelling. */
export function decodeBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : null;
}

/** @throws {AuditFormatError} */
export function parseHash(text: string): Buffer {
  const bytes = decodeBase64(text);
  if (bytes?.length !== HASH_BYTES) throw new AuditFormatError('a hash has to be 32 bytes as base64');
  return bytes;
}

export function formatHash(hash: Uint8Array): string {
  return Buffer.from(hash).toString('base64');
}

/** @throws {AuditFormatError} */
export function parseProof(lines: readonly string[]): Buffer[] {
  if (lines.length > MAX_PROOF_HASHES) {
    throw new AuditFormatError(`a proof has at most ${MAX_PROOF_HASHES} hashes`);
  }
  return lines.map(parseHash);
}

/**
 * A size or an index. Numbers past 2^53, which the standards allow, are refused: no log of ours comes near.
 * @throws {AuditFormatError}
 */
export function parseDecimal(text: string): number {
  const value = DECIMAL.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) {
    throw new AuditFormatError('a number has to be decimal, without leading zeros, below 2^53');
  }
  return value;
}

/** @throws {AuditFormatError} unless the bytes are UTF-8, or the string is well-formed Unicode */
export function textOf(source: string | Uint8Array): string {
  if (typeof source === 'string') {
    if (!source.isWellFormed()) throw new AuditFormatError('the text holds a lone surrogate');
    return source;
  }
  try {
    return utf8.decode(source);
  } catch (error) {
    throw new AuditFormatError('the text is not UTF-8', { cause: error });
  }
}

/** The lines without their line feeds. @throws {AuditFormatError} when the last has none */
export function linesOf(text: string): string[] {
  if (!text.endsWith('\n')) throw new AuditFormatError('the last line has to end with a line feed');
  return text.slice(0, -1).split('\n');
}
