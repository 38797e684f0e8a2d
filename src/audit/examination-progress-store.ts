/** How far the examination of the log is, for whichever broker goes on with it. */
import type { Pool } from 'pg';
import { BEGINNING, type ExaminationProgress } from './examine-log.ts';
import type { StoredFault } from './examine-piece.ts';

/** `isDue`: one is under way, or the last one is long ago. `turn` is opaque. */
export type ExaminationState = { turn: string; isDue: boolean; progress: ExaminationProgress };

export type ExaminationProgressStore = {
  read(): Promise<ExaminationState>;
  /** @returns false when another broker was quicker: then nothing has happened */
  keep(turn: string, progress: ExaminationProgress): Promise<boolean>;
  /** @returns false when another broker was quicker */
  end(turn: string, fault: StoredFault | null): Promise<boolean>;
};

/** What was found is looked at again soon: somebody mends it, and wants to know. */
const STATE = `
  select turn::text as turn, next_index::float8 as "nextIndex", frontier, after_day as "afterDay", after_id as "afterId",
         next_index > 0 or after_day is not null
           or ended_at < clock_timestamp() - case when fault is null then interval '1 day' else interval '1 hour' end as "isDue"
    from audit_examination`;

type Row = {
  turn: string;
  nextIndex: number;
  frontier: Buffer[];
  afterDay: number | null;
  afterId: string | null;
  isDue: boolean;
};

export function createExaminationProgressStore(pool: Pick<Pool, 'query'>): ExaminationProgressStore {
  async function ask(text: string, values: readonly unknown[]): Promise<boolean> {
    const { rows } = await pool.query<{ done: boolean }>(`select ${text} as done`, [...values]);
    return rows[0]?.done === true;
  }

  return {
    async read() {
      const { rows } = await pool.query<Row>(STATE);
      const [row] = rows;
      if (row === undefined) throw new Error('nobody knows how far the examination is');
      return { turn: row.turn, isDue: row.isDue, progress: progressOf(row) };
    },
    keep(turn, { frontier: { size, roots }, lines }) {
      const values = [turn, size, roots, lines?.day, lines?.id];
      return ask('keep_examination($1, $2, $3, $4, $5)', values);
    },
    end: (turn, fault) => ask('end_examination($1, $2)', [turn, fault]),
  };
}

function progressOf({ nextIndex, frontier, afterDay, afterId }: Row): ExaminationProgress {
  if (nextIndex === 0 && afterDay === null) return BEGINNING;
  const lines = afterDay === null || afterId === null ? null : { day: afterDay, id: afterId };
  return { frontier: { size: nextIndex, roots: frontier }, lines };
}
