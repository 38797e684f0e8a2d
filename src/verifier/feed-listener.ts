/**
 * Listens to the feed: what is revoked comes within milliseconds, and a connection that breaks is made again, at
 * another broker if need be, from where this copy is. The feed is for speed alone: what it does not say, or says
 * late, the lease covers.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { MAX_MESSAGE_LENGTH } from '../revocations/ledger-message.ts';
import type { Clock } from '../time/clock.ts';
import { UnexpectedStatus } from './bounded-fetch.ts';
import type { BrokerUrls } from './broker-urls.ts';
import { createEventReader } from './event-reader.ts';

export type FeedListener = {
  /** Idempotent. */
  start(): void;
  stop(): Promise<void>;
  /** Ends the stream of this broker, if that is the one; whoever is to be asked now feeds next. */
  leave(broker: string): void;
  isConnected(): boolean;
};

export type FeedTimes = {
  /** Brokers send a sign of life each ten seconds at most. */
  silenceMilliseconds: number;
  connectMilliseconds: number;
  /** Between two tries, at most: doubled after each stream that did not last. */
  firstPauseMilliseconds: number;
  lastPauseMilliseconds: number;
};

export const FEED_TIMES: Readonly<FeedTimes> = Object.freeze({
  silenceMilliseconds: 25_000,
  connectMilliseconds: 5_000,
  firstPauseMilliseconds: 100,
  lastPauseMilliseconds: 5_000,
});

export function createFeedListener(options: {
  issuer: string;
  urls: BrokerUrls;
  fetch: typeof fetch;
  signAssertion: () => string;
  /** What is applied: the feed is asked for what comes after. */
  appliedEpoch: () => number;
  /** A page as it came. */
  onPage: (text: string) => Promise<void>;
  clock: Clock;
  times?: Partial<FeedTimes>;
}): FeedListener {
  const { issuer, urls, signAssertion, appliedEpoch, onPage, clock } = options;
  const times = { ...FEED_TIMES, ...options.times };
  const stop = new AbortController();
  let running: Promise<void> | null = null;
  let connected = false;
  let current: { broker: string; gone: AbortController } | null = null;

  function open(broker: string, signal: AbortSignal): Promise<Response> {
    const since = String(appliedEpoch());
    return options.fetch(urls.at(broker, `${issuer}/v1/revocations?since=${since}`), {
      redirect: 'error',
      credentials: 'omit',
      signal,
      headers: {
        Accept: 'text/event-stream',
        Authorization: `Bearer ${signAssertion()}`,
        'Last-Event-ID': since,
      },
    });
  }

  async function read(response: Response, alive: () => void): Promise<void> {
    const events = createEventReader({ event: 'ledger', maxLength: MAX_MESSAGE_LENGTH + 1_024 });
    const decoder = new TextDecoder('utf-8', { fatal: true });
    for await (const bytes of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      alive();
      for (const text of events.push(decoder.decode(bytes, { stream: true }))) await onPage(text);
    }
  }

  /** Until the stream ends. @throws whatever ended it */
  async function listen(broker: string): Promise<void> {
    const gone = new AbortController();
    current = { broker, gone };
    const signal = AbortSignal.any([stop.signal, gone.signal]);
    let watchdog = setTimeout(() => gone.abort(), times.connectMilliseconds);
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => gone.abort(), times.silenceMilliseconds);
      watchdog.unref();
    };
    try {
      const response = await open(broker, signal);
      if (
        response.status !== 200 ||
        !/^text\/event-stream\b/i.test(response.headers.get('content-type') ?? '')
      ) {
        await response.body?.cancel();
        throw new UnexpectedStatus(response.status);
      }
      alive();
      connected = true;
      await read(response, alive);
    } finally {
      clearTimeout(watchdog);
      gone.abort(); // what is left of the answer is not wanted
    }
  }

  async function keepListening(): Promise<void> {
    let pauseMilliseconds = times.firstPauseMilliseconds;
    while (!stop.signal.aborted) {
      const [broker, since] = [urls.current(), clock.monotonicMilliseconds()];
      await listen(broker).catch(() => connected || urls.failed(broker));
      connected = false;
      if (clock.monotonicMilliseconds() - since > times.lastPauseMilliseconds) {
        pauseMilliseconds = times.firstPauseMilliseconds;
      }
      await pause(Math.random() * pauseMilliseconds, null, { signal: stop.signal, ref: false }).catch(
        () => null,
      );
      pauseMilliseconds = Math.min(times.lastPauseMilliseconds, 2 * pauseMilliseconds);
    }
  }

  return {
    start() {
      running ??= keepListening();
    },
    async stop() {
      stop.abort();
      await running;
    },
    leave(broker) {
      if (current?.broker === broker) current.gone.abort();
    },
    isConnected: () => connected,
  };
}
