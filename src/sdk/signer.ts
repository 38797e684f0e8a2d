/** Whoever signs: the agent's long-lived key, wherever it is, or the key of one session. */
import { giveUp } from './agent-error.ts';
import { type Bytes, encodeBase64url } from './base64url.ts';

export type SigningAlgorithm = 'ES256' | 'EdDSA';

export type Signer = {
  alg: SigningAlgorithm;
  /** As the catalogue declares it. It may be left out where the client has one key of this kind. */
  kid?: string | undefined;
  /**
   * @param bytes what is signed, not a digest of it
   * @returns 64 bytes, as RFC 7518 §3.4 and RFC 8037 §3.1 have them; for ES256 also the DER that key services give
   */
  sign(bytes: Bytes, options: { signal: AbortSignal }): Promise<Uint8Array>;
};

const PARAMETERS = {
  ES256: { name: 'ECDSA', hash: 'SHA-256' },
  EdDSA: { name: 'Ed25519' },
} as const;

/** The key stays where WebCrypto keeps it. */
export function signerOf(privateKey: CryptoKey, alg: SigningAlgorithm, kid?: string): Signer {
  return {
    alg,
    kid,
    sign: async (bytes) => new Uint8Array(await crypto.subtle.sign(PARAMETERS[alg], privateKey, bytes)),
  };
}

export async function signJwt(
  signer: Pick<Signer, 'alg' | 'sign'>,
  { header, claims }: { header: object; claims: object },
  signal: AbortSignal,
): Promise<string> {
  const input = `${encodeBase64url(JSON.stringify(header))}.${encodeBase64url(JSON.stringify(claims))}`;
  const signature = await signer.sign(new TextEncoder().encode(input), { signal });
  const isBytes = ArrayBuffer.isView(signature);
  const plain = isBytes && signer.alg === 'ES256' ? plainSignature(signature) : signature;
  if (isBytes && plain.length === SIGNATURE_BYTES) return `${input}.${encodeBase64url(plain)}`;
  return giveUp('misconfigured', `What signs gives no signature of ${signer.alg}.`, {
    hint: 'sign() has to return its 64 bytes; of ES256 also as the DER that key services give.',
  });
}

const SIGNATURE_BYTES = 64;
const COORDINATE_BYTES = 32;
const SEQUENCE = 0x30;
const INTEGER = 0x02;

/** RFC 3279 §2.2.3: SEQUENCE { r INTEGER, s INTEGER }. Of 64 bytes it is never meant. */
function plainSignature(signature: Uint8Array): Uint8Array {
  if (signature.length === SIGNATURE_BYTES || signature[0] !== SEQUENCE) return signature;
  const plain = new Uint8Array(SIGNATURE_BYTES);
  let at = 2;
  for (const end of [COORDINATE_BYTES, SIGNATURE_BYTES]) {
    const length = signature[at + 1] ?? 0;
    const whole = signature.subarray(at + 2, at + 2 + length);
    if (signature[at] !== INTEGER || whole.length !== length) return signature;
    const digits = whole.subarray(Math.max(0, length - COORDINATE_BYTES)); // a leading zero keeps it positive
    plain.set(digits, end - digits.length);
    at += 2 + length;
  }
  return plain;
}
