import { SENSITIVITIES, type Sensitivity } from '../revocations/ledger-message.ts';
import type { BrokerUrls } from './broker-urls.ts';
import type { Distrust } from './distrusted-brokers.ts';
import type { Alarm } from './known-ledger.ts';
import type { Decision } from './lease-state.ts';
import type { LedgerLink } from './ledger-link.ts';
import { momentOf } from './moment.ts';
import type { CheckedOptions } from './verifier-options.ts';

/** No secret is in it; whoever can read it learns how current this server is. */
export type VerifierStatus = {
  /** As `GET /v1/verifiers` names it. */
  instance: string;
  resource: string;
  /** What is applied of the ledger; both 0 before the first copy. */
  generation: number;
  epoch: number;
  /** `granted` where a token for an action of this sensitivity could pass now, else why none can. */
  serving: Readonly<Record<Sensitivity, Decision>>;
  /** Milliseconds until that ends, if nothing more is heard. */
  leases: Readonly<Record<Sensitivity, number>>;
  /** What brokers said contradicts what they said before. */
  alarm: Alarm | null;
  /** Of the catalogue from which it knows how sensitive its actions are; 0 before the first. */
  catalogue: number;
  /** The one that is asked now. */
  broker: string;
  /** Those that spoke of another ledger when they were asked last: an older one, or one that contradicts ours. */
  distrusted: readonly { broker: string; reason: Distrust }[];
  feed: 'connected' | 'disconnected';
  closed: boolean;
};

export function statusOf({
  link: { instance, state, actions, feed, distrusted },
  urls,
  resource,
  clock,
  closed,
}: Pick<CheckedOptions, 'resource' | 'clock'> & {
  link: LedgerLink;
  urls: BrokerUrls;
  closed: boolean;
}): VerifierStatus {
  const now = momentOf(clock);
  const { generation, epoch } = state.position();
  return {
    instance,
    resource,
    generation,
    epoch,
    serving: bySensitivity((sensitivity) => state.readiness(sensitivity, now)),
    leases: bySensitivity((sensitivity) => state.remaining(sensitivity, now)),
    alarm: state.alarm(),
    catalogue: actions.version(),
    broker: urls.current(),
    distrusted: distrusted.list(),
    feed: feed.isConnected() ? 'connected' : 'disconnected',
    closed,
  };
}

function bySensitivity<Value>(say: (sensitivity: Sensitivity) => Value): Record<Sensitivity, Value> {
  return Object.fromEntries(SENSITIVITIES.map((each) => [each, say(each)])) as Record<Sensitivity, Value>;
}
