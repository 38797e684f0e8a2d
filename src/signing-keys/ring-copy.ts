/**
 * One broker's copy of the ring, and how far it may be believed. The copy knows the database's time at which it
 * was read and goes on counting by the broker's own clocks: the monotonic one tells what time it is over there;
 * the larger of both tells how old the copy is, since either may stand still while a machine is suspended.
 */
import type { Clock } from '../time/clock.ts';
import { type KeyPurpose, type KeyState, stateOf } from './key-state.ts';
import type { OpenedKey } from './opened-keys.ts';
import { MAX_COPY_AGE_SECONDS, type RotationPolicy } from './rotation-policy.ts';

export type Reading = { wallMilliseconds: number; monotonicMilliseconds: number };

export type RingCopy = ReturnType<typeof createRingCopy>;

export function readClocks(clock: Clock): Reading {
  return { wallMilliseconds: clock.milliseconds(), monotonicMilliseconds: clock.monotonicMilliseconds() };
}

/**
 * @param keys the newest generation first
 * @param asked the clocks before the ring was read: age counts from here, so that a slow answer is not a young one
 * @param answered the clocks after it was read: the database's time counts from here, so that no key is used early
 */
export function createRingCopy({
  keys,
  nowMilliseconds,
  asked,
  answered,
  clock,
  policy,
}: {
  keys: readonly OpenedKey[];
  nowMilliseconds: number;
  asked: Reading;
  answered: Reading;
  clock: Clock;
  policy: RotationPolicy;
}) {
  function databaseMilliseconds(): number {
    return nowMilliseconds + clock.monotonicMilliseconds() - answered.monotonicMilliseconds;
  }

  function ageSeconds(): number {
    const { wallMilliseconds, monotonicMilliseconds } = readClocks(clock);
    const wall = wallMilliseconds - asked.wallMilliseconds;
    return Math.max(wall, monotonicMilliseconds - asked.monotonicMilliseconds) / 1000;
  }

  return {
    ageSeconds,
    isTooOld: () => ageSeconds() > MAX_COPY_AGE_SECONDS,
    /** The keys of a purpose whose state satisfies `wanted` now, the newest generation first. */
    keysOf(purpose: KeyPurpose, wanted: (state: KeyState) => boolean): OpenedKey[] {
      const now = databaseMilliseconds();
      return keys.filter(
        (key) => key.purpose === purpose && wanted(stateOf(key, now, policy.tokenLifetimeSeconds)),
      );
    },
  };
}
