/** base64url without padding (RFC 7515 §2), and SHA-256 in it, with nothing but what browsers have too. */
export type Bytes = Uint8Array<ArrayBuffer>;

const CHUNK_BYTES = 8_192;

export function encodeBase64url(value: string | Uint8Array): string {
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value;
  let text = '';
  for (let from = 0; from < bytes.length; from += CHUNK_BYTES) {
    text += String.fromCharCode(...bytes.subarray(from, from + CHUNK_BYTES));
  }
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

/** Of the base64 inside a PEM. @throws when it is none */
export function decodeBase64(text: string): Bytes {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** How tokens and arguments are named in what is signed. */
export async function sha256(text: string): Promise<string> {
  return encodeBase64url(
    new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))),
  );
}
