/** Lets time go by, or less when there is a reason to go on. Keeps no process alive. */
export type Pause = (milliseconds: number, signal: AbortSignal) => Promise<void>;

/** Resolves after the time, or as soon as the signal aborts; never rejects. */
export const pause: Pause = (milliseconds, signal) =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    timer.unref();
    signal.addEventListener('abort', done);
  });
