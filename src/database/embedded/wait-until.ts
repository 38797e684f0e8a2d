/** Waiting for another program, which cannot call back: asks again and again, up to a bound. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../../time/clock.ts';

const POLL_MILLISECONDS = 10;

export type WaitBounds = { clock: Clock; timeoutMilliseconds: number };

/** @returns false when the condition did not come true in time */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  { clock, timeoutMilliseconds }: WaitBounds,
): Promise<boolean> {
  const deadline = clock.monotonicMilliseconds() + timeoutMilliseconds;
  while (!(await condition())) {
    if (clock.monotonicMilliseconds() >= deadline) return false;
    await pause(POLL_MILLISECONDS);
  }
  return true;
}
