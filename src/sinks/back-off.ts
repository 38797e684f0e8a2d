/** How long to wait after a failure: twice as long after each further one, up to a minute, and never quite as planned. */
export const MAX_BACK_OFF_MILLISECONDS = 60_000;
const FIRST_BACK_OFF_MILLISECONDS = 500;
/** By then the maximum is long reached. */
const MAX_COUNTED = 30;

export type BackOff = {
  /** After one more failure: milliseconds, at least what the other side asked for. */
  next(atLeast?: number): number;
  reset(): void;
};

export function createBackOff(random: () => number): BackOff {
  let failures = 0;
  return {
    next(atLeast = 0) {
      const longest = Math.min(FIRST_BACK_OFF_MILLISECONDS * 2 ** failures, MAX_BACK_OFF_MILLISECONDS);
      failures = Math.min(failures + 1, MAX_COUNTED);
      return Math.max(atLeast, longest * (0.5 + random() / 2));
    },
    reset() {
      failures = 0;
    },
  };
}
