/**
 * The brokers that a verifier may ask: they have one database and one name, the issuer, and stand at several
 * addresses. One of them is asked until it fails; then the next one is, for everything.
 */
import type { Ask, BrokerAnswer, Question } from './bounded-fetch.ts';
import { VerifierRefusal } from './refusal.ts';

export type BrokerUrls = {
  /** The broker to ask now. */
  current(): string;
  /** This one could not be asked, or is slow: from now on another one is current. */
  failed(url: string): void;
  count: number;
  /** Where `url`, which begins with the issuer, is found at this broker. */
  at(broker: string, url: string): string;
};

/** Who asks which first is left to chance, so that not all verifiers sit at one broker. */
export function createBrokerUrls(issuer: string, brokers: readonly string[]): BrokerUrls {
  const bases = brokers.map((url) => url.replace(/\/$/, ''));
  const issuerBase = issuer.replace(/\/$/, '');
  let index = Math.floor(Math.random() * bases.length);
  const current = () => bases[index] ?? issuerBase;
  return {
    current,
    count: bases.length,
    failed(url) {
      if (url === current()) index = (index + 1) % bases.length;
    },
    at(broker, url) {
      if (url.startsWith(`${issuerBase}/`)) return `${broker}${url.slice(issuerBase.length)}`;
      const { pathname, search } = new URL(url); // the well-known documents of an issuer with a path
      return `${new URL(broker).origin}${pathname}${search}`;
    },
  };
}

const OUTAGES = ['broker_unreachable', 'broker_refuses'];

/** @param make the question; made anew for each broker, since an assertion is good for one only */
export type AskBrokers = (make: () => Question) => Promise<BrokerAnswer>;

/** Asks the current broker, and each of the others once when it cannot be asked. */
export function createAskBrokers(ask: Ask, urls: BrokerUrls): AskBrokers {
  return async (make) => {
    for (let left = urls.count; ; left -= 1) {
      const broker = urls.current();
      const question = make();
      try {
        return await ask({ ...question, url: urls.at(broker, question.url) });
      } catch (error) {
        if (!(error instanceof VerifierRefusal) || !OUTAGES.includes(error.reason)) throw error;
        urls.failed(broker);
        if (left <= 1) throw error;
      }
    }
  };
}
