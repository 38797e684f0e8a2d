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

export type Jwks = { keys: PublishedJwk[] };

/** Sorted by `kid`, so that all brokers give the same bytes and the order does not tell who signs next. */
export function jwksOf(keys: readonly OpenedKey[]): Jwks {
  const published = keys.flatMap(({ kid, material }) => {
    if (material.algorithm !== 'Ed25519') return [];
    const { x } = material.verificationKey.jwk;
    return [{ kty: 'OKP', crv: 'Ed25519', x, kid, use: 'sig', alg: 'EdDSA' } as const];
  });
  return { keys: published.sort((one, other) => (one.kid < other.kid ? -1 : 1)) };
}
