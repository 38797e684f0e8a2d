/**
 * Has the broker that keeps the log examine it once a day, a step a second, so that mints beside it feel nothing. Ten
 * thousand entries a step, and the lines after the leaves: a day of a thousand tokens a second takes six hours, a year of a
 * hundred a second takes nine days. The gauge says when it last came to its end.
 */
import type { Log } from '../errors/log.ts';
import type { Clock } from '../time/clock.ts';
import { repeat } from '../time/repeat.ts';
import type { ExaminationProgressStore } from './examination-progress-store.ts';
import type { LogExaminer } from './examine-log.ts';

const STEP_MILLISECONDS = 1_000;
/** As long as nothing is to be done, and after a failure. */
const IDLE_MILLISECONDS = 60_000;

export type DailyExamination = {
  /** One step now, when one is due. @returns false when none is, or another broker was quicker */
  step(): Promise<boolean>;
  close(): Promise<void>;
};

export function examineDaily(options: {
  keeps: () => boolean;
  examiner: Pick<LogExaminer, 'step'>;
  progress: ExaminationProgressStore;
  log: Log;
  clock: Clock;
}): DailyExamination {
  const { keeps, examiner, progress, log, clock } = options;
  let asksAgainAt = Number.NEGATIVE_INFINITY;

  async function step(): Promise<boolean> {
    const state = await progress.read();
    if (!state.isDue) return false;
    const { progress: reached, size, fault } = await examiner.step(state.progress);
    if (reached !== null) return progress.keep(state.turn, reached);
    if (!(await progress.end(state.turn, fault))) return false;
    if (fault !== null) log.error({ ...fault }, 'the stored audit log does not agree with itself');
    else log.info({ size }, 'the stored audit log agrees with itself');
    return true;
  }

  const rest = () => {
    asksAgainAt = clock.monotonicMilliseconds() + IDLE_MILLISECONDS;
  };
  const steps = repeat({
    everyMilliseconds: STEP_MILLISECONDS,
    async task() {
      if (!keeps() || clock.monotonicMilliseconds() < asksAgainAt) return;
      if (!(await step())) rest();
    },
    onFailure(error) {
      rest();
      log.warn({ err: error }, 'the audit log could not be examined and will be tried again');
    },
  });

  return { step, close: steps.stop };
}
