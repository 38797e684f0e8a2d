/**
 * Work that is asked for by many and done once at a time. Who asks while it runs gets the next run, since the one
 * under way may have begun too early for them; however many ask, there is one next run.
 */
export function createSingleFlight<Result>(work: () => Promise<Result>): () => Promise<Result> {
  let running: Promise<Result> | null = null;
  let next: Promise<Result> | null = null;

  function begin(): Promise<Result> {
    running = work().finally(() => {
      running = null;
    });
    return running;
  }

  return () => {
    if (next !== null) return next;
    if (running === null) return begin();
    next = running
      .catch(() => {})
      .then(() => {
        next = null;
        return begin();
      });
    return next;
  };
}
