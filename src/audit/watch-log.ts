/**
 * What a broker knows about the health of its log: how long entries wait for a signed head, and whether anybody has
 * found the log to be another one than it was: the sequencer, before it signs; a witness, or the daily examination, whose
 * words stand in the database for every broker.
 */
import type { Clock } from '../time/clock.ts';
import type { LogState } from './log-state-store.ts';

export type LogWatch = {
  /** At most a second old; not numbers while the database does not answer. */
  state(): Promise<LogState>;
  /** Why the log is not to be believed; null as long as nobody found anything. */
  doubt(): Promise<string | null>;
  /** One line for people. */
  describe(): Promise<string>;
};

const REMEMBERED_MILLISECONDS = 1_000;
const NOT_KNOWN = { entries: Number.NaN, waitingSeconds: Number.NaN, soundSeconds: Number.NaN };

export function watchLog(options: {
  keeper: { disagrees(): boolean };
  readState: () => Promise<LogState>;
  clock: Clock;
}): LogWatch {
  const { keeper, readState, clock } = options;
  let remembered: { at: number; state: Promise<LogState> } | null = null;
  /** What was found stays so while nobody can ask. */
  let found: Pick<LogState, 'doubt' | 'fault'> = { doubt: null, fault: null };

  async function look(): Promise<LogState> {
    const state = await readState().catch(() => ({ ...NOT_KNOWN, ...found }));
    found = { doubt: state.doubt, fault: state.fault };
    return state;
  }

  function state(): Promise<LogState> {
    const now = clock.monotonicMilliseconds();
    if (remembered === null || now - remembered.at > REMEMBERED_MILLISECONDS) {
      remembered = { at: now, state: look() };
    }
    return remembered.state;
  }

  async function doubt(): Promise<string | null> {
    if (keeper.disagrees()) return 'it is not the one that was signed last';
    const { fault, doubt: told } = await state();
    if (fault !== null) return `${fault.table} is wrong at entry ${fault.index}: ${fault.why}`;
    return told === null ? null : `nothing is signed, since the witness ${told.witness} saw another one`;
  }

  return {
    state,
    doubt,
    async describe() {
      const { entries, waitingSeconds } = await state();
      const wrong = await doubt();
      const length = Number.isNaN(entries) ? 'length not known' : `${entries} entries`;
      if (wrong !== null) return `${length}; not to be believed: ${wrong}`;
      if (Number.isNaN(entries)) return length;
      return waitingSeconds > 0
        ? `${length}, the oldest without a signed head is ${waitingSeconds.toFixed(1)} s old`
        : `${length}, all under a signed head`;
    },
  };
}
