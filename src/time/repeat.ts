/** Something that is done again and again while the broker runs: never twice at once, never after `stop`. */
export type Repeated = {
  /** Waits for a run that is under way. */
  stop(): Promise<void>;
};

/** A tenth more or less, so that brokers that started together do not ask together. */
const JITTER = 0.1;

/**
 * @param task a failure is reported and the next run tries again
 */
export function repeat(options: {
  everyMilliseconds: number;
  task: () => Promise<void>;
  onFailure: (error: unknown) => void;
}): Repeated {
  const { everyMilliseconds, task, onFailure } = options;
  let stopped = false;
  let running = Promise.resolve();
  let timer: NodeJS.Timeout;

  const schedule = () => {
    if (stopped) return;
    const spread = 1 + JITTER * (2 * Math.random() - 1);
    timer = setTimeout(() => {
      running = task().catch(onFailure).finally(schedule);
    }, everyMilliseconds * spread);
    timer.unref();
  };

  schedule();
  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
