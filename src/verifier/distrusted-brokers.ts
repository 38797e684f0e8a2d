/**
 * Brokers that speak of a ledger which is not the one that is known here: they read a database that was left behind, or
 * restored. No other is asked less for that, and these are asked again when nobody else answers; somebody has to look.
 */
import type { Alarm } from './known-ledger.ts';
import type { TroubleLog } from './trouble-log.ts';

export type Distrust = Alarm | 'broker_behind';

export type DistrustedBrokers = {
  /** Said once, until it speaks of ours again. */
  add(broker: string, reason: Distrust): void;
  remove(broker: string): void;
  list(): { broker: string; reason: Distrust }[];
};

export function createDistrustedBrokers(trouble: Pick<TroubleLog, 'distrusted'>): DistrustedBrokers {
  const reasons = new Map<string, Distrust>();
  return {
    add(broker, reason) {
      if (reasons.get(broker) !== reason) trouble.distrusted(broker, reason);
      reasons.set(broker, reason);
    },
    remove(broker) {
      if (reasons.delete(broker)) trouble.distrusted(broker, null);
    },
    list: () => [...reasons].map(([broker, reason]) => ({ broker, reason })),
  };
}
