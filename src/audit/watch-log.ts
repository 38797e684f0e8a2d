/**
 * What a broker knows about the health of its log: how long entries wait for a signed head, and whether anybody has
 * found the log to be another one than it was: the sequencer, before it signs; a witness, whose word stands in the
 * database for every broker; or the examination, which reads all of it once a day on the broker that keeps it.
 */
import type { Log } from '../errors/log.ts';
import type { Clock } from '../time/clock.ts';
import { repeat } from '../time/repeat.ts';
import type { Examination, StoredFault } from './examine-log.ts';
import type { LogState } from './log-state-store.ts';

export type LogWatch = {
  /** At most a second old; not numbers while the database does not answer. */
  state(): Promise<LogState>;
  /** Why the log is not to be believed; null as long as nobody found anything. */
  doubt(): Promise<string | null>;
  /** One line for people. */
  describe(): Promise<string>;
  /** Reads all of the log now, whoever keeps it. */
  examine(): Promise<Examination>;
  close(): Promise<void>;
};

const REMEMBERED_MILLISECONDS = 1_000;
const LOOK_MILLISECONDS = 3_600_000;
const EXAMINE_MILLISECONDS = 24 * LOOK_MILLISECONDS;
const NOT_KNOWN: LogState = { entries: Number.NaN, waitingSeconds: Number.NaN, doubt: null };

export function watchLog(options: {
  keeper: { hold(): unknown; disagrees(): boolean };
  readState: () => Promise<LogState>;
  examiner: { examine(): Promise<Examination> };
  log: Log;
  clock: Clock;
}): LogWatch {
  const { keeper, readState, examiner, log, clock } = options;
  let remembered: { at: number; state: Promise<LogState> } | null = null;
  let fault: StoredFault | null = null;
  let examinedAt = Number.NEGATIVE_INFINITY;

  async function examine(): Promise<Examination> {
    examinedAt = clock.monotonicMilliseconds();
    const examination = await examiner.examine();
    const { size } = examination;
    fault = examination.fault;
    if (fault !== null) log.error({ ...fault }, 'the stored audit log does not agree with itself');
    else log.info({ size }, 'the stored audit log agrees with itself');
    return examination;
  }

  const looks = repeat({
    everyMilliseconds: LOOK_MILLISECONDS,
    async task() {
      const isDue = clock.monotonicMilliseconds() - examinedAt >= EXAMINE_MILLISECONDS;
      if (keeper.hold() !== null && isDue) await examine();
    },
    onFailure(error) {
      examinedAt = Number.NEGATIVE_INFINITY;
      log.warn({ err: error }, 'the audit log could not be examined and will be tried again');
    },
  });

  function state(): Promise<LogState> {
    const now = clock.monotonicMilliseconds();
    if (remembered === null || now - remembered.at > REMEMBERED_MILLISECONDS) {
      remembered = { at: now, state: readState().catch(() => NOT_KNOWN) };
    }
    return remembered.state;
  }

  async function doubt(): Promise<string | null> {
    if (keeper.disagrees()) return 'it is not the one that was signed last';
    if (fault !== null) return `${fault.table} is wrong at entry ${fault.index}: ${fault.why}`;
    const told = (await state()).doubt;
    return told === null ? null : `nothing is signed, since the witness ${told.witness} saw another one`;
  }

  return {
    state,
    doubt,
    async describe() {
      const { entries, waitingSeconds } = await state();
      const found = await doubt();
      const length = Number.isNaN(entries) ? 'length not known' : `${entries} entries`;
      if (found !== null) return `${length}; not to be believed: ${found}`;
      if (Number.isNaN(entries)) return length;
      return waitingSeconds > 0
        ? `${length}, the oldest without a signed head is ${waitingSeconds.toFixed(1)} s old`
        : `${length}, all under a signed head`;
    },
    examine,
    close: looks.stop,
  };
}
