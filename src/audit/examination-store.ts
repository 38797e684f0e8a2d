/** All that the log stores, piece by piece: for whoever compares it with itself (examine-log.ts). */
import type { Pool } from 'pg';
import type { EntryRow } from './entry-document.ts';
import { ENTRY_COLUMNS } from './log-store.ts';

/** What the columns of its line are is null when the line is not there. */
export type ExaminedLeaf = EntryRow & { index: number; entryId: string; hash: Buffer; day: number };
export type ExaminedHead = { size: number; frontier: Buffer[] };
export type SignedHead = { size: number; root: Buffer; note: string };
type StoredNode = { level: number; index: number; hash: Buffer };

export type ExaminedPiece = {
  from: number;
  to: number;
  leaves: readonly ExaminedLeaf[];
  /** Signed heads of more than `from` and up to `to` leaves. */
  signed: readonly SignedHead[];
  /** Those that became complete with one of these leaves. */
  nodes: readonly StoredNode[];
  /** The first of which lines are kept; null when none are. */
  oldestDay: number | null;
};

/** The lines up to this one were looked at, in the order of their days. */
export type LineCursor = { day: number; id: string };

export type ExaminationStore = {
  readHead(): Promise<ExaminedHead>;
  /** The leaves from `from` up to, and without, `to`, with what belongs to them. */
  readPiece(from: number, to: number): Promise<ExaminedPiece>;
  /** What there is and should not be, in a log of this size. */
  readBeyond(size: number): Promise<{ leaves: boolean; nodes: boolean; heads: boolean }>;
  /**
   * Looks at `limit` lines behind `after`; `hidden` is one that will never get a place, `last` is null behind the last.
   */
  readLines(after: LineCursor, limit: number): Promise<{ hidden: string | null; last: LineCursor | null }>;
};

const HEAD = 'select size::float8 as size, frontier from audit_log_head';

/** Asked after the leaves: a day that was dropped before they were read is gone by now as well. */
const OLDEST_DAY = `
  select min(substring(c.relname from '[0-9]+$')::integer) as day
    from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'audit_entries'::regclass`;

/** One look at an index for each leaf, whatever a plan believes of a record of many days. */
const LEAVES = `
  select l.leaf_index::float8 as index, l.entry_id as "entryId", l.day, l.hash, ${ENTRY_COLUMNS}
    from audit_leaves l left join lateral (
      select * from audit_entries e where e.day = l.day and e.id = l.entry_id limit 1) as e on true
   where l.leaf_index >= $1 and l.leaf_index < $2 order by l.leaf_index`;

const SIGNED = `
  select size::float8 as size, root, note from audit_checkpoints c
   where c.size > $1 and c.size <= $2 order by c.size`;

/** A node of level l becomes complete with the leaf (index + 1) · 256^l - 1. */
const NODES = `
  select n.level, n.node_index::float8 as index, n.hash
    from generate_series(1, 7) as t (level) cross join lateral (
      select * from audit_nodes n
       where n.level = t.level and n.node_index >= $1::bigint >> (8 * t.level)
         and n.node_index < $2::bigint >> (8 * t.level)) as n`;

const BEYOND = `
  select exists (select from audit_leaves where leaf_index >= $1) as leaves,
         exists (select from audit_checkpoints where size > $1) as heads,
         exists (select from generate_series(1, 7) as t (level) cross join lateral (
           select from audit_nodes n
            where n.level = t.level and n.node_index >= $1::bigint >> (8 * t.level) limit 1) as n) as nodes`;

/**
 * Hidden is a line that was put in as if it had always been there, too old to get a place any more, or with the number
 * of a transaction that there was not yet. In a log that moved such numbers tell nothing: there, days are settled.
 */
const LINES = {
  name: 'examine_lines',
  text: `
  with looked as materialized (
    select e.day, e.id, e.xid, exists (select from audit_leaves l where l.entry_id = e.id) as has_place
      from audit_entries e
     where e.day >= $1 and (e.day, e.id) > ($1, $2) order by e.day, e.id limit $3
  ), present as materialized (
    select greatest(pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
                    pg_current_xact_id_if_assigned()::text::bigint + 1) as next_xid
  ), hidden as (
    select k.id from looked k cross join audit_log_head h cross join present p
     where not k.has_place and h.cluster = audit_cluster()
       and case when h.moved then k.day < coalesce(h.settled_day, 0)
                else k.xid >= p.next_xid or pg_visible_in_snapshot(k.xid::text::xid8, h.seen) end
     limit 1
  )
  select (select id from hidden) as hidden, last.day, last.id
    from (select) as always
    left join lateral (select k.day, k.id from looked k order by k.day desc, k.id desc limit 1) as last on true`,
};

type FoundLines = { hidden: string | null; day: number | null; id: string | null };

export function createExaminationStore(pool: Pick<Pool, 'query'>): ExaminationStore {
  return {
    async readHead() {
      const { rows } = await pool.query<ExaminedHead>(HEAD);
      const [head] = rows;
      if (head === undefined) throw new Error('the log has no head');
      return head;
    },
    async readPiece(from, to) {
      const leaves = await pool.query<ExaminedLeaf>(LEAVES, [from, to]);
      const oldest = await pool.query<{ day: number | null }>(OLDEST_DAY);
      const signed = await pool.query<SignedHead>(SIGNED, [from, to]);
      const nodes = await pool.query<StoredNode>(NODES, [from, to]);
      const oldestDay = oldest.rows[0]?.day ?? null;
      return { from, to, leaves: leaves.rows, signed: signed.rows, nodes: nodes.rows, oldestDay };
    },
    async readBeyond(size) {
      const { rows } = await pool.query<{ leaves: boolean; nodes: boolean; heads: boolean }>(BEYOND, [size]);
      return rows[0] ?? { leaves: false, nodes: false, heads: false };
    },
    async readLines({ day: afterDay, id: afterId }, limit) {
      const { rows } = await pool.query<FoundLines>({ ...LINES, values: [afterDay, afterId, limit] });
      const { hidden = null, day = null, id = null } = rows[0] ?? {};
      return { hidden, last: day === null || id === null ? null : { day, id } };
    },
  };
}
