/** Rings for all who listen at that moment. */
export type Bell = {
  ring(): void;
  /** @returns true when it rang, false when the time was over or the signal came first */
  heard(options: { withinMilliseconds: number; signal?: AbortSignal }): Promise<boolean>;
};

export function createBell(): Bell {
  const listeners = new Set<(heard: boolean) => void>();
  return {
    ring() {
      const now = [...listeners];
      listeners.clear();
      for (const listener of now) listener(true);
    },
    heard({ withinMilliseconds, signal }) {
      return new Promise((resolve) => {
        if (signal?.aborted === true) return resolve(false);
        const end = (heard: boolean) => {
          clearTimeout(timer);
          listeners.delete(end);
          signal?.removeEventListener('abort', giveUp);
          resolve(heard);
        };
        const giveUp = () => end(false);
        const timer = setTimeout(giveUp, withinMilliseconds);
        timer.unref();
        listeners.add(end);
        signal?.addEventListener('abort', giveUp);
      });
    },
  };
}
