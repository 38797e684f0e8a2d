/** Asks until there is an answer or a refusal for good, boundedly; what is retried has changed nothing by failing. */
import type { AgentClock } from './agent-clock.ts';
import { AgentError } from './agent-error.ts';
import { notReached } from './discover-broker.ts';
import { pauseAfter } from './retry.ts';
import { NetworkFailure } from './send.ts';

export type AskAgain = <Result>(
  /** Returns an error that may go away by itself, and throws one that will not. */
  work: () => Promise<Result | AgentError>,
  signal: AbortSignal,
) => Promise<Result>;

export function createAskAgain({
  issuer,
  clock,
  random,
}: {
  issuer: string;
  clock: AgentClock;
  random: () => number;
}): AskAgain {
  return async (work, signal) => {
    for (let failures = 1; ; failures += 1) {
      const result = await work().catch((error: unknown) => {
        signal.throwIfAborted();
        if (error instanceof NetworkFailure) return notReached(issuer, error);
        throw error;
      });
      if (!(result instanceof AgentError)) return result;
      const pause = pauseAfter(failures, { retryAfterSeconds: result.retryAfterSeconds ?? null, random });
      if (pause === null) throw result;
      await clock.wait(pause, signal);
    }
  };
}
