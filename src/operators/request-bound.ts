/**
 * How much one operator may ask of a broker: a script that goes wrong, or whoever holds an operator's key, must not
 * keep the connections busy that let the others in (L2). Reading does not use up what changing something needs.
 */
import { refuse } from '../errors/refusal.ts';
import { createBuckets } from '../http/token-bucket.ts';
import type { Clock } from '../time/clock.ts';
import { type ManagementAction, managementAction } from './management-actions.ts';

export const OPERATOR_RATES = {
  reading: { perSecond: 200, burst: 1_000 },
  changing: { perSecond: 50, burst: 500 },
} as const;

const MAX_OPERATORS = 10_000;

/** Counts a request of an operator whose key was proved. @throws {Refusal} `rate_limited` */
export function createRequestBound({
  clock,
}: {
  clock: Clock;
}): (operator: string, action: ManagementAction) => void {
  const reading = createBuckets({ rate: OPERATOR_RATES.reading, maxEntries: MAX_OPERATORS, clock });
  const changing = createBuckets({ rate: OPERATOR_RATES.changing, maxEntries: MAX_OPERATORS, clock });
  return (operator, action) => {
    const buckets = managementAction(action).sensitivity === 'LOW' ? reading : changing;
    const wait = buckets.take(operator);
    if (wait === 0) return;
    refuse('client_rate', { headers: { 'Retry-After': String(Math.max(1, Math.ceil(wait / 1_000))) } });
  };
}
