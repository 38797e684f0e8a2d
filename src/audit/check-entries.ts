/**
 * Holds the entries of a log, one by one and in their order, against what was signed. This is the one judge of entries,
 * whether they come in a pack or from a running broker: each in its place, none left out, each text the bytes that
 * were hashed, each hash in the signed tree.
 *
 * For that last point there are two kinds of evidence (entry-evidence.ts).
 */
import { canonicalJson } from '../json/canonical-json.ts';
import { leafHash } from './merkle-tree.ts';

export type EntryFlaw =
  /** Another entry stands where this one belongs: something was left out, doubled, moved or put in. */
  | 'wrong-index'
  /** There are fewer entries than were signed, or promised. */
  | 'missing'
  /** There are more. */
  | 'beyond-the-end'
  /** Its text is not there, and the reader wants it. */
  | 'body-absent'
  /** Its text does not have the hash that the log tells. */
  | 'entry-changed'
  /** Two readers could see two things in it. */
  | 'not-canonical'
  /** The signed tree does not hold it in this place. */
  | 'not-included'
  /** The hashes of the log contradict each other, or the signed root. */
  | 'leaves-changed';

/** The first bad entry is `index`; or, where hashes do not tell more, one from there up to, and without, `until`. */
export type BadEntry<Flaw = EntryFlaw> = { flaw: Flaw; index: number; until: number; why: string };

export type OfferedEntry = {
  index: number;
  /** Null where retention took it; absent where nobody asked for it. */
  document?: string | null;
  /** As the log tells it. What counts is the hash of the document, where that is there. */
  leaf?: Buffer | undefined;
  proof?: readonly Buffer[];
};

export type Evidence = {
  /** Null as long as the leaf fits. */
  admit(leaf: Buffer, entry: OfferedEntry): BadEntry | null;
  /** After the last one. */
  conclude(): BadEntry | null;
};

export type EntryCheck = {
  take(entry: OfferedEntry): BadEntry | null;
  /** There are no more. */
  end(): BadEntry | null;
  /** The index of the entry that is to come. */
  next(): number;
  /** How many entries there were of which only the leaf is left. */
  bodiesAbsent(): number;
};

/** @param options.bodiesFrom the index from which on every entry must still have its text */
export function createEntryCheck({
  from,
  to,
  bodiesFrom,
  evidence,
}: {
  from: number;
  to: number;
  bodiesFrom: number;
  evidence: Evidence;
}): EntryCheck {
  let [next, bodiesAbsent] = [from, 0];

  function flawOf(entry: OfferedEntry): BadEntry | null {
    const bad = (flaw: EntryFlaw, why: string) => badEntry(flaw, next, why);
    if (next >= to) return bad('beyond-the-end', 'fewer entries were promised');
    if (entry.index !== next) return bad('wrong-index', `entry ${entry.index} stands in its place`);
    const { document } = entry;
    if (document === null && next >= bodiesFrom) return bad('body-absent', 'only its hash is left');
    const leaf = typeof document === 'string' ? leafHash(Buffer.from(document)) : entry.leaf;
    if (leaf === undefined) return bad('missing', 'not even its hash is there');
    if (entry.leaf?.equals(leaf) === false) return bad('entry-changed', 'it is not what was signed');
    const unproved = evidence.admit(leaf, entry);
    if (unproved !== null) return unproved;
    if (typeof document !== 'string' || isCanonical(document)) return null;
    return bad('not-canonical', 'it is not the canonical JSON of an entry');
  }

  return {
    take(entry) {
      const bad = flawOf(entry);
      if (bad !== null) return bad;
      if (entry.document === null) bodiesAbsent += 1;
      next += 1;
      return null;
    },
    end() {
      if (next < to) return badEntry('missing', next, `there should be entries up to ${to - 1}`);
      return evidence.conclude();
    },
    next: () => next,
    bodiesAbsent: () => bodiesAbsent,
  };
}

export function badEntry(flaw: EntryFlaw, index: number, why: string): BadEntry {
  return { flaw, index, until: index + 1, why };
}

/** What has a member twice, a number that changes when it is read, or blanks is written otherwise than it stands. */
function isCanonical(document: string): boolean {
  try {
    return canonicalJson(JSON.parse(document)) === document;
  } catch {
    return false;
  }
}
