/** Builds, by hand, what a verifier has to do with brokers. */
import { tokenHash } from '../dpop/proof.ts';
import { numericDate } from '../time/clock.ts';
import { createAssertionSigner, importKey } from './assertion.ts';
import { type Ask, createAsk } from './bounded-fetch.ts';
import { type BrokerUrls, createAskBrokers, createBrokerUrls } from './broker-urls.ts';
import { type Consume, createConsume } from './consume.ts';
import type { Judge } from './drills.ts';
import { loadIssuerMetadata } from './issuer-metadata.ts';
import { createKeySet, type KeySet } from './key-set.ts';
import { createLedgerLink, type LedgerLink } from './ledger-link.ts';
import { createMayflyProofs } from './mayfly-proofs.ts';
import { momentOf } from './moment.ts';
import { VerifierRefusal } from './refusal.ts';
import { createRemembered } from './remembered.ts';
import type { SharedProofs } from './shared-proofs.ts';
import { createTroubleLog } from './trouble-log.ts';
import { createVerifiedTokens, type VerifiedTokens } from './verified-tokens.ts';
import type { CheckedOptions } from './verifier-options.ts';

export type Connection = {
  keys: KeySet;
  tokens: VerifiedTokens;
  consume: Consume;
  sharedProofs: SharedProofs | undefined;
  link: LedgerLink;
  urls: BrokerUrls;
};

const MAX_QUESTIONS = 512;
/** Questions about the ledger do not wait behind those about tokens. */
const MAX_LEDGER_QUESTIONS = 16;
const KEY_PAUSE_MILLISECONDS = 10_000;

export function connect(options: CheckedOptions): Connection {
  const { issuer, resource, clock, timeoutMilliseconds, fetch } = options;
  const key = importKey(options.key);
  const urls = createBrokerUrls(issuer, options.brokers);
  const ask = createAsk({ fetch, timeoutMilliseconds, maxQuestions: MAX_QUESTIONS });
  const askBrokers = createAskBrokers(ask, urls);
  const ledgerAsk = createAsk({ fetch, timeoutMilliseconds, maxQuestions: MAX_LEDGER_QUESTIONS });
  const { keys, ledgerKeys } = publishedKeys(options, {
    ask: (question) => askBrokers(() => question),
    leaseHolds: () => link.state.remaining('LOW', momentOf(clock)) > 0,
  });
  const signAssertion = createAssertionSigner({ key, clientId: resource, issuer, clock });
  const tokens = createVerifiedTokens({ issuer, resource, keys });

  async function checkCanary(text: string): Promise<Judge | null> {
    try {
      const { subject, claims, actions } = await tokens.check(text, tokenHash(text), () =>
        numericDate(clock),
      );
      const [action = ''] = actions;
      return () => {
        const sensitivity = link.actions.sensitivityOf(action);
        return link.state.decide({ subject, exp: claims.exp, sensitivity }, momentOf(clock));
      };
    } catch (error) {
      if (error instanceof VerifierRefusal) return null;
      throw error;
    }
  }

  const link: LedgerLink = createLedgerLink({
    issuer,
    resource,
    key,
    signAssertion,
    ledgerKeys,
    ask: ledgerAsk,
    askBrokers: createAskBrokers(ledgerAsk, urls),
    urls,
    fetch,
    checkCanary,
    onRenewed() {
      keys.refresh();
      ledgerKeys.refresh();
    },
    trouble: createTroubleLog(options.log, issuer),
    times: options,
    clock,
  });
  const consume = createConsume({ issuer, signAssertion, ask: askBrokers });
  return {
    keys,
    tokens,
    urls,
    link,
    consume,
    sharedProofs: sharedProofsOf(options, { urls, signAssertion }),
  };
}

/**
 * Keys of tokens and keys of the ledger are two sets that have nothing to do with each other (L11). A token counts for
 * nothing without a lease, so old keys do no harm to it; what a broker says after the last lease is over is held against
 * keys of then.
 */
function publishedKeys(
  { issuer, clock }: CheckedOptions,
  { ask, leaseHolds }: { ask: Ask; leaseHolds: () => boolean },
) {
  const pauseMilliseconds = KEY_PAUSE_MILLISECONDS;
  const metadata = createRemembered({
    load: () => loadIssuerMetadata(issuer, ask),
    pauseMilliseconds,
    clock,
  });
  const keySet = (place: 'jwksUrl' | 'ledgerJwksUrl', mayBeOld: () => boolean) =>
    createKeySet({
      jwksUrl: async () => (await metadata.get())[place],
      ask,
      pauseMilliseconds,
      mayBeOld,
      clock,
    });
  return { keys: keySet('jwksUrl', () => true), ledgerKeys: keySet('ledgerJwksUrl', leaseHolds) };
}

/** Each broker has its part of the time: when one is silent another can still be asked. */
function sharedProofsOf(
  { issuer, sharedProofs, fetch, timeoutMilliseconds }: CheckedOptions,
  { urls, signAssertion }: { urls: BrokerUrls; signAssertion: () => string },
): SharedProofs | undefined {
  if (sharedProofs !== 'mayfly') return sharedProofs;
  const ask = createAsk({
    fetch,
    timeoutMilliseconds: Math.ceil(timeoutMilliseconds / urls.count),
    maxQuestions: MAX_QUESTIONS,
  });
  return createMayflyProofs({ issuer, signAssertion, ask: createAskBrokers(ask, urls) });
}
