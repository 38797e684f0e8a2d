/**
 * base64url without padding, one spelling per byte sequence (RFC 4648 §3.5, §5; RFC 7515 §2).
 * Node's decoder skips illegal characters and ignores the unused bits of the last one, so that `QQ`, `QR` and
 * `Q!Q` are one byte to it: two spellings of one proof, one key with two thumbprints.
 */

const ALPHABET = /^[A-Za-z0-9_-]*$/;

/** The bytes, or null when `text` is not the one canonical spelling of any bytes. */
export function decodeBase64url(text: string): Buffer | null {
  if (!ALPHABET.test(text)) return null;
  const bytes = Buffer.from(text, 'base64url');
  const unusedBits = (text.length % 4) * 6 - Math.floor(((text.length % 4) * 6) / 8) * 8;
  if (unusedBits === 0) return bytes;
  return bytes.toString('base64url') === text ? bytes : null;
}

export function encodeBase64url(value: string | Uint8Array): string {
  return Buffer.from(value as Uint8Array).toString('base64url');
}
