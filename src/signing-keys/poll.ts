/** Work that repeats, and can be asked for in between; never twice at once. */
import { POLL_SECONDS } from './rotation-policy.ts';

/** Calls `work` once after the delay; the returned function prevents it. */
export type Schedule = (work: () => void, delayMilliseconds: number) => () => void;

export const timerSchedule: Schedule = (work, delayMilliseconds) => {
  const timer = setTimeout(work, delayMilliseconds);
  timer.unref();
  return () => clearTimeout(timer);
};

export function startPolling({
  work,
  onFailure,
  schedule,
}: {
  work: () => Promise<void>;
  onFailure: (error: unknown) => void;
  schedule: Schedule;
}) {
  let running: Promise<void> | null = null;
  let queued: Promise<void> | null = null;
  let isClosed = false;
  let cancel = planNext();

  function begin(): Promise<void> {
    running = work().finally(() => {
      running = null;
    });
    return running;
  }

  /** A run that began before the call may have missed what the caller wants to see: then one more follows. */
  function runNow(): Promise<void> {
    if (queued !== null) return queued;
    if (running === null) return begin();
    queued = running
      .catch(() => {})
      .then(() => {
        queued = null;
        return begin();
      });
    return queued;
  }

  function planNext(): () => void {
    return schedule(() => {
      runNow()
        .catch(onFailure)
        .finally(() => {
          if (!isClosed) cancel = planNext();
        });
    }, POLL_SECONDS * 1000);
  }

  return {
    runNow,
    /** Resolves when nothing runs any more. */
    async close(): Promise<void> {
      isClosed = true;
      cancel();
      await (queued ?? running)?.catch(() => {});
    },
  };
}
