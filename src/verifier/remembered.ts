/**
 * Something of the broker's that is good for a while: fetched when it is first needed, by one question however
 * many wait for it, and again when it has aged. After a failure nobody asks again before the pause is over, so
 * that a broker in trouble is not helped along.
 */
import type { Clock } from '../time/clock.ts';

export type Remembered<Value> = {
  /** The value, at most as old as it may be. Rejects with what `load` rejected with. */
  get(): Promise<Value>;
  /** What a load just now says, unless there was one within the pause: then what is at hand. It grows no younger. */
  renew(): Promise<Value>;
};

export type Loaded<Value> = { value: Value; maxAgeSeconds: number };

const PAUSE_AFTER_FAILURE_MILLISECONDS = 1_000;

/** @param load gets the last value while that is still fresh, else null */
export function createRemembered<Value>(options: {
  load: (last: Value | null) => Promise<Loaded<Value>>;
  /** Between two renewals that no age demanded. */
  pauseMilliseconds: number;
  clock: Clock;
}): Remembered<Value> {
  const { load, pauseMilliseconds, clock } = options;
  let kept: (Loaded<Value> & { since: Moment; askedAt: Moment }) | null = null;
  let failed: { error: unknown; at: Moment } | null = null;
  let loading: Promise<Value> | null = null;

  const isWithin = (milliseconds: number, moment: Moment) =>
    elapsedMilliseconds(clock, moment) < milliseconds;
  const fresh = () => (kept !== null && isWithin(kept.maxAgeSeconds * 1000, kept.since) ? kept : null);

  async function loadOnce(): Promise<Value> {
    const askedAt = momentOf(clock); // its age counts from the question, not from the answer
    const last = fresh();
    try {
      const loaded = await load(last?.value ?? null);
      kept = { ...loaded, askedAt, since: last?.since ?? askedAt };
      failed = null;
      return loaded.value;
    } catch (error) {
      failed = { error, at: momentOf(clock) };
      throw error;
    } finally {
      loading = null;
    }
  }

  function request(): Promise<Value> {
    if (loading !== null) return loading;
    if (failed !== null && isWithin(PAUSE_AFTER_FAILURE_MILLISECONDS, failed.at)) {
      return Promise.reject(failed.error);
    }
    loading = loadOnce();
    return loading;
  }

  return {
    async get() {
      return fresh()?.value ?? request();
    },
    async renew() {
      const last = fresh();
      return last !== null && isWithin(pauseMilliseconds, last.askedAt) ? last.value : request();
    },
  };
}

type Moment = { wall: number; monotonic: number };

function momentOf(clock: Clock): Moment {
  return { wall: clock.milliseconds(), monotonic: clock.monotonicMilliseconds() };
}

/** The larger of both clocks (L15): one jumps, the other stands still while a machine is suspended. */
function elapsedMilliseconds(clock: Clock, since: Moment): number {
  return Math.max(clock.milliseconds() - since.wall, clock.monotonicMilliseconds() - since.monotonic);
}
