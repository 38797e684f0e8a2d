/** How far each declared sink is behind, as the database has it: the same at every broker, and whoever sends. */
import type { Clock } from '../time/clock.ts';
import type { LogReader } from './sink-entry.ts';
import type { SinkState, SinkStore } from './sink-store.ts';

export type SinkLag = {
  name: string;
  state: SinkState | null;
  /** Entries of the log that were neither received nor parked. */
  entries: number;
  /** Since the oldest of them was written. */
  seconds: number;
};

/** @param options.size of the newest head of the log that was kept */
export async function readSinkLags({
  names,
  store,
  reader,
  size,
  clock,
}: {
  names: readonly string[];
  store: Pick<SinkStore, 'list'>;
  reader: LogReader;
  size: () => Promise<number>;
  clock: Clock;
}): Promise<SinkLag[]> {
  const states = new Map((await store.list()).map((state) => [state.name, state]));
  const end = await size();
  const lags: SinkLag[] = [];
  for (const name of names) {
    const state = states.get(name) ?? null;
    const next = state?.nextIndex ?? 0;
    const [oldest] = next < end ? await reader.readFrom(next, 1) : [];
    const waited = oldest === undefined ? 0 : clock.milliseconds() - Date.parse(oldest.document.at);
    lags.push({ name, state, entries: Math.max(0, end - next), seconds: Math.max(0, waited / 1_000) });
  }
  return lags;
}
