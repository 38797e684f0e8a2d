import { createRecent } from '../bounds/recent.ts';
import type { Clock } from '../time/clock.ts';

/** So many a second on average, so many at once. */
export type Rate = { perSecond: number; burst: number };

/** Token buckets by name. A name that was not seen lately has a full one, so forgetting it costs nothing. */
export type Buckets = {
  /** Takes one. @returns 0, or, when there is none, how many milliseconds until there is */
  take(name: string): number;
  /** What {@link Buckets.take} would say, without taking. */
  wait(name: string): number;
  /** How many are missing from a full bucket. */
  missing(name: string): number;
};

type Bucket = { level: number; filledAt: number };

/** @param maxEntries buckets kept; of more, the ones that were not asked for longest are full again */
export function createBuckets({
  rate: { perSecond, burst },
  maxEntries,
  clock,
}: {
  rate: Rate;
  maxEntries: number;
  clock: Clock;
}): Buckets {
  const buckets = createRecent<Bucket>(maxEntries);

  function levelOf(bucket: Bucket, now: number): number {
    return Math.min(burst, bucket.level + ((now - bucket.filledAt) / 1_000) * perSecond);
  }

  function millisecondsUntilOne(level: number): number {
    return level >= 1 ? 0 : Math.ceil(((1 - level) / perSecond) * 1_000);
  }

  return {
    take(name) {
      const now = clock.monotonicMilliseconds();
      const bucket = buckets.get(name);
      if (bucket === undefined) {
        buckets.set(name, { level: burst - 1, filledAt: now });
        return 0;
      }
      bucket.level = levelOf(bucket, now);
      bucket.filledAt = now;
      const wait = millisecondsUntilOne(bucket.level);
      if (wait === 0) bucket.level -= 1;
      return wait;
    },
    wait(name) {
      const bucket = buckets.get(name);
      return bucket === undefined ? 0 : millisecondsUntilOne(levelOf(bucket, clock.monotonicMilliseconds()));
    },
    missing(name) {
      const bucket = buckets.get(name);
      return bucket === undefined ? 0 : burst - levelOf(bucket, clock.monotonicMilliseconds());
    },
  };
}
