import { UnexpectedStatus } from './bounded-fetch.ts';
import type { AskBrokers } from './broker-urls.ts';
import type { Taken } from './known-ledger.ts';
import type { MessageReader } from './message-reader.ts';
import { refuse } from './refusal.ts';
import { MAX_LEDGER_ANSWER_BYTES } from './renewal.ts';
import type { SignedPage } from './snapshot-loading.ts';

/** As many pages as a whole copy has at most, and some more. */
const MAX_PAGES = 1_000;

/**
 * Fetches what is missing of the ledger, page by page (L3); while it does, nobody else does.
 * @returns resolves when nothing is missing @throws {VerifierRefusal} when that cannot be reached now
 */
export function createPageFetcher(options: {
  issuer: string;
  /** Where the next page begins; null when nothing is missing. */
  missing: () => number | null;
  take: (signed: SignedPage) => Taken;
  ask: AskBrokers;
  signAssertion: () => string;
  messages: MessageReader;
}): () => Promise<void> {
  const { issuer, missing, take, ask, signAssertion, messages } = options;
  let fetching: Promise<void> | null = null;

  async function fetchPage(since: number): Promise<SignedPage> {
    const { status, json } = await ask(() => ({
      url: `${issuer}/v1/revocations?since=${since}`,
      authorization: `Bearer ${signAssertion()}`,
      accepts: ['application/json', 'application/problem+json'],
      maxAnswerBytes: MAX_LEDGER_ANSWER_BYTES,
    }));
    if (status !== 200) refuse('broker_refuses', { cause: new UnexpectedStatus(status) });
    return messages.page(json.page);
  }

  async function fetchAll(): Promise<void> {
    for (let pages = 0; pages < MAX_PAGES; pages += 1) {
      const since = missing();
      if (since === null) return;
      const taken = take(await fetchPage(since));
      if (taken === 'unusable' || taken === 'forked') refuse('broker_answer_unusable');
      if (taken === 'nothing new') return; // a broker that is behind: the next question will tell
    }
    refuse('broker_answer_unusable');
  }

  return () => {
    fetching ??= fetchAll().finally(() => {
      fetching = null;
    });
    return fetching;
  };
}
