/**
 * What time it is at the other side. A clock that is minutes off is the most frequent reason why good signatures are
 * refused, so no proof and no assertion is dated by it: the `Date` of the newest answer of that server is, plus the
 * monotonic time since then. A wall clock that jumps changes nothing.
 *
 * What is further off than {@link MAX_SKEW_SECONDS} is not believed: then the clock here is broken, or the answer
 * is, and a person has to look.
 */
import type { AgentClock } from './agent-clock.ts';

export type ServerTimes = {
  /** Seconds since 1970 at this origin; at the broker's, as far as is known, when it never answered. */
  nowSeconds(origin: string): number;
  /** How far ahead the clock here is, by an answer of this origin; null when it did not say. */
  learn(origin: string, headers: Headers): number | null;
};

export const MAX_SKEW_SECONDS = 900;

const MAX_ORIGINS = 200;
/** `Date` is cut to seconds. */
const HALF_A_SECOND = 500;

type Anchor = { serverMilliseconds: number; atMonotonic: number };

/** @param home the origin of the broker */
export function createServerTimes({ clock, home }: { clock: AgentClock; home: string }): ServerTimes {
  const anchors = new Map<string, Anchor>();

  function nowMilliseconds(origin: string): number {
    const anchor = anchors.get(origin) ?? anchors.get(home);
    if (anchor === undefined) return clock.milliseconds();
    return anchor.serverMilliseconds + clock.monotonicMilliseconds() - anchor.atMonotonic;
  }

  return {
    nowSeconds: (origin) => Math.floor(nowMilliseconds(origin) / 1_000),
    learn(origin, headers) {
      const said = dateOf(headers);
      if (said === null) return null;
      const aheadSeconds = (clock.milliseconds() - said) / 1_000;
      anchors.delete(origin);
      if (Math.abs(aheadSeconds) > MAX_SKEW_SECONDS) return aheadSeconds;
      anchors.set(origin, {
        serverMilliseconds: said + HALF_A_SECOND,
        atMonotonic: clock.monotonicMilliseconds(),
      });
      const [oldest] = anchors.size > MAX_ORIGINS ? [...anchors.keys()].filter((name) => name !== home) : [];
      if (oldest !== undefined) anchors.delete(oldest);
      return aheadSeconds;
    },
  };
}

/** RFC 9110 §6.6.1; an answer out of a cache is as old as its `Age` says (RFC 9111 §5.1). */
function dateOf(headers: Headers): number | null {
  const date = Date.parse(headers.get('date') ?? '');
  const age = headers.get('age') ?? '0';
  return Number.isNaN(date) ? null : date + (/^\d{1,6}$/.test(age) ? Number(age) * 1_000 : 0);
}
