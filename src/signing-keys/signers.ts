/** What the newest active key of each purpose is used for. Synchronous and cheap: minting asks for every token. */
import type { KeyObject } from 'node:crypto';
import { refuse } from '../errors/refusal.ts';
import { encodeHeader } from '../jws/compact-jws.ts';
import { type KeyPurpose, maySign } from './key-state.ts';
import type { OpenedKey } from './opened-keys.ts';
import type { RingCopy } from './ring-copy.ts';
import { publicBytesOf } from './signing-key.ts';

export type Signer = { kid: string; privateKey: KeyObject };

/** `encodedHeader` is a token's (`typ: at+jwt`, RFC 9068 §2.1), for signCompactJws. */
export type TokenSigner = Signer & { encodedHeader: string };

/** @param publicKey 32 bytes */
export type LogSigner = Signer & { publicKey: Buffer };

export type Signers = {
  /** @throws {Refusal} signing_key_unavailable: no key may sign, or the copy of the ring is too old */
  tokenSigner(): TokenSigner;
  /** The same for what was minted under a certain key; null while that one may not sign. */
  tokenSignerOf(kid: string): TokenSigner | null;
  /** For ledger, lease and receipt messages, never for tokens (L11). @throws like tokenSigner */
  ledgerSigner(): Signer;
  /** For what AWS is told of an agent, never for a token of mayfly. @throws like tokenSigner */
  webIdentitySigner(): Signer;
  /**
   * For the heads of the audit log: the newest key that may sign, and before it those that still exist and may hand
   * over to it, the newest first. @throws like tokenSigner
   */
  logSigners(): { current: LogSigner; earlier: LogSigner[] };
  /** DPoP nonces derive from these: hand out by `current`, accept by both. @throws like tokenSigner */
  nonceSecrets(): { current: KeyObject; previous?: KeyObject };
};

export function createSigners(copy: () => RingCopy): Signers {
  let token: TokenSigner | null = null;

  return {
    tokenSigner() {
      const signer = signerOf(signingKey(copy(), 'token'));
      if (token?.kid !== signer.kid) token = { ...signer, encodedHeader: tokenHeader(signer.kid) };
      return token;
    },
    tokenSignerOf(kid) {
      const key = copy().isTooOld()
        ? undefined
        : copy()
            .keysOf('token', maySign)
            .find((each) => each.kid === kid);
      return key === undefined ? null : { ...signerOf(key), encodedHeader: tokenHeader(kid) };
    },
    ledgerSigner: () => signerOf(signingKey(copy(), 'ledger')),
    webIdentitySigner: () => signerOf(signingKey(copy(), 'web-identity')),
    logSigners() {
      const current = signingKey(copy(), 'log');
      const earlier = copy()
        .keysOf('log', (state) => state !== 'revoked')
        .filter(({ generation }) => generation < current.generation);
      return { current: logSignerOf(current), earlier: earlier.map(logSignerOf) };
    },
    nonceSecrets() {
      const current = secretOf(signingKey(copy(), 'nonce'));
      const [, previous] = copy().keysOf('nonce', (state) => maySign(state) || state === 'retired');
      return previous === undefined ? { current } : { current, previous: secretOf(previous) };
    },
  };
}

function tokenHeader(kid: string): string {
  return encodeHeader({ alg: 'EdDSA', typ: 'at+jwt', kid });
}

function signingKey(copy: RingCopy, purpose: KeyPurpose): OpenedKey {
  const [newest] = copy.keysOf(purpose, maySign);
  if (newest !== undefined && !copy.isTooOld()) return newest;
  return refuse('signing_key_unavailable', { hint: 'Try again in a moment.' });
}

function signerOf({ kid, material }: OpenedKey): Signer {
  if (material.algorithm === 'HMAC-SHA256') throw new Error('a key that signs has two halves');
  return { kid, privateKey: material.privateKey };
}

function logSignerOf(key: OpenedKey): LogSigner {
  const publicKey = publicBytesOf(key.material);
  if (publicKey === null) throw new Error('a key that signs has a public half');
  return { ...signerOf(key), publicKey };
}

function secretOf({ material }: OpenedKey): KeyObject {
  if (material.algorithm !== 'HMAC-SHA256') throw new Error('a key that nonces derive from is a secret key');
  return material.secret;
}
