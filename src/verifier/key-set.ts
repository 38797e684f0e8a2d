/**
 * The broker's public keys (RFC 7517), by `kid`. A `kid` is what a stranger wrote into a token: an unknown one may
 * mean a new key, so it is looked for, but at most once in a while; and a known one keeps its key until the set
 * has aged, so that nobody swaps a key behind its name.
 *
 * Brokers forbid to cache anything, and a set that cannot be had must not end a lease before its time (L15). So sets are
 * fetched anew in the background, and the last one stays while it may: what was revoked meanwhile, the ledger says.
 */
import { isJsonObject } from '../json/strict-json.ts';
import { JwkError, parseVerificationKey, type VerificationKey } from '../jws/jwk.ts';
import type { Clock } from '../time/clock.ts';
import type { Ask } from './bounded-fetch.ts';
import { refuse } from './refusal.ts';
import { createRemembered, type Loaded } from './remembered.ts';

export type KeySet = {
  /** @returns null when the broker publishes no such key @throws {VerifierRefusal} when it cannot be asked */
  keyOf(kid: string): Promise<VerificationKey | null>;
  /** Resolves when there is a set. @throws {VerifierRefusal} */
  load(): Promise<void>;
  /** In the background, when half of its age is over. */
  refresh(): void;
};

type Keys = ReadonlyMap<string, VerificationKey>;

const MAX_KEYS = 50;
const MEDIA_TYPES = ['application/json', 'application/jwk-set+json'];
const DEFAULT_AGE_SECONDS = 300;
const MAX_AGE_SECONDS = 3_600;
const MIN_AGE_SECONDS = 10;

export function createKeySet(options: {
  jwksUrl: () => Promise<string>;
  ask: Ask;
  /** Between two looks for unknown keys. */
  pauseMilliseconds: number;
  /** Whether a set that has aged may still be used. */
  mayBeOld: () => boolean;
  clock: Clock;
}): KeySet {
  const { jwksUrl, ask } = options;

  async function load(last: Keys | null): Promise<Loaded<Keys>> {
    const answer = await ask({ url: await jwksUrl(), accepts: MEDIA_TYPES });
    if (answer.status !== 200) unusable();
    const keys = parseKeys(answer.json);
    const age = answer.maxAgeSeconds ?? DEFAULT_AGE_SECONDS;
    return {
      value: last === null ? keys : keepNames(keys, last),
      maxAgeSeconds: Math.min(MAX_AGE_SECONDS, Math.max(MIN_AGE_SECONDS, age)),
    };
  }

  const keys = createRemembered({ ...options, load });
  return {
    async keyOf(kid) {
      const known = (await keys.get()).get(kid);
      return known ?? (await keys.renew()).get(kid) ?? null;
    },
    async load() {
      await keys.get();
    },
    refresh: keys.refresh,
  };
}

function keepNames(newer: Keys, older: Keys): Keys {
  return new Map([...newer].map(([kid, key]) => [kid, older.get(kid) ?? key]));
}

/**
 * Only Ed25519 keys that may sign. Other kinds are skipped (RFC 7517 §5); a set that holds a symmetric or a private
 * key, or one name twice, is nobody's public key set and is refused whole.
 */
function parseKeys({ keys }: Record<string, unknown>): Keys {
  if (!Array.isArray(keys) || keys.length > MAX_KEYS) return unusable();
  const found = new Map<string, VerificationKey>();
  for (const jwk of keys) {
    if (!isJsonObject(jwk) || jwk.kty === 'oct' || 'd' in jwk || 'k' in jwk) return unusable();
    const key = jwk.kty === 'OKP' ? usableKey(jwk) : null;
    if (key === null || typeof jwk.kid !== 'string') continue;
    if (found.has(jwk.kid)) return unusable();
    found.set(jwk.kid, key);
  }
  return found;
}

function usableKey(jwk: Record<string, unknown>): VerificationKey | null {
  try {
    return parseVerificationKey(jwk);
  } catch (error) {
    if (error instanceof JwkError) return null;
    throw error;
  }
}

function unusable(): never {
  refuse('broker_answer_unusable', { hint: 'The keys of the issuer cannot be used.' });
}
