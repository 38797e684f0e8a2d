/**
 * A process with verifiers in it, for the benchmark of the kill switch: says at which moment each of them had applied
 * the next entry of the ledger, and what its verifiers say of a token.
 */
import { systemClock } from '../../src/time/clock.ts';
import {
  createVerifier,
  type ResourceRequest,
  type Verifier,
  type VerifierOptions,
} from '../../src/verifier/index.ts';

export type FleetRequest = Pick<ResourceRequest, 'method' | 'target' | 'headers'>;

export type FleetOrder =
  | { do: 'ready' }
  /** Answered when all have applied an entry after this epoch. */
  | { do: 'watch'; after: number }
  | { do: 'decide'; requests: readonly FleetRequest[]; action: string }
  | { do: 'close' };

export type FleetReply =
  | { id: number; error: string }
  | {
      id: number;
      /** When each applied it: milliseconds since 1970, on this machine's clock. */
      moments?: number[];
      /** Of each request at a verifier of its own: `granted`, or the reason of the refusal. */
      decisions?: string[];
    };

export type FleetArguments = Omit<VerifierOptions, 'clock'> & { instances: number };

/** For news that came with a lease. Looking often costs processor time that verifiers need to apply it. */
const LOOK_MILLISECONDS = 25;
/** Turns of the event loop in which a page that has arrived is worked in. */
const TURNS = 50;
const MAX_ATTEMPTS = 20;

const { instances, ...options }: FleetArguments = JSON.parse(process.argv[2] ?? '{}');

/** It began long ago: a verifier refuses proofs that are older than itself. */
function startedLongAgo() {
  let isFirst = true;
  return {
    monotonicMilliseconds: systemClock.monotonicMilliseconds,
    milliseconds() {
      const age = isFirst ? 60_000 : 0;
      isFirst = false;
      return systemClock.milliseconds() - age;
    },
  };
}

/** The ordinary fetch, and notice of each piece of an event stream. */
function noticing(onPiece: () => void): typeof fetch {
  return async (...request) => {
    const response = await fetch(...request);
    const { body, status, headers } = response;
    const isStream = headers.get('content-type')?.startsWith('text/event-stream') === true;
    if (!isStream || body === null) return response;
    async function* pieces(source: AsyncIterable<Uint8Array>) {
      for await (const piece of source) {
        onPiece();
        yield piece;
      }
    }
    return { status, headers, body: pieces(body) } as unknown as Response;
  };
}

const verifiers = Array.from({ length: instances }, (_, index) =>
  createVerifier({
    timeoutMilliseconds: 10_000,
    ...options,
    clock: startedLongAgo(),
    fetch: noticing(() => lookClosely(index)),
  }),
);

type Watch = { after: number; moments: Map<number, number>; whole: () => void };
let watched: Watch | null = null;

/** @returns whether there is nothing more to be seen of it */
function look(index: number): boolean {
  if (watched === null || watched.moments.has(index)) return true;
  if ((verifiers[index]?.status().epoch ?? 0) <= watched.after) return false;
  watched.moments.set(index, systemClock.milliseconds());
  if (watched.moments.size === verifiers.length) watched.whole();
  return true;
}

async function lookClosely(index: number): Promise<void> {
  for (let turn = 0; turn < TURNS && !look(index); turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function watch(after: number): Promise<number[]> {
  const { promise, resolve } = Promise.withResolvers<void>();
  watched = { after, moments: new Map(), whole: resolve };
  const looking = setInterval(() => [...verifiers.keys()].forEach(look), LOOK_MILLISECONDS);
  await promise;
  clearInterval(looking);
  const { moments } = watched;
  watched = null;
  return [...moments.values()];
}

async function decide(requests: readonly FleetRequest[], action: string): Promise<string[]> {
  return Promise.all(
    requests.map(async (request, index) => {
      const verifier = verifiers[index];
      if (verifier === undefined) throw new Error('more requests than verifiers');
      const answer = await verifier.verify({ ...request, readArguments: () => undefined }, { action });
      return answer.granted ? 'granted' : answer.reason;
    }),
  );
}

/** Two hundred of them on one machine that is busy starting: not the first answer of each comes in time. */
async function untilReady(verifier: Verifier): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await verifier.ready();
    } catch (error) {
      if (attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

async function obey(order: FleetOrder): Promise<object> {
  switch (order.do) {
    case 'ready':
      for (const verifier of verifiers) await untilReady(verifier);
      return {};
    case 'watch':
      return { moments: await watch(order.after) };
    case 'decide':
      return { decisions: await decide(order.requests, order.action) };
    case 'close':
      await Promise.all(verifiers.map((verifier) => verifier.close()));
      return {};
  }
}

process.on('message', async ({ id, order }: { id: number; order: FleetOrder }) => {
  try {
    process.send?.({ id, ...(await obey(order)) });
  } catch (error) {
    process.send?.({ id, error: String(error) });
  }
});
