/** One piece of the stored log, compared with itself and with what it has to continue. */
import { openCheckpoint } from './checkpoint.ts';
import { entryDocument, leafOfDocument } from './entry-document.ts';
import type { ExaminedHead, ExaminedLeaf, ExaminedPiece, SignedHead } from './examination-store.ts';
import { appendLeaves, type Frontier, leafHash, rootOf } from './merkle-tree.ts';
import type { VerifierKey } from './verifier-key.ts';

/** `index` of the leaf at or before which something is wrong; `table` is where. */
export type StoredFault = {
  table: 'audit_entries' | 'audit_leaves' | 'audit_nodes' | 'audit_log_head' | 'audit_checkpoints';
  index: number;
  why: string;
};

const TILE_HEIGHT = 8;

type Ground = { frontier: Frontier; origin: string; keys: readonly VerifierKey[] };

/** @returns the frontier behind this piece, or what is wrong in it */
export function examinePiece(
  { from, to, leaves, signed, nodes, oldestDay }: ExaminedPiece,
  ground: Ground,
): Frontier | StoredFault {
  const stored = new Map(nodes.map((node) => [`${node.level} ${node.index}`, node.hash]));
  let frontier = ground.frontier;
  let wrong: StoredFault | null = null;
  for (let index = from; index < to; index += 1) {
    const row = leaves[index - from];
    wrong = faultOfLeaf(row, index, oldestDay);
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

function faultOfLeaf(
  row: ExaminedLeaf | undefined,
  index: number,
  oldestDay: number | null,
): StoredFault | null {
  if (row?.index !== index) return fault('audit_leaves', index, 'the leaf is wanting');
  if (row.id === null) {
    const isDropped = oldestDay === null || row.day < oldestDay;
    return isDropped ? null : fault('audit_entries', index, `the line ${row.entryId} is wanting`);
  }
  const isSame = leafHash(leafOfDocument(entryDocument(row), { isParsed: true }).bytes).equals(row.hash);
  return isSame ? null : fault('audit_entries', index, `the line ${row.entryId} does not say what it said`);
}

function faultOfSigned(
  { size, root, note }: SignedHead,
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

export function faultOfHead({ size, frontier }: ExaminedHead, found: Frontier): StoredFault | null {
  const isSame =
    frontier.length === found.roots.length && found.roots.every((root, at) => frontier[at]?.equals(root));
  return isSame ? null : fault('audit_log_head', size, 'the head is not the frontier of the leaves');
}

export function fault(table: StoredFault['table'], index: number, why: string): StoredFault {
  return { table, index, why };
}
