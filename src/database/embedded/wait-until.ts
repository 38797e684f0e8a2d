/** Waiting for another program, which cannot call back: asks again and again, up to a bound. */
import { setTimeout as pause } from 'node:timers/promises';

const POLL_MILLISECONDS = 10;

/**
 * Counts its tries instead of watching a clock: a machine that slept meanwhile has not used up the time.
 * @returns false when the condition did not come true in about that time
 */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  timeoutMilliseconds: number,
): Promise<boolean> {
  for (let waited = 0; waited < timeoutMilliseconds; waited += POLL_MILLISECONDS) {
    if (await condition()) return true;
    await pause(POLL_MILLISECONDS);
  }
  return condition();
}
