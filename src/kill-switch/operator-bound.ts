import { refuse } from '../errors/refusal.ts';
import { createBuckets } from '../http/token-bucket.ts';
import type { Clock } from '../time/clock.ts';

/** More than a person does by hand or a script in an emergency, and never none: nobody's first kill is refused. */
const CHANGES = { perSecond: 5, burst: 100 };
const MAX_OPERATORS = 10_000;

/** How often one operator may change the kill switch; each counts alone. @throws {Refusal} `rate_limited` */
export function createOperatorBound({ clock }: { clock: Clock }): (operator: string) => void {
  const buckets = createBuckets({ rate: CHANGES, maxEntries: MAX_OPERATORS, clock });
  return (operator) => {
    const wait = buckets.take(operator);
    if (wait > 0)
      refuse('client_rate', { headers: { 'Retry-After': String(Math.max(1, Math.ceil(wait / 1_000))) } });
  };
}
