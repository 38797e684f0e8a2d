/** What is said when a log is not to be believed: what was expected, what came, and what it means. */
import type { RefusedCheckpoint } from '../audit/judge-checkpoint.ts';
import { formatHash } from '../audit/note-text.ts';
import type { TreeHead } from '../audit/trusted-log.ts';
import { plainText } from './plain-text.ts';

/** Where the log leaves the one that was seen: one of these entries. Null when nobody looked. */
export type Departure = { from: number; to: number } | null;

export function wordsFor(refused: RefusedCheckpoint, departure: Departure = null): string {
  const words = wordsOf(refused);
  const range = departure ?? boundsOf(refused);
  if (range === null) return words;
  if (departure === null && refused.outcome === 'rollback')
    return `${words} Entry ${range.from}, which was there, is missing.`;
  return `${words} The first bad entry is ${entryIn(range)}.`;
}

const entryIn = ({ from, to }: { from: number; to: number }) =>
  to === from + 1 ? `${from}` : `one of ${from} to ${to - 1}`;

/** What the heads alone tell. */
function boundsOf(refused: RefusedCheckpoint): Departure {
  switch (refused.outcome) {
    case 'rollback':
      return { from: refused.offered.size, to: refused.offered.size + 1 };
    case 'split-view':
      return { from: 0, to: refused.size };
    case 'not-consistent':
      return { from: 0, to: refused.seen.size };
    default:
      return null;
  }
}

function wordsOf(refused: RefusedCheckpoint): string {
  switch (refused.outcome) {
    case 'rollback':
      return (
        `rollback: this log ends at ${entries(refused.offered)}, and one of ${entries(refused.seen)} was seen before. ` +
        'Something was cut off, or an older copy is shown.'
      );
    case 'split-view':
      return (
        `split view: the log has signed two trees of ${refused.size} entries. It tells two stories; ` +
        'keep both notes as the evidence.'
      );
    case 'not-consistent':
      return (
        `split view: this log of ${entries(refused.offered)} does not continue the one of ${entries(refused.seen)} ` +
        `(root ${formatHash(refused.seen.root)}) that was seen before. Entries that were signed have changed.`
      );
    case 'proof-needed':
      return (
        `not compared: the log of ${refused.from} entries was seen before, and this has no proof that it continues it. ` +
        `Export it with --since ${refused.from}.`
      );
    case 'after-hand-over':
      return `wrong key: ${refused.key.vkey} was handed over at ${refused.boundary} entries, and signed ${refused.size}.`;
    case 'before-hand-over':
      return `wrong key: ${refused.key.vkey} speaks from ${refused.boundary} entries on, and signed ${refused.size}.`;
    case 'bad-hand-over':
      return `bad hand-over: ${plainText(refused.why)}.`;
    case 'too-few-witnesses':
      return `too few witnesses: ${refused.cosigned} of them have cosigned, and ${refused.quorum} are asked for.`;
    case 'wrong-key':
      return 'wrong key: no key that is trusted has signed this. It is forged, or of a new key without a hand-over.';
    case 'bad-signature':
      return `bad signature: it bears the name of ${plainText(refused.key.vkey)}, which did not sign it.`;
    case 'wrong-origin':
      return `wrong log: this is one of ${plainText(refused.origin)}.`;
    case 'malformed':
      return `malformed: ${plainText(refused.why)}.`;
  }
}

const entries = ({ size }: TreeHead) => `${size} entries`;

/** The evidence of another history, as JSON tells it. */
export function evidenceOf(refused: RefusedCheckpoint, departure: Departure = null): Record<string, unknown> {
  const range = departure ?? boundsOf(refused);
  const where = range === null ? {} : { first_bad_entry: range };
  if (refused.outcome === 'split-view')
    return { size: refused.size, seen: refused.seen, offered: refused.offered, ...where };
  if (refused.outcome !== 'rollback' && refused.outcome !== 'not-consistent') return {};
  return { seen: told(refused.seen), offered: told(refused.offered), ...where };
}

const told = ({ size, root }: TreeHead) => ({ size, root: formatHash(root) });
