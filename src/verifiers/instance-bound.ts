/**
 * How many instances one resource server may bring into being. Each is a row, and one more that a kill has to wait
 * for: without a bound whoever holds a resource's key could make receipts endless.
 */
import { createRecent } from '../bounds/recent.ts';
import { refuse } from '../errors/refusal.ts';
import { createBuckets, type Rate } from '../http/token-bucket.ts';
import type { Clock } from '../time/clock.ts';

export type InstanceBound = {
  /** @throws {Refusal} `rate_limited` when too many of this resource are new here */
  admit(asked: { instance: string; resource: string }): void;
};

/** A whole fleet that meets a broker for the first time is welcome; then a few a second. */
const NEW_INSTANCES: Rate = { perSecond: 10, burst: 2_000 };
const MAX_RESOURCES = 10_000;
const MAX_INSTANCES = 100_000;

export function createInstanceBound({
  clock,
  rate = NEW_INSTANCES,
}: {
  clock: Clock;
  rate?: Rate;
}): InstanceBound {
  const known = createRecent<true>(MAX_INSTANCES);
  const buckets = createBuckets({ rate, maxEntries: MAX_RESOURCES, clock });
  return {
    admit({ instance, resource }) {
      const name = `${resource}\n${instance}`;
      if (known.get(name) === true) return;
      const wait = buckets.take(resource);
      if (wait > 0) {
        refuse('client_rate', {
          hint: 'Too many new verifier instances of this resource.',
          headers: { 'Retry-After': String(Math.max(1, Math.ceil(wait / 1_000))) },
        });
      }
      known.set(name, true);
    },
  };
}
