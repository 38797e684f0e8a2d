/**
 * The log reads itself from its first leaf to its last and compares everything that it stores: what each line says
 * with its leaf, the leaves with the stored tree, the tree with every head that was ever signed, and those with their
 * signatures. It finds what was changed in the tables, by a hand or by a disk, and names the first row that is wrong.
 *
 * Who owns the database can change all of that together and let it agree with itself. That is found by whoever kept a
 * head (verify-log.ts, witnesses), not here.
 *
 * Goes on step by step: the leaves first, piece by piece with nothing but the frontier in hand, then all lines, among
 * which none may be without a leaf. A step is some seconds at most, however long the log, and what it leaves behind is
 * enough for anybody to go on from, on another broker and days later. The log may grow meanwhile.
 */
import type { ExaminationStore, ExaminedHead, LineCursor } from './examination-store.ts';
import { examinePiece, fault, faultOfHead, type StoredFault } from './examine-piece.ts';
import { EMPTY_FRONTIER, type Frontier } from './merkle-tree.ts';
import type { VerifierKey } from './verifier-key.ts';

/** What was compared so far: the leaves of the frontier, then the lines too. */
export type ExaminationProgress = { frontier: Frontier; lines: LineCursor | null };
export const BEGINNING: ExaminationProgress = { frontier: EMPTY_FRONTIER, lines: null };

/** `progress` is null when this was the last step: everything was compared, or something is wrong. */
export type ExaminationStep = {
  progress: ExaminationProgress | null;
  size: number;
  fault: StoredFault | null;
};
export type Examination = { size: number; fault: StoredFault | null };

export type LogExaminer = {
  step(from: ExaminationProgress): Promise<ExaminationStep>;
  /** All steps. */
  examine(): Promise<Examination>;
};

/** Leaves that are read in one go, and hashed while nothing else gets a turn. */
const LEAVES_AT_ONCE = 500;
const PIECES_A_STEP = 20;
const LINES_A_STEP = 10_000;
const FIRST_LINE: LineCursor = { day: -1, id: '' };

/** @param options.keys every key of this log, old ones too */
export function createLogExaminer({
  store,
  origin,
  keys,
  leavesAtOnce = LEAVES_AT_ONCE,
}: {
  store: ExaminationStore;
  origin: string;
  keys: () => Promise<readonly VerifierKey[]>;
  leavesAtOnce?: number;
}): LogExaminer {
  async function compareLeaves(from: Frontier): Promise<ExaminationStep> {
    const head = await store.readHead();
    const published = await keys();
    const end = Math.min(head.size, from.size + PIECES_A_STEP * leavesAtOnce);
    let frontier = from;
    while (frontier.size < end) {
      const piece = await store.readPiece(frontier.size, Math.min(frontier.size + leavesAtOnce, end));
      const examined = examinePiece(piece, { frontier, origin, keys: published });
      if ('why' in examined) return { progress: null, size: head.size, fault: examined };
      frontier = examined;
    }
    if (frontier.size < head.size) return going({ frontier, lines: null });
    const fault = faultOfHead(head, frontier) ?? (await faultBeyond(head));
    if (fault !== null) return { progress: null, size: head.size, fault };
    return going({ frontier, lines: FIRST_LINE });
  }

  async function faultBeyond({ size }: ExaminedHead): Promise<StoredFault | null> {
    const { leaves, nodes, heads } = await store.readBeyond(size);
    // Whoever appends moves the head in the same step; whoever reads piece by piece may see it a moment later.
    if ((await store.readHead()).size !== size) return null;
    if (leaves) return fault('audit_leaves', size, 'there are leaves behind the head');
    if (nodes) return fault('audit_nodes', size, 'there are nodes behind the head');
    return heads ? fault('audit_checkpoints', size, 'more was signed than there is') : null;
  }

  async function compareLines(frontier: Frontier, after: LineCursor): Promise<ExaminationStep> {
    const { size } = frontier;
    const { hidden, last } = await store.readLines(after, LINES_A_STEP);
    if (hidden !== null) {
      const why = `the line ${hidden} never got a place`;
      return { progress: null, size, fault: fault('audit_entries', size, why) };
    }
    return last === null ? { progress: null, size, fault: null } : going({ frontier, lines: last });
  }

  const step = ({ frontier, lines }: ExaminationProgress) =>
    lines === null ? compareLeaves(frontier) : compareLines(frontier, lines);

  return {
    step,
    async examine() {
      let { progress, size, fault } = await step(BEGINNING);
      while (progress !== null) ({ progress, size, fault } = await step(progress));
      return { size, fault };
    },
  };
}

function going(progress: ExaminationProgress): ExaminationStep {
  return { progress, size: progress.frontier.size, fault: null };
}
