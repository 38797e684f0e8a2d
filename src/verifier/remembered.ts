/**
 * Something of the broker's that is good for a while: fetched when it is first needed, by one question however
 * many wait for it, and again when it has aged. Whoever refreshes it in time never lets anybody wait. After a failure
 * nobody asks again before the pause is over, so that a broker in trouble is not helped along.
 */
import type { Clock } from '../time/clock.ts';
import { elapsedMilliseconds, type Moment, momentOf } from './moment.ts';

export type Remembered<Value> = {
  /** The value, at most as old as it may be. Rejects with what `load` rejected with. */
  get(): Promise<Value>;
  /** What a load just now says, unless there was one within the pause: then what is at hand. It grows no younger. */
  renew(): Promise<Value>;
  /** Loads in the background what has reached half of its age, or is not there yet. What is at hand stays until then. */
  refresh(): void;
};

export type Loaded<Value> = { value: Value; maxAgeSeconds: number };

type Kept<Value> = Loaded<Value> & {
  /** From when its age counts. */
  since: Moment;
  loadedAt: Moment;
  /** When somebody waited for it last: a refresh is no reason to leave the next one without an answer. */
  awaitedAt: Moment;
};

const PAUSE_AFTER_FAILURE_MILLISECONDS = 1_000;

/** Of its age. */
const REFRESHED_AT = 0.5;

/** @param load gets the last value while that is still fresh, else null */
export function createRemembered<Value>(options: {
  load: (last: Value | null) => Promise<Loaded<Value>>;
  /** Between two renewals that no age demanded. */
  pauseMilliseconds: number;
  /** While this is true, what has aged is better than a wait for what is new. */
  mayBeOld?: () => boolean;
  clock: Clock;
}): Remembered<Value> {
  const { load, pauseMilliseconds, mayBeOld = () => false, clock } = options;
  let kept: Kept<Value> | null = null;
  let failed: { error: unknown; at: Moment } | null = null;
  let loading: Promise<Value> | null = null;

  const isWithin = (milliseconds: number, moment: Moment) =>
    elapsedMilliseconds(moment, momentOf(clock)) < milliseconds;
  const fresh = () => (kept !== null && isWithin(kept.maxAgeSeconds * 1_000, kept.since) ? kept : null);

  async function loadOnce(isAwaited: boolean): Promise<Value> {
    const loadedAt = momentOf(clock); // its age counts from the question, not from the answer
    const last = fresh();
    try {
      const loaded = await load(last?.value ?? null);
      const awaitedAt = isAwaited ? loadedAt : (kept?.awaitedAt ?? loadedAt);
      kept = { ...loaded, loadedAt, awaitedAt, since: last?.since ?? loadedAt };
      failed = null;
      return loaded.value;
    } catch (error) {
      failed = { error, at: momentOf(clock) };
      throw error;
    } finally {
      loading = null;
    }
  }

  function request({ isAwaited }: { isAwaited: boolean }): Promise<Value> {
    if (loading !== null) return loading;
    if (failed !== null && isWithin(PAUSE_AFTER_FAILURE_MILLISECONDS, failed.at)) {
      return Promise.reject(failed.error);
    }
    loading = loadOnce(isAwaited);
    return loading;
  }

  function isYoung({ maxAgeSeconds, loadedAt }: Kept<Value>): boolean {
    return fresh() !== null && isWithin(maxAgeSeconds * 1_000 * REFRESHED_AT, loadedAt);
  }

  return {
    async get() {
      const usable = kept !== null && mayBeOld() ? kept : fresh();
      return usable?.value ?? request({ isAwaited: true });
    },
    async renew() {
      return kept !== null && isWithin(pauseMilliseconds, kept.awaitedAt)
        ? kept.value
        : request({ isAwaited: true });
    },
    refresh() {
      if (kept !== null && isYoung(kept)) return;
      request({ isAwaited: false }).catch(() => undefined); // whoever needs it then hears of it
    },
  };
}
