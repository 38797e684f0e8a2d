/**
 * Gives every committed line its place in the log, and signs what the log then is. All brokers run one of these; a
 * lock lets one of them work, and a fence in the database makes sure of it when the lock was lost unnoticed.
 *
 *   lines without a place → leaves, hashed → appended (1) → head signed → kept (2) → only then handed out
 *
 * What can happen, and where the next round takes over; each has a test:
 * - it stops before (1): nothing has happened, the same lines are read again;
 * - (1) committed and nobody heard of it: the head is larger than was believed, and is read anew each round;
 * - it stops between (1) and (2): the next round finds a head that no checkpoint covers, and signs it;
 * - (2) committed and nobody heard of it: the newest checkpoint covers the head, there is nothing to do;
 * - two at once, because a lock died with its connection: the slower one's (1) is refused, for it is not its turn. Both may
 *   sign, each a head that is in the database, and heads of one history never contradict each other;
 * - the stored tree is not the one that was signed last, because somebody changed or restored it: nothing is signed
 *   until a person has looked, since a log that signs two histories is worth nothing;
 * - the record came from another cluster: it looks at a page of all lines each round, and where it has got to is written
 *   down with the places that it gave, or alone. The next one goes on behind it; when all were looked at, it looks for
 *   what came meanwhile, in which every line that has a place by now is passed over;
 * - the key changed: at once, and at the last head, its predecessor signs the hand-over; when it is gone, readers
 *   have to pin the new one, and the log says so;
 * - a broker has not heard of the next key yet: what it signs past the hand-over is refused, and so is a hand-over at
 *   a head that is not the newest any more. It gives up, or reads anew;
 * - an older copy of the tables was brought back, which agrees with itself: witnesses know better, and are heard before
 *   this broker signs anything at all. Once one of them has seen another log, lines get places and nothing is signed.
 */
import type { Log } from '../errors/log.ts';
import { type EntryRow, leafOfEntry } from './entry-document.ts';
import { faultOfDetails } from './entry-schemas.ts';
import type { LogKey } from './log-key.ts';
import type { LogNode, LogStore } from './log-store.ts';
import { appendLeaves, type Frontier, frontierOf, leafHash, rootOf, type Subtree } from './merkle-tree.ts';
import type { KeptCheckpoint, SignedSoFar } from './signed-head-store.ts';
import type { StoredTree } from './tree-store.ts';

/** Lines that get their place in one statement. */
const MAX_BATCH = 5_000;
/** Levels of the tree that lie between two levels of tiles. */
const TILE_HEIGHT = 8;

export type Sequencer = {
  /** Gives a batch of lines their places. @returns how many, and whether none was left and all is signed */
  run(): Promise<{ isDone: boolean; placed: number }>;
};

export class LogDisagreesError extends Error {
  override readonly name = 'LogDisagreesError';
}

export function createSequencer(options: {
  store: LogStore;
  tree: Pick<StoredTree, 'rootAt'>;
  key: () => LogKey;
  log: Log;
  batch?: number;
  /** Whether those who might know more of the log than its tables were heard. */
  maySign?: () => boolean;
  onKept?: () => void;
  /** Told of a line that is none of those that are described. It has its place all the same. */
  onUndescribed?: (line: { id: string; action: string }) => void;
}): Sequencer {
  const { store, tree, key, log, batch = MAX_BATCH } = options;
  const { maySign = () => true, onKept = () => {}, onUndescribed = () => {} } = options;

  function hashOf(row: EntryRow): Buffer {
    const { bytes, fault } = leafOfEntry(row, { isParsed: true });
    if (fault !== null) log.error({ entry: row.id, fault }, 'a line of the record cannot be written out');
    if (faultOfDetails(row.action, row.details) !== null) onUndescribed(row);
    return leafHash(bytes);
  }

  /** @returns what the log is afterwards, or null when another sequencer was quicker */
  async function append(before: Frontier): Promise<{ frontier: Frontier; isDone: boolean } | null> {
    const { rows, progress } = await store.readUnplaced(batch);
    if (rows.length === 0 && !progress.isNews) return { frontier: before, isDone: true };
    const nodes: LogNode[] = [];
    const entries = rows.map((row) => ({ id: row.id, day: row.day, hash: hashOf(row) }));
    const hashes = entries.map(({ hash }) => hash);
    const frontier = appendLeaves(before, hashes, (subtree, hash) => {
      if (isOfTiles(subtree)) nodes.push({ level: subtree.level / TILE_HEIGHT, index: subtree.index, hash });
    });
    const expectedSize = before.size;
    const done = await store.append({ expectedSize, entries, frontier: frontier.roots, nodes, progress });
    // What comes after these lines can wait for the next round, unless there was more than one batch.
    return done ? { frontier, isDone: progress.isAll } : null;
  }

  /** The database's own word for the last tree that was signed, and what it is now. */
  async function requireAgreement(frontier: Frontier, newest: KeptCheckpoint | null): Promise<void> {
    if (newest === null) return;
    const stored =
      newest.size === frontier.size
        ? rootOf(frontier)
        : newest.size < frontier.size
          ? await tree.rootAt(newest.size)
          : null;
    if (stored?.equals(newest.root)) return;
    throw new LogDisagreesError(
      `The audit log of ${frontier.size} entries is not what was signed at ${newest.size}: ` +
        'it was changed or restored. Nothing is signed until somebody has looked: mayfly audit verify --live',
    );
  }

  async function keep(frontier: Frontier, before: SignedSoFar): Promise<void> {
    if (before.isDoubted || !maySign()) return;
    const signer = key();
    const change = await handOver(signer, before);
    if (change === 'overtaken' || frontier.size === (before.newest?.size ?? 0)) return;
    const signed = { size: frontier.size, root: rootOf(frontier) };
    const { kid } = signer;
    if (!(await store.keepCheckpoint({ ...signed, note: signer.sign(signed), kid }))) return;
    if (change === 'broken') {
      log.error(
        { fromKid: before.speaker, toKid: kid, size: signed.size },
        'the key of the audit log changed without a hand-over',
      );
    }
    onKept();
  }

  /** Also when there is nothing to sign: the old key is not there for ever. */
  async function handOver(
    signer: LogKey,
    { newest, speaker }: SignedSoFar,
  ): Promise<'done' | 'overtaken' | 'broken'> {
    if (newest === null || speaker === null || speaker === signer.kid) return 'done';
    const note = signer.takeOver(speaker, { size: newest.size, root: newest.root });
    if (note === null) return 'broken';
    const { size } = newest;
    const isKept = await store.keepHandOver({ toKid: signer.kid, fromKid: speaker, size, note });
    return isKept ? 'done' : 'overtaken';
  }

  return {
    async run() {
      // In this order: a head is never smaller than what was signed before it was read.
      const signed = await store.signedSoFar();
      const head = await store.readHead();
      const before = frontierOf(head.size, head.frontier);
      await requireAgreement(before, signed.newest);
      const after = await append(before);
      if (after === null) return { isDone: false, placed: 0 };
      await keep(after.frontier, signed);
      return { isDone: after.isDone, placed: after.frontier.size - before.size };
    },
  };
}

function isOfTiles({ level }: Subtree): boolean {
  return level > 0 && level % TILE_HEIGHT === 0;
}
