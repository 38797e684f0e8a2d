/**
 * The log reads itself from its first leaf to its last and compares everything that it stores: what each line says
 * with its leaf, the leaves with the stored tree, the tree with every head that was ever signed, and those with their
 * signatures. It finds what was changed in the tables, by a hand or by a disk, and names the first row that is wrong.
 *
 * Who owns the database can change all of that together and let it agree with itself. That is found by whoever kept a
 * head (verify-log.ts, witnesses), not here.
 *
 * Reads a bounded piece at a time and holds only the frontier, however long the log.
 */
import type { Pool } from 'pg';
import { openCheckpoint } from './checkpoint.ts';
import { type EntryRow, entryDocument, leafOfDocument } from './entry-document.ts';
import { ENTRY_COLUMNS } from './log-store.ts';
import { appendLeaves, EMPTY_FRONTIER, type Frontier, leafHash, rootOf } from './merkle-tree.ts';
import type { VerifierKey } from './verifier-key.ts';

/** `index` of the leaf at or before which something is wrong; `table` is where. */
export type StoredFault = {
  table: 'audit_entries' | 'audit_leaves' | 'audit_nodes' | 'audit_log_head' | 'audit_checkpoints';
  index: number;
  why: string;
};

export type Examination = { size: number; fault: StoredFault | null };

const PIECE = 1_000;
const TILE_HEIGHT = 8;

type Row = EntryRow & { index: number; entryId: string; hash: Buffer; day: number };
type Head = { size: number; frontier: Buffer[]; oldestDay: number | null };
type Signed = { size: number; root: Buffer; note: string };
type Node = { level: number; index: number; hash: Buffer };

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

/** @param options.keys every key of this log, old ones too */
export function createLogExaminer({
  pool,
  origin,
  keys,
}: {
  pool: Pick<Pool, 'query'>;
  origin: string;
  keys: () => Promise<readonly VerifierKey[]>;
}): { examine(): Promise<Examination> } {
  async function readPiece(from: number, to: number) {
    const [leaves, signed, nodes] = [
      await pool.query<Row>(LEAVES, [from, to]),
      await pool.query<Signed>(SIGNED, [from, to]),
      await pool.query<Node>(NODES, [from, to]),
    ];
    return { from, to, leaves: leaves.rows, signed: signed.rows, nodes: nodes.rows };
  }

  async function faultBeyond({ size }: Head): Promise<StoredFault | null> {
    const { rows } = await pool.query<{ leaves: boolean; heads: boolean }>(
      `select exists (select from audit_leaves where leaf_index >= $1) as leaves,
              exists (select from audit_checkpoints where size > $1) as heads`,
      [size],
    );
    const [beyond] = rows;
    // Whoever appends moves the head in the same step; whoever reads piece by piece may see it a moment later.
    const { rows: now } = await pool.query<Head>(HEAD);
    if (now[0]?.size !== size) return null;
    if (beyond?.leaves === true) return fault('audit_leaves', size, 'there are leaves behind the head');
    if (beyond?.heads === true) return fault('audit_checkpoints', size, 'more was signed than there is');
    const { rows: hidden } = await pool.query<{ id: string }>(HIDDEN);
    if (hidden[0] === undefined) return null;
    return fault('audit_entries', size, `the line ${hidden[0].id} never got a place`);
  }

  return {
    async examine() {
      const { rows } = await pool.query<Head>(HEAD);
      const [head] = rows;
      if (head === undefined) throw new Error('the log has no head');
      const published = await keys();
      let frontier: Frontier = EMPTY_FRONTIER;
      for (let from = 0; from < head.size; from += PIECE) {
        const piece = await readPiece(from, Math.min(from + PIECE, head.size));
        const examined = examinePiece(piece, {
          frontier,
          oldestDay: head.oldestDay,
          origin,
          keys: published,
        });
        if ('why' in examined) return { size: head.size, fault: examined };
        frontier = examined;
      }
      return { size: head.size, fault: faultOfHead(head, frontier) ?? (await faultBeyond(head)) };
    },
  };
}

type Piece = {
  from: number;
  to: number;
  leaves: readonly Row[];
  signed: readonly Signed[];
  nodes: readonly Node[];
};
type Ground = { frontier: Frontier; oldestDay: number | null; origin: string; keys: readonly VerifierKey[] };

/** @returns the frontier behind this piece, or what is wrong in it */
function examinePiece({ from, to, leaves, signed, nodes }: Piece, ground: Ground): Frontier | StoredFault {
  const stored = new Map(nodes.map((node) => [`${node.level} ${node.index}`, node.hash]));
  let frontier = ground.frontier;
  let wrong: StoredFault | null = null;
  for (let index = from; index < to; index += 1) {
    const row = leaves[index - from];
    wrong = faultOfLeaf(row, index, ground.oldestDay);
    if (wrong !== null || row === undefined)
      return wrong ?? fault('audit_leaves', index, 'the leaf is wanting');
    frontier = appendLeaves(frontier, [row.hash], ({ level, index: at }, hash) => {
      if (level === 0 || level % TILE_HEIGHT !== 0) return;
      const name = `${level / TILE_HEIGHT} ${at}`;
      if (stored.get(name)?.equals(hash) !== true) {
        wrong = fault('audit_nodes', index, `the node ${name} is not the root of its leaves`);
      }
      stored.delete(name);
    });
    const head = signed.find(({ size }) => size === index + 1);
    wrong ??= head === undefined ? null : faultOfSigned(head, frontier, ground);
    if (wrong !== null) return wrong;
  }
  const [stray] = stored.keys();
  return stray === undefined ? frontier : fault('audit_nodes', to - 1, `the node ${stray} has no leaves`);
}

function faultOfLeaf(row: Row | undefined, index: number, oldestDay: number | null): StoredFault | null {
  if (row?.index !== index) return fault('audit_leaves', index, 'the leaf is wanting');
  if (row.id === null) {
    const isDropped = oldestDay === null || row.day < oldestDay;
    return isDropped ? null : fault('audit_entries', index, `the line ${row.entryId} is wanting`);
  }
  const isSame = leafHash(leafOfDocument(entryDocument(row), { isParsed: true }).bytes).equals(row.hash);
  return isSame ? null : fault('audit_entries', index, `the line ${row.entryId} does not say what it said`);
}

function faultOfSigned(
  { size, root, note }: Signed,
  frontier: Frontier,
  { origin, keys }: Ground,
): StoredFault | null {
  const opened = openCheckpoint(note, { origin, keys });
  if (opened.outcome !== 'verified') {
    return fault('audit_checkpoints', size - 1, `the signed head of ${size} is ${opened.outcome}`);
  }
  if (opened.checkpoint.size !== size || !opened.checkpoint.root.equals(root)) {
    return fault('audit_checkpoints', size - 1, `the signed head of ${size} is another than its row says`);
  }
  if (rootOf(frontier).equals(root)) return null;
  return fault('audit_leaves', size - 1, `at ${size} another root was signed than the leaves have`);
}

function faultOfHead({ size, frontier }: Head, found: Frontier): StoredFault | null {
  const isSame =
    frontier.length === found.roots.length && found.roots.every((root, at) => frontier[at]?.equals(root));
  return isSame ? null : fault('audit_log_head', size, 'the head is not the frontier of the leaves');
}

function fault(table: StoredFault['table'], index: number, why: string): StoredFault {
  return { table, index, why };
}
