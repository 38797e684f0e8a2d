/**
 * The life of a key, as pure rules over its times.
 *
 *   published ── active ── overlapping ── retired ── removed          (revoked: from anywhere, at once, for good)
 *      │           │           │             │
 *      in JWKS so that verifiers know it before it signs              out of JWKS, private part erased
 *                  └── signs ──┴─ still accepted from brokers that have not yet read of the successor
 *
 * When a key retires is never stored: it follows from its successor, so that no two rows can contradict each
 * other and making, hastening and revoking a key each change one row. `migrations/0003-signing-keys.sql` states
 * the same rule for the mint statement; a property test holds the two together.
 *
 * All times are database time, in milliseconds since 1970.
 */

/**
 * `token` signs access tokens, `ledger` signs ledger, lease and receipt messages (L11), `nonce` derives nonces, `log`
 * signs the heads of the audit log, `web-identity` what mayfly tells AWS of an agent.
 */
export type KeyPurpose = 'token' | 'ledger' | 'nonce' | 'log' | 'web-identity';

/** What every ring has. */
export const KEY_PURPOSES: readonly KeyPurpose[] = ['token', 'ledger', 'nonce', 'log'];

/** With what a ring has from when it was first needed. */
export const ALL_KEY_PURPOSES: readonly KeyPurpose[] = [...KEY_PURPOSES, 'web-identity'];

/** Auditors pin the key of the log by hand: it changes when somebody says so, never by the calendar. */
export function rotatesBySchedule(purpose: KeyPurpose): boolean {
  return purpose !== 'log';
}

export type KeyTimes = {
  kid: string;
  purpose: KeyPurpose;
  /** 1, 2, 3 … within a purpose; the larger one succeeds. */
  generation: number;
  publishedAtMilliseconds: number;
  activeFromMilliseconds: number;
  revokedAtMilliseconds: number | null;
  isErased: boolean;
  /** Of the log: the key that signed last and has not handed over yet. Until then its secret stays. */
  speaks?: boolean;
};

export type KeyLife = KeyTimes & { retireAtMilliseconds: number | null };

export type KeyState = 'published' | 'active' | 'overlapping' | 'retired' | 'removed' | 'revoked';

/**
 * How long a key may still sign after its successor began to. Longer than the age at which a broker stops
 * trusting its copy of the ring (MAX_COPY_AGE_SECONDS), so that no copy can be behind a retirement.
 * The migration has the same number.
 */
export const OVERLAP_SECONDS = 60;

/** What verifiers may add to `exp` for their own clocks; a key stays in JWKS that much longer. */
export const VERIFIER_SKEW_SECONDS = 60;

/** Adds to each key when it stops signing: OVERLAP_SECONDS after the first successor became active. */
export function withRetirement<Key extends KeyTimes>(
  keys: readonly Key[],
): (Key & { retireAtMilliseconds: number | null })[] {
  return keys.map((key) => {
    const successions = keys
      .filter((other) => succeeds(other, key) && !wasRevokedBeforeUse(other))
      .map((successor) => successor.activeFromMilliseconds + OVERLAP_SECONDS * 1000);
    return { ...key, retireAtMilliseconds: successions.length === 0 ? null : Math.min(...successions) };
  });
}

/** @param tokenLifetimeSeconds the longest life of anything signed; a key is published at least that much longer */
export function stateOf(key: KeyLife, nowMilliseconds: number, tokenLifetimeSeconds: number): KeyState {
  if (key.revokedAtMilliseconds !== null) return 'revoked';
  const retireAt = key.retireAtMilliseconds ?? Number.POSITIVE_INFINITY;
  if (nowMilliseconds >= retireAt + tailMilliseconds(tokenLifetimeSeconds)) return 'removed';
  if (nowMilliseconds >= retireAt) return 'retired';
  if (nowMilliseconds < key.activeFromMilliseconds) return 'published';
  return nowMilliseconds >= retireAt - OVERLAP_SECONDS * 1000 ? 'overlapping' : 'active';
}

export function maySign(state: KeyState): boolean {
  return state === 'active' || state === 'overlapping';
}

/** True while something signed by the key may still have to be verified, or soon will. */
export function isInUse(state: KeyState): boolean {
  return state !== 'removed' && state !== 'revoked';
}

/** From retirement to removal: until the last signature's token died, even by a verifier's slow clock. */
export function tailMilliseconds(tokenLifetimeSeconds: number): number {
  return (tokenLifetimeSeconds + VERIFIER_SKEW_SECONDS) * 1000;
}

function succeeds(other: KeyTimes, key: KeyTimes): boolean {
  return other.purpose === key.purpose && other.generation > key.generation;
}

/** Such a key never signed, so it takes over from nobody. */
export function wasRevokedBeforeUse(key: KeyTimes): boolean {
  return key.revokedAtMilliseconds !== null && key.revokedAtMilliseconds <= key.activeFromMilliseconds;
}
