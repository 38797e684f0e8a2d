/** What somebody can do to a pack on its way: to its lines, to its bytes, or with another pack of the same log. */
import { formatPackEntry, type PackEntry } from '../../src/audit/pack.ts';
import { at, flipBit, foreign, type Random, swapped, twoPlaces } from './mutations.ts';

export type WrittenPack = {
  header: string;
  entries: readonly PackEntry[];
  /** One for each entry, with its line feed. */
  lines: readonly string[];
};

/** `line` is the first that is another one, counted from 1 with the header; null where that says nothing. */
export type MutatedPack = { kind: string; bytes: Buffer; line: number | null };

type Edit = (pack: WrittenPack, random: Random) => readonly string[];

const FIRST_ENTRY_LINE = 2;

const place = ({ lines }: WrittenPack, random: Random) => random.below(lines.length);

function forgedLine({ entries }: WrittenPack, index: number, random: Random): string {
  const { index: place, proof } = at(entries, index);
  return formatPackEntry({ index: place, document: foreign(random).toString(), proof });
}

/** Of two entries that change their places, each may call itself by its new index, and bring the proof of it. */
function exchanged(
  { entries, lines }: WrittenPack,
  [one, other]: [number, number],
  random: Random,
): string[] {
  if (random.below(3) === 0) return swapped(lines, [one, other]);
  const [left, right] = [at(entries, one), at(entries, other)];
  const isProved = random.below(2) === 0;
  const moved = (entry: PackEntry, to: PackEntry) =>
    formatPackEntry({ ...entry, index: to.index, ...(isProved && { proof: to.proof }) });
  return lines.with(one, moved(right, left)).with(other, moved(left, right));
}

const EDITS: Readonly<Record<string, Edit>> = {
  edit(pack, random) {
    const index = place(pack, random);
    return pack.lines.with(index, forgedLine(pack, index, random));
  },
  delete: (pack, random) => pack.lines.toSpliced(place(pack, random), 1),
  insert(pack, random) {
    const index = place(pack, random);
    return pack.lines.toSpliced(index, 0, forgedLine(pack, index, random));
  },
  'add at the end': (pack, random) => [...pack.lines, forgedLine(pack, pack.lines.length - 1, random)],
  double(pack, random) {
    const index = place(pack, random);
    return pack.lines.toSpliced(index, 0, at(pack.lines, index));
  },
  swap: (pack, random) => exchanged(pack, twoPlaces(pack.lines.length, random), random),
  move(pack, random) {
    const [from, to] = twoPlaces(pack.lines.length, random);
    return pack.lines.toSpliced(from, 1).toSpliced(to, 0, at(pack.lines, from));
  },
  'truncate the tail': ({ lines }, random) => lines.slice(0, random.below(lines.length)),
  'cut off the head': ({ lines }, random) => lines.slice(1 + random.below(lines.length)),
  'replace all': (pack, random) => pack.lines.map((_, index) => forgedLine(pack, index, random)),
  'take a text as if for retention'(pack, random) {
    const index = place(pack, random);
    const { index: entry, proof } = at(pack.entries, index);
    const leaf = Buffer.alloc(32, random.below(256));
    return pack.lines.with(index, formatPackEntry({ index: entry, document: null, leaf, proof }));
  },
  'bring the proof of another entry'(pack, random) {
    const [one, other] = twoPlaces(pack.lines.length, random);
    const entry = { ...at(pack.entries, one), proof: at(pack.entries, other).proof };
    return pack.lines.with(one, formatPackEntry(entry));
  },
};

/** To the file itself. */
const DAMAGES: Readonly<Record<string, (bytes: Buffer, random: Random) => Buffer>> = {
  'flip a bit': flipBit,
  'flip a bit, again': flipBit,
  'flip a bit, once more': flipBit,
  'cut off the end': (bytes, random) => bytes.subarray(0, random.below(bytes.length)),
  'lose a byte': (bytes, random) => without(bytes, random.below(bytes.length)),
};

function without(bytes: Buffer, index: number): Buffer {
  return Buffer.concat([bytes.subarray(0, index), bytes.subarray(index + 1)]);
}

export function mutatedPack(pack: WrittenPack, random: Random): MutatedPack {
  const kinds = [...Object.keys(EDITS), ...Object.keys(DAMAGES)];
  const kind = at(kinds, random.below(kinds.length));
  const edit = EDITS[kind];
  if (edit === undefined) {
    const damage = DAMAGES[kind] ?? flipBit;
    return { kind, bytes: damage(Buffer.from(pack.header + pack.lines.join('')), random), line: null };
  }
  const lines = edit(pack, random);
  const first = pack.lines.findIndex((line, index) => lines[index] !== line);
  const line = (first === -1 ? pack.lines.length : first) + FIRST_ENTRY_LINE;
  return { kind, bytes: Buffer.from(pack.header + lines.join('')), line };
}
