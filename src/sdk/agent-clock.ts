/** Time as the agent's client sees it. Tests hand in one of their own. */
export type AgentClock = {
  /** Wall-clock time, milliseconds since 1970. May be off, and may jump. */
  milliseconds(): number;
  /** Milliseconds that only ever grow. */
  monotonicMilliseconds(): number;
  /** Lets time go by. @throws the signal's reason when it aborts before */
  wait(milliseconds: number, signal: AbortSignal): Promise<void>;
};

export const systemClock: AgentClock = {
  milliseconds: () => Date.now(),
  monotonicMilliseconds: () => performance.now(),
  wait: (milliseconds, signal) =>
    new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const abort = () => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      const timer = setTimeout(() => {
        signal.removeEventListener('abort', abort);
        resolve();
      }, milliseconds);
      signal.addEventListener('abort', abort, { once: true });
    }),
};

export type Moment = { wall: number; monotonic: number };

export function momentOf(clock: AgentClock): Moment {
  return { wall: clock.milliseconds(), monotonic: clock.monotonicMilliseconds() };
}

/** Whichever clock went further: the monotonic one stands still while a machine sleeps. */
export function since({ wall, monotonic }: Moment, clock: AgentClock): number {
  return Math.max(clock.milliseconds() - wall, clock.monotonicMilliseconds() - monotonic);
}

/** Waits for something that others wait for too: whoever gives up gives up alone. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  work.catch(() => undefined); // it may fail when nobody waits for it any more
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
