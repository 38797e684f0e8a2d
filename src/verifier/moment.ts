/**
 * A moment on both clocks of the machine. What passed since then is the larger of what they say (L15): the wall
 * clock can be set back, and the monotonic one stands still while a machine is suspended.
 */
import type { Clock } from '../time/clock.ts';

export type Moment = {
  /** Milliseconds since 1970, as is everything here. */
  wall: number;
  monotonic: number;
};

export function momentOf(clock: Clock): Moment {
  return { wall: clock.milliseconds(), monotonic: clock.monotonicMilliseconds() };
}

export function elapsedMilliseconds(since: Moment, now: Moment): number {
  return Math.max(now.wall - since.wall, now.monotonic - since.monotonic);
}
