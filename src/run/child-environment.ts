/**
 * The environment of the program: ours without whatever carries or points at a long-lived key, and with what the
 * offers add.
 */
import type { Environment } from '../config/environment.ts';
import { RUN_VARIABLES, SETTINGS } from '../config/settings.ts';
import type { Offer } from './offer.ts';

/** Settings that are a secret, or the path of one. */
export const KEY_VARIABLES: readonly string[] = [
  ...SETTINGS.filter(({ secret }) => secret === true).flatMap(({ name }) => [name, `${name}_FILE`]),
  'MAYFLY_TLS_KEY',
];

/** Shorter ones are no keys, and stand in many a value by chance. */
const KEY_CHARACTERS = 16;

export function childEnvironment(
  own: Environment,
  offers: readonly Pick<Offer, 'environment' | 'withheld'>[],
): Record<string, string> {
  const withheld = new Set([
    ...KEY_VARIABLES,
    ...RUN_VARIABLES, // of a run that we are the program of
    ...offers.flatMap((offer) => offer.withheld ?? []),
  ]);
  const keys = KEY_VARIABLES.map((name) => own[name]?.trim() ?? '').filter(
    (value) => value.length >= KEY_CHARACTERS,
  );
  const inherited = Object.entries(own).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !withheld.has(entry[0]),
  );
  return Object.assign(
    // The same key under a name that somebody else chose
    Object.fromEntries(inherited.filter(([, value]) => !keys.some((key) => value.includes(key)))),
    ...offers.map((offer) => offer.environment),
  );
}
