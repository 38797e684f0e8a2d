/**
 * How soon verifiers ask again when they have applied something: whoever revoked it waits to hear of it, and the broker
 * has to answer all who ask. So few verifiers say it at once and as often as there is news; of many each waits its turn.
 * The broker counts who asks it and tells them in its answers. More than about a thousand such questions a second it
 * never gets, and from a thousand verifiers each asks once a second, as it does anyway.
 */
import type { Hurry } from '../revocations/ledger-message.ts';
import type { Clock } from '../time/clock.ts';

export type FleetPace = {
  /** An instance asks. */
  heard(instance: string): void;
  hurry(): Hurry;
};

/** Longer than from one renewal to the next, so that each verifier is counted. */
const WINDOW_MILLISECONDS = 1_500;

const PAUSE_MILLISECONDS = { ofEach: 1, least: 50, most: 1_000 };
/** The moment after a revocation, in which all of them have news. */
const SPREAD_MILLISECONDS = { ofEach: 0.25, most: 50 };

export function createFleetPace({ clock }: { clock: Clock }): FleetPace {
  let since = clock.monotonicMilliseconds();
  let current = new Set<string>();
  let before = 0;

  return {
    heard(instance) {
      const elapsed = clock.monotonicMilliseconds() - since;
      if (elapsed > WINDOW_MILLISECONDS) {
        before = elapsed > 2 * WINDOW_MILLISECONDS ? 0 : current.size;
        current = new Set();
        since += elapsed;
      }
      current.add(instance);
    },
    hurry() {
      const fleet = Math.max(before, current.size);
      const { ofEach, least, most } = PAUSE_MILLISECONDS;
      return {
        pause_milliseconds: Math.min(most, Math.max(least, fleet * ofEach)),
        spread_milliseconds: Math.min(
          SPREAD_MILLISECONDS.most,
          Math.ceil(fleet * SPREAD_MILLISECONDS.ofEach),
        ),
      };
    },
  };
}
