/** All that the log stores, piece by piece: for whoever compares it with itself (examine-log.ts). */
import type { Pool } from 'pg';
import type { EntryRow } from './entry-document.ts';
import { ENTRY_COLUMNS } from './log-store.ts';

/** What the columns of its line are is null when the line is not there. */
export type ExaminedLeaf = EntryRow & { index: number; entryId: string; hash: Buffer; day: number };
/** `oldestDay` is the first of which lines are kept. */
export type ExaminedHead = { size: number; frontier: Buffer[]; oldestDay: number | null };
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
};

export type ExaminationStore = {
  readHead(): Promise<ExaminedHead>;
  /** The leaves from `from` up to, and without, `to`, with what belongs to them. */
  readPiece(from: number, to: number): Promise<ExaminedPiece>;
  /** What there is and should not be, in a log of this size; `hidden` is a line that will never get a place. */
  readBeyond(size: number): Promise<{ leaves: boolean; heads: boolean; hidden: string | null }>;
};

const HEAD = `
  select h.size::float8 as size, h.frontier,
         (select min(substring(c.relname from '[0-9]+$')::integer)
            from pg_inherits i join pg_class c on c.oid = i.inhrelid
           where i.inhparent = 'audit_entries'::regclass) as "oldestDay"
    from audit_log_head h`;

const LEAVES = `
  select l.leaf_index::float8 as index, l.entry_id as "entryId", l.day, l.hash, ${ENTRY_COLUMNS}
    from audit_leaves l left join audit_entries e on e.day = l.day and e.id = l.entry_id
   where l.leaf_index >= $1 and l.leaf_index < $2 order by l.leaf_index`;

const SIGNED = `
  select size::float8 as size, root, note from audit_checkpoints c
   where c.size > $1 and c.size <= $2 order by c.size`;

/** Those that became complete within the piece: a node of level l ends before the leaf (index + 1) · 256^l. */
const NODES = `
  select level, node_index::float8 as index, hash from audit_nodes n
   where (n.node_index + 1) * (256::numeric ^ n.level) > $1 and (n.node_index + 1) * (256::numeric ^ n.level) <= $2
     and n.node_index between $1 / (256::numeric ^ n.level) - 1 and $2 / (256::numeric ^ n.level)`;

/** A line that was put in as if it had always been there: too old to get a place any more, and without one. */
const HIDDEN = `
  select e.id from audit_log_head h cross join lateral (
    select * from audit_entries e where e.xid < pg_snapshot_xmin(h.seen)::text::bigint) as e
   where not h.moved and h.target is null and h.cluster = audit_cluster()
     and not exists (select from audit_leaves l where l.entry_id = e.id)
   limit 1`;

const BEYOND = `
  select exists (select from audit_leaves where leaf_index >= $1) as leaves,
         exists (select from audit_checkpoints where size > $1) as heads, (${HIDDEN}) as hidden`;

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
      const signed = await pool.query<SignedHead>(SIGNED, [from, to]);
      const nodes = await pool.query<StoredNode>(NODES, [from, to]);
      return { from, to, leaves: leaves.rows, signed: signed.rows, nodes: nodes.rows };
    },
    async readBeyond(size) {
      const { rows } = await pool.query<{ leaves: boolean; heads: boolean; hidden: string | null }>(BEYOND, [
        size,
      ]);
      return rows[0] ?? { leaves: false, heads: false, hidden: null };
    },
  };
}
