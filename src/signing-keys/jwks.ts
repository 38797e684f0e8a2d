/** The public part of the ring (RFC 7517 §5), written member by member: nothing private can slip in. */
import type { OpenedKey } from './opened-keys.ts';

export type PublishedJwk = {
  kty: 'OKP';
  crv: 'Ed25519';
  x: string;
  kid: string;
  use: 'sig';
  alg: 'EdDSA';
};

export type PublishedEcJwk = {
  kty: 'EC';
  crv: 'P-256';
  x: string;
  y: string;
  kid: string;
  use: 'sig';
  alg: 'ES256';
};

export type Jwks = { keys: PublishedJwk[] };

/** The keys by which AWS knows what mayfly says of an agent; in the same order. */
export function webIdentityJwksOf(keys: readonly OpenedKey[]): { keys: PublishedEcJwk[] } {
  const published = keys.flatMap(({ kid, material }) => {
    if (material.algorithm !== 'ES256' || material.verificationKey.jwk.kty !== 'EC') return [];
    const { x, y } = material.verificationKey.jwk;
    return [{ kty: 'EC', crv: 'P-256', x, y, kid, use: 'sig', alg: 'ES256' } as const];
  });
  return { keys: published.sort((one, other) => (one.kid < other.kid ? -1 : 1)) };
}

/** Sorted by `kid`, so that all brokers give the same bytes and the order does not tell who signs next. */
export function jwksOf(keys: readonly OpenedKey[]): Jwks {
  const published = keys.flatMap(({ kid, material }) => {
    if (material.algorithm !== 'Ed25519') return [];
    const { x } = material.verificationKey.jwk;
    return [{ kty: 'OKP', crv: 'Ed25519', x, kid, use: 'sig', alg: 'EdDSA' } as const];
  });
  return { keys: published.sort((one, other) => (one.kid < other.kid ? -1 : 1)) };
}
