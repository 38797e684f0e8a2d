/** How far the log is behind the record, for whoever watches both. */
import type { Pool } from 'pg';
import type { Doubt } from './doubt-store.ts';
import type { StoredFault } from './examine-piece.ts';

export type LogState = {
  /** Entries that have their places. */
  entries: number;
  /** Since the oldest entry was written that no signed head covers; 0 when there is none. */
  waitingSeconds: number;
  /** The oldest that stands: nothing is signed meanwhile. */
  doubt: Doubt | null;
  /** What the last examination of the stored log found. */
  fault: StoredFault | null;
  /** Since the end of the last examination that found nothing. */
  soundSeconds: number;
};

/** Lines that one question looks at. */
const MAX_LOOKED_THROUGH = 5_000;

/** Of lines whose place is wanting, as far as the numbers of their transactions tell: when the oldest was written. */
const maybeWaiting = (which: string) => `
  (select min(w.at) filter (where not h.moved or not exists (select from audit_leaves l where l.entry_id = w.id)) as at,
          h.moved and count(*) = ${MAX_LOOKED_THROUGH} as is_more
     from (select e.id, e.at from audit_entries e
            where ${which} and e.xid < pg_snapshot_xmax(h.present)::text::bigint
              and (e.xid, e.id) > (h.after_xid, h.after_id)
            order by e.xid, e.id limit ${MAX_LOOKED_THROUGH}) as w)`;

/**
 * The oldest of those with a place and no head, and of those without a place; see log-store.ts for which those are.
 * As long as only looking through many more lines could tell, everything since the newest head is said to wait.
 */
const STATE = `
  with head as materialized (
    select h.*, pg_current_snapshot() as present, h.cluster <> audit_cluster() as is_elsewhere from audit_log_head h
  ), newest as materialized (
    select c.size, c.at from audit_checkpoints c order by c.size desc limit 1
  )
  select h.size::float8 as entries,
         (select jsonb_build_object('witness', d.witness, 'why', d.why)
            from audit_doubts_standing d order by d.number limit 1) as doubt,
         x.fault, extract(epoch from clock_timestamp() - x.sound_at)::float8 as "soundSeconds",
         coalesce(greatest(extract(epoch from clock_timestamp() - least(
           (select e.at from audit_leaves l join audit_entries e on e.day = l.day and e.id = l.entry_id
             where l.leaf_index >= coalesce((select n.size from newest n), 0) order by l.leaf_index limit 1),
           later.at, earlier.at,
           case when h.is_elsewhere or later.is_more or earlier.is_more then (select n.at from newest n) end)), 0),
           0)::float8 as "waitingSeconds"
    from head h cross join audit_examination x
    left join lateral ${maybeWaiting('e.xid >= pg_snapshot_xmax(h.seen)::text::bigint')} as later
      on not h.is_elsewhere
    left join lateral ${maybeWaiting('e.xid = any (array(select pg_snapshot_xip(h.seen)::text::bigint))')} as earlier
      on not h.is_elsewhere`;

export function createLogStateStore(pool: Pick<Pool, 'query'>): { read(): Promise<LogState> } {
  return {
    async read() {
      const { rows } = await pool.query<LogState>({ name: 'read_log_state', text: STATE });
      const [state] = rows;
      if (state === undefined) throw new Error('the log has no head');
      return state;
    },
  };
}
