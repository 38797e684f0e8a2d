/**
 * Renews the lease: about each second a question to one broker. A broker that has not answered when the next question
 * is due, or that cannot be reached, loses its place to another; so of two brokers one may die without a lease of
 * three seconds ending.
 *
 * When something was applied that brokers do not know of yet, the next question comes sooner: whoever revoked it waits
 * to hear that it is applied here. How soon and how often, the broker says in its answers, for it knows how many there
 * are; until it does, at most once a second.
 */

import type { Hurry } from '../revocations/ledger-message.ts';
import { type Clock, numericDate } from '../time/clock.ts';
import { type Ask, UnexpectedStatus } from './bounded-fetch.ts';
import type { BrokerUrls } from './broker-urls.ts';
import { MAX_CLOCK_DIFFERENCE_SECONDS } from './lease-state.ts';
import type { MakeQuestion } from './questions.ts';
import { refuse } from './refusal.ts';

export type Renewal = {
  start(): void;
  /** Asks now. Resolves when the answer was worked in. @throws {VerifierRefusal} when no broker gave one */
  now(): Promise<void>;
  /** The next question comes earlier. */
  soon(): void;
  /** What {@link Renewal.soon} means from now on. */
  setHurry(hurry: Hurry): void;
  /** Asks no more, but tells a broker that this instance decides nothing from now on. Never rejects. */
  leave(): Promise<void>;
};

export const RENEW_EVERY_MILLISECONDS = 1_000;

/** Of the time between two questions, so that verifiers that started together do not ask together. */
const JITTER = 0.1;

/** Spread, or all verifiers would ask in the moment after a revocation. */
const FIRST_HURRY: Hurry = { pause_milliseconds: 1_000, spread_milliseconds: 50 };

/** Whatever a broker says. */
const LEAST_PAUSE_MILLISECONDS = 20;

const MAX_UNDER_WAY = 4;

/** An answer with a page of the longest. */
export const MAX_LEDGER_ANSWER_BYTES = 2_200_000;

export function createRenewal(options: {
  issuer: string;
  makeQuestion: MakeQuestion;
  ask: Ask;
  urls: BrokerUrls;
  /** @throws {VerifierRefusal} when it is no answer */
  workIn: (answer: unknown, broker: string) => Promise<void>;
  onSuccess: () => void;
  onFailure: (error: unknown) => void;
  everyMilliseconds: number;
  clock: Clock;
}): Renewal {
  const { issuer, makeQuestion, ask, urls, workIn, onSuccess, onFailure, everyMilliseconds, clock } = options;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  /** The broker of each question that is not answered yet. */
  const underWay: string[] = [];
  /** After a question that came soon; another one is wanted after that. */
  let [resting, isWanted] = [false, false];
  let hurry = FIRST_HURRY;

  async function put(broker: string, question: string): Promise<Record<string, unknown>> {
    const { status, json, sentAt } = await ask({
      url: urls.at(broker, `${issuer}/v1/verifiers/current/lease`),
      body: { contentType: 'application/json', text: JSON.stringify({ question }) },
      accepts: ['application/json', 'application/problem+json'],
      maxAnswerBytes: MAX_LEDGER_ANSWER_BYTES,
    });
    if (status !== 200) {
      // A question of another time is refused before anything is said of the time.
      const isOurClock = sentAt !== null && isFarFrom(sentAt, numericDate(clock));
      refuse(isOurClock ? 'clock_differs' : 'broker_refuses', { cause: new UnexpectedStatus(status) });
    }
    return json;
  }

  async function askOnce(): Promise<void> {
    const broker = urls.current();
    underWay.push(broker);
    try {
      await workIn((await put(broker, makeQuestion())).answer, broker);
    } catch (error) {
      urls.failed(broker);
      throw error;
    } finally {
      underWay.splice(underWay.indexOf(broker), 1);
    }
  }

  /** A new question for each broker: the lease runs from when that one was asked. */
  async function now(): Promise<void> {
    for (let left = urls.count; ; left -= 1) {
      try {
        await askOnce();
        onSuccess();
        return;
      } catch (error) {
        if (left > 1 && !stopped) continue;
        onFailure(error);
        throw error;
      }
    }
  }

  function schedule(milliseconds: number): void {
    clearTimeout(timer);
    if (stopped) return;
    timer = setTimeout(tick, milliseconds);
    timer.unref();
  }

  function tick(): void {
    schedule(everyMilliseconds * (1 + JITTER * (2 * Math.random() - 1)));
    if (underWay.length >= MAX_UNDER_WAY) return;
    if (underWay.includes(urls.current())) urls.failed(urls.current());
    now().catch(() => undefined); // said already
  }

  function soon(): void {
    if (stopped || resting) {
      isWanted = resting;
      return;
    }
    resting = true;
    setTimeout(() => {
      resting = false;
      if (isWanted) soon();
    }, hurry.pause_milliseconds).unref();
    isWanted = false;
    // Others have the same news to apply, and that comes first: nobody says it before all had the time to.
    const spread = Math.min(hurry.spread_milliseconds, everyMilliseconds);
    schedule(spread * (1 + Math.random()));
  }

  return {
    now,
    start: tick,

    soon,

    setHurry(next) {
      hurry = { ...next, pause_milliseconds: Math.max(LEAST_PAUSE_MILLISECONDS, next.pause_milliseconds) };
    },

    async leave() {
      stopped = true;
      clearTimeout(timer);
      for (let left = urls.count; left > 0; left -= 1) {
        const broker = urls.current();
        try {
          await put(broker, makeQuestion({ leaving: true }));
          return;
        } catch {
          urls.failed(broker); // who hears from nobody counts on its last lease
        }
      }
    },
  };
}

function isFarFrom(theirs: number, ours: number): boolean {
  return Math.abs(theirs - ours) > MAX_CLOCK_DIFFERENCE_SECONDS;
}
