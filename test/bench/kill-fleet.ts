/**
 * A process with verifiers in it, for the benchmark of the kill switch: says at which moment each of them had applied
 * the next entry of the ledger, and what its verifiers say of a token.
 */
import { systemClock } from '../../src/time/clock.ts';
import { createVerifier, type ResourceRequest, type VerifierOptions } from '../../src/verifier/index.ts';

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

const LOOK_MILLISECONDS = 1;

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

const verifiers = Array.from({ length: instances }, () =>
  createVerifier({ timeoutMilliseconds: 10_000, ...options, clock: startedLongAgo() }),
);

async function watch(after: number): Promise<number[]> {
  const moments = new Array<number>(verifiers.length).fill(0);
  let waiting = [...verifiers.keys()];
  while (waiting.length > 0) {
    waiting = waiting.filter((index) => {
      if ((verifiers[index]?.status().epoch ?? 0) <= after) return true;
      moments[index] = systemClock.milliseconds();
      return false;
    });
    if (waiting.length > 0) await new Promise((resolve) => setTimeout(resolve, LOOK_MILLISECONDS));
  }
  return moments;
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

async function obey(order: FleetOrder): Promise<object> {
  switch (order.do) {
    case 'ready':
      for (const verifier of verifiers) await verifier.ready();
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
