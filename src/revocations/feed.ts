/**
 * The feed: pages of the ledger as they come, to whoever keeps the connection open. It is for speed alone; what a
 * verifier may rely on is its lease. So nothing here is promised, and anything that is not as it should be ends the
 * stream: its reader comes back and asks from where it was.
 *
 * A stream holds a position in the ledger and no pages: what its reader has not read yet waits in the table. Pages of
 * the last moments are signed once for all streams.
 */
import { refuse } from '../errors/refusal.ts';
import type { AnswerStream } from '../http/route.ts';
import type { Clock } from '../time/clock.ts';
import { createBell } from './bell.ts';
import { type LedgerPage, revocationOf } from './ledger-entry.ts';
import type { LedgerFollower } from './ledger-follower.ts';
import type { PageQuestion } from './ledger-store.ts';
import type { LedgerTrust } from './ledger-trust.ts';
import type { PageReader } from './page-reader.ts';
import { isDead, type Revocable } from './rule.ts';
import type { SignedPage } from './sign-page.ts';

export type FeedLimits = {
  streams: number;
  streamsOfSource: number;
  /** Between two signs of life. */
  heartbeatMilliseconds: number;
  /** Then its reader has to come back and say again who it is. */
  streamMilliseconds: number;
  /** How long a reader is asked to wait before it comes back; spread, so that not all come at once. */
  retryMilliseconds: number;
};

export const FEED_LIMITS: Readonly<FeedLimits> = Object.freeze({
  streams: 4_096,
  streamsOfSource: 1_024,
  heartbeatMilliseconds: 8_000,
  streamMilliseconds: 3_600_000,
  retryMilliseconds: 1_000,
});

export type FeedReader = { network: string; token: Revocable | null };

export type Feed = {
  /** One signed page. Who claims more than there is gets a page that says where the ledger ends. */
  page(since: number): Promise<string>;
  /**
   * Server-sent events from there on.
   * @param reader.network by which streams are counted
   * @param reader.token of an operator; the stream ends with the entry that kills it. Null for a resource server
   * @throws {Refusal} `streams_too_many`
   */
  open(since: number, reader: FeedReader): Promise<AnswerStream>;
  streams(): number;
  /** Ends all streams, and those that are opened from now on after their first page. */
  drain(): void;
};

export function createFeed(options: {
  pages: PageReader;
  follower: LedgerFollower;
  trust: LedgerTrust;
  clock: Clock;
  limits?: Partial<FeedLimits>;
}): Feed {
  const { pages, follower, trust, clock } = options;
  const limits = { ...FEED_LIMITS, ...options.limits };
  const bell = createBell();
  const seats = createSeats(limits);
  let draining = false;
  follower.onChange(bell.ring);

  async function read(question: PageQuestion): Promise<SignedPage> {
    trust.require();
    const signed = await pages.read(question);
    trust.require();
    if (signed.page.head.epoch < question.since) trust.hear('ahead', { since: question.since });
    return signed;
  }

  /** To be asked in the same breath as waiting for the bell, or its ringing in between would be missed. */
  function isAtHead({ page }: SignedPage): boolean {
    const head = follower.head();
    const isWhole = page.through === page.head.epoch;
    return isWhole && head !== null && head.generation === page.generation && page.through >= head.epoch;
  }

  /** What comes after this page; null when the ledger is not the same any more. */
  async function pageAfter({ page }: SignedPage): Promise<SignedPage | null> {
    const { through, generation } = page;
    const recent = through === page.head.epoch ? follower.pageAfter(through) : null;
    const following = recent ?? (await read({ since: through, generation, goOn: true }));
    const goesOn = following.page.generation === generation && following.page.through > through;
    return goesOn && follower.head() !== null ? following : null;
  }

  async function* piecesOf(
    first: SignedPage,
    { token, signal }: { token: Revocable | null; signal: AbortSignal },
  ): AsyncGenerator<string> {
    const endsAt = clock.monotonicMilliseconds() + limits.streamMilliseconds;
    const isOver = () =>
      draining || signal.aborted || trust.distrusted() !== null || clock.monotonicMilliseconds() > endsAt;
    const { heartbeatMilliseconds: withinMilliseconds } = limits;
    let isCopying = first.page.snapshot;
    const unlessDead = (signed: SignedPage | null) =>
      signed === null || kills(signed.page, token) ? null : signed;
    let last = unlessDead(first);
    if (last !== null) yield* say(last);
    while (last !== null && !isOver()) {
      if (isAtHead(last)) {
        const rang = await bell.heard({ withinMilliseconds, signal });
        if (!rang) yield BEAT;
      } else {
        last = unlessDead(await pageAfter(last));
        if (last !== null) yield* say(last);
      }
    }
    yield `retry: ${Math.round(limits.retryMilliseconds * (1 + Math.random()))}\n\n`;

    /** A part of a copy is no place to go on from, so it has no id, and the reader keeps the one before. */
    function* say({ page, text }: SignedPage): Generator<string> {
      if (page.through === page.head.epoch) isCopying = false;
      yield `${isCopying ? '' : `id: ${page.through}\n`}event: ledger\ndata: ${text()}\n\n`;
    }
  }

  return {
    page: async (since) => (await read({ since, generation: null, goOn: true })).text(),
    async open(since, { network, token }) {
      const leave = seats.take(network);
      try {
        const first = await read({ since, generation: null, goOn: false });
        return { pieces: (signal) => piecesOf(first, { token, signal }), close: leave };
      } catch (error) {
        leave();
        throw error;
      }
    },
    streams: seats.taken,
    drain() {
      draining = true;
      bell.ring();
    },
  };
}

const BEAT = ': \n\n';

function kills({ entries }: LedgerPage, token: Revocable | null): boolean {
  if (token === null) return false;
  return isDead(token, { entries: entries.map(revocationOf), floor: 0 });
}

/** Each stream takes a seat, and nobody takes all of them. */
function createSeats(limits: Pick<FeedLimits, 'streams' | 'streamsOfSource'>) {
  const takenBy = new Map<string, number>();
  let taken = 0;

  function leave(network: string): void {
    taken -= 1;
    const left = (takenBy.get(network) ?? 1) - 1;
    if (left === 0) takenBy.delete(network);
    else takenBy.set(network, left);
  }

  return {
    taken: () => taken,
    /** @returns how to leave; more often than once does no harm */
    take(network: string): () => void {
      const own = takenBy.get(network) ?? 0;
      if (taken >= limits.streams || own >= limits.streamsOfSource) {
        refuse('streams_too_many', { headers: { 'Retry-After': '5' } });
      }
      taken += 1;
      takenBy.set(network, own + 1);
      let isGone = false;
      return () => {
        if (!isGone) leave(network);
        isGone = true;
      };
    },
  };
}
