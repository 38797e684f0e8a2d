/**
 * The sessions of one agent: one that goes on by itself, a new one taking the place of one that ended, and those that
 * were opened one by one and end for good.
 */
import type { HeldToken } from './access-token.ts';
import { unlessAborted } from './agent-clock.ts';
import { AgentError } from './agent-error.ts';
import { openRun, type Run, type RunOptions } from './run.ts';

export type Sessions = {
  /** In the session that goes on. */
  withCurrent(work: (run: Run) => Promise<HeldToken>): Promise<{ run: Run; token: HeldToken }>;
  current(): Promise<Run>;
  open(): Promise<Run>;
  /** At the broker. Never rejects. */
  end(run: Run, options: Ending): Promise<void>;
  endAll(options: Ending): Promise<void>;
};

export type Ending = { withinMilliseconds: number };

export function createSessions(options: RunOptions): Sessions {
  const opened = new Set<Run>();
  let current: Promise<Run> | undefined;

  async function open(): Promise<Run> {
    const run = await openRun(options);
    opened.add(run);
    return run;
  }

  function currentRun(): Promise<Run> {
    current ??= open().catch((error: unknown) => {
      current = undefined;
      throw error;
    });
    return current;
  }

  /** Of many that find it ended, the first one opens the next. */
  async function after(ended: Run): Promise<Run> {
    opened.delete(ended);
    const seen = current;
    if ((await currentRun()) === ended && current === seen) current = undefined;
    return currentRun();
  }

  async function end(run: Run, { withinMilliseconds }: Ending): Promise<void> {
    opened.delete(run);
    // Whether anybody answers or not: tokens of it end within minutes, and their key is nowhere else.
    const signal = AbortSignal.timeout(withinMilliseconds);
    await unlessAborted(run.end(signal), signal).catch(() => undefined);
  }

  return {
    current: currentRun,
    open,
    end,
    async withCurrent(work) {
      const run = await currentRun();
      try {
        return { run, token: await work(run) };
      } catch (error) {
        if (!isEndOfSession(error)) throw error;
        const next = await after(run);
        return { run: next, token: await work(next) };
      }
    },
    async endAll(ending) {
      await Promise.all([...opened].map((run) => end(run, ending)));
    },
  };
}

/** It has run its time, or an operator ended it: the agent itself may go on. When the agent is stopped it may not. */
function isEndOfSession(error: unknown): boolean {
  return error instanceof AgentError && error.brokerCode === 'session_ended';
}
