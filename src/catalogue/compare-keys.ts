/**
 * Keys of an agent or a resource server, compared as keys: by thumbprint. A new key under an old `kid` is a new key,
 * and the old key under a new `kid` is not.
 */
import { type PublicJwk, thumbprintOf } from '../jws/jwk.ts';
import { partition, type Versions } from './catalogue-change.ts';

export type KeyChange = { change: 'key-added' | 'key-removed' | 'key-relabelled'; key: string };

export function compareKeys({ before, after }: Versions<readonly PublicJwk[]>): KeyChange[] {
  const { removed, added, kept } = partition(byThumbprint(before), byThumbprint(after));
  const relabelled = kept.filter(
    (jwk) => jwk.before.kid !== jwk.after.kid || jwk.before.alg !== jwk.after.alg,
  );
  return [
    ...added.map(({ kid = '' }): KeyChange => ({ change: 'key-added', key: kid })),
    ...removed.map(({ kid = '' }): KeyChange => ({ change: 'key-removed', key: kid })),
    ...relabelled.map((jwk): KeyChange => ({ change: 'key-relabelled', key: jwk.after.kid ?? '' })),
  ];
}

function byThumbprint(keys: readonly PublicJwk[]): ReadonlyMap<string, PublicJwk> {
  return new Map(keys.map((jwk) => [thumbprintOf(jwk), jwk]));
}
