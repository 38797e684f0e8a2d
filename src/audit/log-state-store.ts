/** How far the log is behind the record, for whoever watches both. */
import type { Pool } from 'pg';

export type LogState = {
  /** Entries that have their places. */
  entries: number;
  /** Since the oldest entry was written that no signed head covers; 0 when there is none. */
  waitingSeconds: number;
};

/** The oldest of those with a place and no head, and of those without a place; see log-store.ts for which those are. */
const STATE = `
  with head as materialized (select h.* from audit_log_head h),
  covered as materialized (select coalesce(max(c.size), 0) as size from audit_checkpoints c)
  select h.size::float8 as entries,
         coalesce(greatest(extract(epoch from clock_timestamp() - least(
           (select e.at from audit_leaves l join audit_entries e on e.day = l.day and e.id = l.entry_id
             where l.leaf_index >= (select c.size from covered c) order by l.leaf_index limit 1),
           (select e.at from audit_entries e
             where e.xid >= pg_snapshot_xmax(h.seen)::text::bigint and (e.xid, e.id) > (h.after_xid, h.after_id)
             order by e.xid limit 1),
           (select min(e.at) from audit_entries e
             where e.xid = any (array(select pg_snapshot_xip(h.seen)::text::bigint))
               and (e.xid, e.id) > (h.after_xid, h.after_id)))), 0), 0)::float8 as "waitingSeconds"
    from head h`;

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
