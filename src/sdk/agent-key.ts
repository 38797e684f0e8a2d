/**
 * The long-lived key by which an agent is known, in whatever form its owner has it. What is handed in is turned into
 * a key that WebCrypto keeps and does not give back, at once; the text or object is kept nowhere. A key that never
 * leaves its service comes as a signer.
 */
import { AgentError, giveUp } from './agent-error.ts';
import { decodeBase64 } from './base64url.ts';
import { type Signer, type SigningAlgorithm, signerOf } from './signer.ts';

/** P-256 or Ed25519 (RFC 7518 §6.2, RFC 8037 §2), with its private part. */
export type PrivateJwk = {
  kty?: string;
  crv?: string;
  x?: string;
  y?: string;
  d?: string;
  kid?: string;
};

/** A string is a private JWK as JSON, or a PKCS#8 PEM. */
export type AgentKey =
  | string
  | PrivateJwk
  | CryptoKey
  | { pem: string; kid?: string }
  | { privateKey: CryptoKey; kid?: string }
  | Signer;

/** @throws {AgentError} `misconfigured`, without a word of what was handed in */
export async function openKey(given: AgentKey | Promise<AgentKey>): Promise<Signer> {
  try {
    return await open(await given);
  } catch (error) {
    // What a parser or WebCrypto says could repeat a part of the key.
    throw error instanceof AgentError ? error : unusable();
  }
}

function open(key: AgentKey): Promise<Signer> | Signer {
  if (typeof key === 'string') return openText(key);
  if (typeof key !== 'object' || key === null) return unusable();
  if ('sign' in key) return checkedSigner(key);
  if ('pem' in key) return openPem(key.pem, key.kid);
  if ('privateKey' in key) return openCryptoKey(key.privateKey, key.kid);
  if ('algorithm' in key) return openCryptoKey(key);
  return openJwk(key);
}

function openText(text: string): Promise<Signer> {
  return text.trimStart().startsWith('{') ? openJwk(JSON.parse(text)) : openPem(text);
}

function checkedSigner({ alg, kid, sign }: Signer): Signer {
  if ((alg !== 'ES256' && alg !== 'EdDSA') || typeof sign !== 'function') return unusable();
  return { alg, kid, sign };
}

const IMPORTS = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  EdDSA: { name: 'Ed25519' },
} as const;

async function openJwk({ kty = '', crv = '', x = '', y = '', d = '', kid }: PrivateJwk): Promise<Signer> {
  if (d === '') giveUp('misconfigured', 'The key of the agent has to be a private JWK, with d.');
  const alg = algorithmOf(`${kty} ${crv}`);
  const jwk = { kty, crv, x, d, ...(alg === 'ES256' ? { y } : {}) };
  return signerOf(await crypto.subtle.importKey('jwk', jwk, IMPORTS[alg], false, ['sign']), alg, kid);
}

function algorithmOf(name: string): SigningAlgorithm {
  if (name === 'EC P-256' || name === 'ECDSA P-256') return 'ES256';
  return name === 'OKP Ed25519' || name === 'Ed25519 undefined' ? 'EdDSA' : unusable();
}

const PEM = /-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END PRIVATE KEY-----/;

async function openPem(text: string, kid?: string): Promise<Signer> {
  const [, body] = PEM.exec(text) ?? [];
  if (body === undefined) return unusable();
  const bytes = decodeBase64(body.replaceAll(/\s/g, ''));
  const importAs = async (alg: SigningAlgorithm) =>
    signerOf(await crypto.subtle.importKey('pkcs8', bytes, IMPORTS[alg], false, ['sign']), alg, kid);
  return importAs('ES256').catch(() => importAs('EdDSA')); // the PEM knows which it is, and WebCrypto wants to be told
}

function openCryptoKey(key: CryptoKey, kid?: string): Signer {
  const { name, namedCurve } = key.algorithm as { name: string; namedCurve?: string };
  if (key.type !== 'private' || !key.usages.includes('sign')) return unusable();
  return signerOf(key, algorithmOf(`${name} ${namedCurve}`), kid);
}

function unusable(): never {
  return giveUp(
    'misconfigured',
    'The key of the agent has to be a private P-256 or Ed25519 key: a JWK, a PKCS#8 PEM (BEGIN PRIVATE KEY), a ' +
      'CryptoKey that may sign, or { alg, kid, sign }.',
  );
}
