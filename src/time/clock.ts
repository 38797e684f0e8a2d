/** The only place that asks the machine for the time. Tests hand in a clock of their own. */
export type Clock = {
  /** Wall-clock time, milliseconds since 1970-01-01T00:00Z. May jump. */
  milliseconds(): number;
  /** Milliseconds that only ever grow, from an arbitrary start. For measuring how long something took. */
  monotonicMilliseconds(): number;
};

export const systemClock: Clock = {
  milliseconds: () => Date.now(),
  monotonicMilliseconds: () => performance.now(),
};

/** Seconds since 1970-01-01T00:00Z, rounded down: the NumericDate of RFC 7519 §2. */
export function numericDate(clock: Clock): number {
  return Math.floor(clock.milliseconds() / 1000);
}
