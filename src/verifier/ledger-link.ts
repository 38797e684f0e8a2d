/**
 * What binds a verifier to the ledger: its state, and the three ways in which news reach it. The lease is renewed each
 * second and says how long to go on; the feed brings what is revoked at once; pages are fetched where one is missing.
 * All three end in the same state, which decides what any of it is worth.
 */
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { ImportedKey } from './assertion.ts';
import type { Ask } from './bounded-fetch.ts';
import type { AskBrokers, BrokerUrls } from './broker-urls.ts';
import { createDistrustedBrokers, type Distrust, type DistrustedBrokers } from './distrusted-brokers.ts';
import { createDrills, type Judge } from './drills.ts';
import { createEvidence, type Evidence } from './evidence.ts';
import { createFeedListener, type FeedListener, type FeedTimes } from './feed-listener.ts';
import type { KeySet } from './key-set.ts';
import { createKnownActions, type KnownActions } from './known-actions.ts';
import type { Taken } from './known-ledger.ts';
import { createLeaseState, type LeaseState } from './lease-state.ts';
import { createMessageReader } from './message-reader.ts';
import { momentOf } from './moment.ts';
import { createPageFetcher } from './page-fetcher.ts';
import { createQuestions } from './questions.ts';
import { refuse } from './refusal.ts';
import { createRenewal, type Renewal } from './renewal.ts';
import type { SignedPage } from './snapshot-loading.ts';
import type { TroubleLog } from './trouble-log.ts';

export type LedgerLink = {
  instance: string;
  state: LeaseState;
  evidence: Evidence;
  actions: KnownActions;
  feed: FeedListener;
  renewal: Renewal;
  distrusted: DistrustedBrokers;
};

export type LinkTimes = FeedTimes & { renewMilliseconds: number };

export function createLedgerLink(options: {
  issuer: string;
  resource: string;
  key: ImportedKey;
  signAssertion: () => string;
  ledgerKeys: KeySet;
  ask: Ask;
  askBrokers: AskBrokers;
  urls: BrokerUrls;
  fetch: typeof fetch;
  /** Of a canary: everything but a proof. */
  checkCanary: (token: string) => Promise<Judge | null>;
  onRenewed: () => void;
  trouble: TroubleLog;
  times: Partial<LinkTimes> & { renewMilliseconds: number };
  clock: Clock;
}): LedgerLink {
  const { issuer, signAssertion, ledgerKeys, askBrokers, urls, trouble, times, clock } = options;
  const instance = newIdentifier('ver', clock);
  const state = createLeaseState({ instance });
  const actions = createKnownActions();
  const drills = createDrills({ check: options.checkCanary });
  const evidence = createEvidence();
  const distrusted = createDistrustedBrokers(trouble);
  const { isRevokedKey } = state;
  const messages = createMessageReader({ issuer, keys: ledgerKeys, isRevokedKey, evidence });
  const { missing } = state;

  function take({ page, signedBy }: SignedPage): Taken {
    const taken = state.take(page, signedBy);
    trouble.alarm(state.alarm());
    return taken;
  }

  const fetchMissing = createPageFetcher({ issuer, missing, take, ask: askBrokers, signAssertion, messages });

  function distrust(broker: string, reason: Distrust): never {
    distrusted.add(broker, reason);
    return refuse(reason); // another one may know better
  }

  /** What others feed is of another ledger. */
  function trust(broker: string): void {
    distrusted.remove(broker);
    for (const other of distrusted.list()) feed.leave(other.broker);
  }

  async function workIn(text: unknown, broker: string): Promise<void> {
    const lease = await messages.lease(text);
    const heard = state.answer(lease, momentOf(clock));
    trouble.alarm(state.alarm());
    if (heard === 'broker_behind' || heard === 'ledger_rolled_back') distrust(broker, heard);
    if (heard === 'forked') distrust(broker, 'ledger_forked');
    trust(broker);
    if (heard === 'clock_differs') refuse('clock_differs'); // another broker may have the right time
    if (heard === 'unasked' || heard === 'unusable') refuse('broker_answer_unusable');
    if (lease.hurry !== undefined) renewal.setHurry(lease.hurry);
    const isNews = actions.learn(lease.catalogue, lease.page.generation);
    await fetchMissing();
    const isDrill = await drills.take(lease.drills);
    feed.start();
    if (isNews || isDrill) renewal.soon(); // actions may have longer leases than were asked for; a drill waits
  }

  async function onPage(text: string): Promise<void> {
    const before = state.position().epoch;
    take(await messages.page(text));
    await fetchMissing();
    if (state.position().epoch !== before) renewal.soon();
  }

  const makeQuestion = createQuestions({ ...options, instance, state, actions, drills });
  const renewal = createRenewal({
    issuer,
    makeQuestion,
    ask: options.ask,
    urls,
    workIn,
    onSuccess() {
      trouble.over();
      options.onRenewed();
    },
    onFailure: trouble.failed,
    everyMilliseconds: times.renewMilliseconds,
    clock,
  });
  const appliedEpoch = () => state.position().epoch;
  const feed = createFeedListener({ ...options, appliedEpoch, onPage });
  return { instance, state, evidence, actions, feed, renewal, distrusted };
}
