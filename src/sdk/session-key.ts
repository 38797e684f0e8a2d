/**
 * The key of one session: made here, kept by WebCrypto, never given out. Every proof (RFC 9449 §4.2) that this
 * library sends is signed in this file, one for each request.
 */
import { encodeBase64url, sha256 } from './base64url.ts';
import { signerOf, signJwt } from './signer.ts';

export type ProofOf = {
  method: string;
  /** Whatever is in its query goes over the wire, and not into the proof (§4.2 `htu`). */
  url: string;
  /** Seconds since 1970. */
  issuedAt: number;
  nonce?: string | undefined;
  /** The proof is then good for this token alone (`ath`). */
  accessToken?: string | undefined;
};

export type SessionKey = { sign(proof: ProofOf, signal: AbortSignal): Promise<string> };

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256' } as const;

export async function makeSessionKey(): Promise<SessionKey> {
  const { privateKey, publicKey } = (await crypto.subtle.generateKey(ALGORITHM, false, [
    'sign',
    'verify',
  ])) as { privateKey: CryptoKey; publicKey: CryptoKey };
  const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', publicKey);
  const signer = signerOf(privateKey, 'ES256');
  const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } };
  return {
    async sign({ method, url, issuedAt, nonce, accessToken }, signal) {
      const claims = {
        htm: method,
        htu: targetOf(url),
        iat: issuedAt,
        jti: newIdentifier(),
        ...(nonce === undefined ? {} : { nonce }),
        ...(accessToken === undefined ? {} : { ath: await sha256(accessToken) }),
      };
      return signJwt(signer, { header, claims }, signal);
    },
  };
}

function targetOf(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}

const IDENTIFIER_BYTES = 18;

/** 144 bits (§4.2 asks for 96). `crypto.randomUUID` is missing where a page is not served over TLS. */
export function newIdentifier(): string {
  return encodeBase64url(crypto.getRandomValues(new Uint8Array(IDENTIFIER_BYTES)));
}
