/** The two ways in which `mayfly audit verify` looks at a log: as a broker shows it now, and as the bytes of a pack. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatPackEntry, formatPackHeader } from '../../src/audit/pack.ts';
import { packLines } from '../../src/audit/pack-lines.ts';
import { cosignNote, type SigningKey } from '../../src/audit/sign-note.ts';
import { parseSignedNote } from '../../src/audit/signed-note.ts';
import { pinLog, type TrustedLog } from '../../src/audit/trusted-log.ts';
import { type LogPolicy, type LogVerdict, verifyLog } from '../../src/audit/verify-log.ts';
import { verifyPack } from '../../src/audit/verify-pack.ts';
import { soakFactor } from '../soak.ts';
import { addSignatures } from './add-signatures.ts';
import { shownLog, type WholeLog } from './memory-log.ts';
import { createRandom, type Random, resigned, tampered } from './mutations.ts';
import { mutatedPack, type WrittenPack } from './pack-mutations.ts';
import { createSampleLog, newSigningKey, type SampleLog, sampleEntries, wholeLogOf } from './sample-log.ts';
import { packHeader } from './sample-pack.ts';

const ENTRIES = 1_000;
const SEEN = 700;
const HANDED_OVER = 400;
/** Ten thousand together, and ten thousand of each in `npm run soak`. */
const [LIVE_MUTATIONS, PACK_MUTATIONS] = soakFactor() === 1 ? [1_000, 9_000] : [10_000, 10_000];
const MAX_STRETCH = 24;
const SEED = 20_261_123;

const signer = newSigningKey();
const next = newSigningKey();
const witness = newSigningKey('witness.example.com/w1', 'witness');
const log = createSampleLog(sampleEntries(ENTRIES), signer);
const fresh = pinLog(signer.key.vkey);

const whole = (size = ENTRIES) => wholeLogOf(log.entries.slice(0, size), signer);
const look = (shown: WholeLog, policy: LogPolicy) => verifyLog(shownLog(shown), policy);

/** The flaw and where; the outcome where the head is not believed. */
function flawOf(verdict: LogVerdict): string {
  if (verdict.outcome === 'not-trusted') return verdict.judgement.outcome;
  if (verdict.outcome === 'sound') return 'sound';
  const { flaw, index, until } = verdict.bad;
  return until === index + 1 ? `${flaw} ${index}` : `${flaw} ${index} to ${until - 1}`;
}

async function memoryOf(shown: WholeLog, policy: LogPolicy): Promise<TrustedLog> {
  const verdict = await look(shown, policy);
  assert.ok(verdict.outcome === 'sound', flawOf(verdict));
  return verdict.accepted.trusted;
}

const seen = await memoryOf(whole(SEEN), { trusted: fresh });

/** The log as it is with everything that may happen to a sound one. */
function rotated(): WholeLog {
  const note = log.checkpoint(ENTRIES, [next]);
  const cosignature = cosignNote(parseSignedNote(note).text, {
    signer: witness,
    timestampSeconds: 1_800_000_000,
  });
  return {
    ...whole(),
    entries: log.entries.map((entry, index) => (index < 300 ? null : entry)),
    checkpoint: addSignatures(note, [cosignature]),
    handOvers: [log.handOver(HANDED_OVER, { from: signer, to: next })],
  };
}
const afterRotation = { witnesses: [witness.key], quorum: 1, bodiesFrom: 300 };

/** Where two logs differ first: what has to be named. */
function firstDifference(one: WholeLog, other: WholeLog): number {
  const length = Math.max(one.leaves.length, other.leaves.length, one.entries.length, other.entries.length);
  for (let index = 0; index < length; index += 1) {
    if (!isSame(one.leaves[index], other.leaves[index])) return index;
    if (!isSame(one.entries[index], other.entries[index])) return index;
  }
  return length;
}

/** Where leaves are wanting, nothing proves those that are left. */
function isNamed(verdict: LogVerdict, first: number): boolean {
  if (verdict.outcome !== 'bad-entry') return false;
  const { flaw, index, until } = verdict.bad;
  if (flaw === 'missing') return first <= index;
  return flaw === 'leaves-changed' ? index <= first && first < until : index === first;
}

function isSame(one: Uint8Array | null | undefined, other: Uint8Array | null | undefined): boolean {
  return one === other || (one != null && other != null && Buffer.compare(one, other) === 0);
}

describe('A log of a thousand entries, as it is shown now', () => {
  test('that nobody touched is sound, for whoever saw any part of it before', async () => {
    for (const size of [0, 1, 2, 255, 256, 257, 511, 999, 1_000]) {
      const trusted = await memoryOf(whole(size), { trusted: fresh });
      assert.equal(flawOf(await look(whole(), { trusted })), 'sound', `seen ${size}`);
    }
  });

  test('is sound after a rotation of its key, under cosignatures and beyond its retention', async () => {
    assert.equal(flawOf(await look(rotated(), { trusted: fresh, ...afterRotation })), 'sound');
    const before = await memoryOf(whole(HANDED_OVER - 1), { trusted: fresh });
    assert.equal(flawOf(await look(rotated(), { trusted: before, ...afterRotation })), 'sound');
    const after = await memoryOf(rotated(), { trusted: before, ...afterRotation });
    assert.equal(flawOf(await look(rotated(), { trusted: after, ...afterRotation })), 'sound');
    assert.equal(flawOf(await look(rotated(), { trusted: fresh })), 'body-absent 0');
  });

  test(`shows ${LIVE_MUTATIONS} mutations, each of them, and is never blamed while it is untouched`, async () => {
    const random = createRandom(SEED);
    const original = whole();
    const missed: string[] = [];
    const found = new Map<string, number>();
    for (let run = 0; run < LIVE_MUTATIONS; run += 1) {
      const isResigned = run % 3 === 0;
      const { kind, log: mutated } = isResigned
        ? resigned(original, { signer, random, seenSize: SEEN })
        : tampered(original, { signer, random });
      const verdict = await look(mutated, { trusted: isResigned || run % 2 === 0 ? seen : fresh });
      if (verdict.outcome === 'sound') missed.push(`${run}: ${kind}`);
      if (verdict.outcome === 'bad-entry' && !isResigned && !/stored hash|checkpoint/.test(kind)) {
        assert.ok(
          isNamed(verdict, firstDifference(original, mutated)),
          `${run}: ${kind}, ${flawOf(verdict)}`,
        );
      }
      const name = `${kind}: ${flawOf(verdict).split(' ')[0]}`;
      found.set(name, (found.get(name) ?? 0) + 1);
      if (run % 40 === 0) {
        const size = SEEN + random.below(ENTRIES - SEEN + 1);
        assert.equal(flawOf(await look(whole(size), { trusted: seen })), 'sound', `untouched, of ${size}`);
      }
    }
    assert.deepEqual(missed, [], `seed ${SEED}`);
    assert.ok(found.size >= 30, [...found.keys()].join('\n'));
  });
});

/** A stretch of the log as it is exported. */
function packOf(of: SampleLog, { from, to }: { from: number; to: number }): WrittenPack {
  const consistency = { from: SEEN, proof: of.consistency(SEEN) };
  const entries = of.packEntries(from, to);
  const header = formatPackHeader(packHeader(of, { signer, from, to, consistency }));
  return { header, entries, lines: entries.map(formatPackEntry) };
}

function stretch(random: Random): { from: number; to: number } {
  const from = random.below(ENTRIES - MAX_STRETCH);
  return { from, to: from + 2 + random.below(MAX_STRETCH - 2) };
}

describe('A pack of that log', () => {
  const read = (bytes: Buffer, trusted: TrustedLog) => verifyPack(packLines([bytes]), { trusted });

  test(`shows ${PACK_MUTATIONS} mutations of its bytes, each of them, and is never blamed while it is untouched`, async () => {
    const random = createRandom(SEED);
    const missed: string[] = [];
    const found = new Map<string, number>();
    let pack = packOf(log, { from: 0, to: ENTRIES });
    for (let run = 0; run < PACK_MUTATIONS; run += 1) {
      // The first of them to all of it.
      if (run >= 20 && run % 20 === 0) {
        pack = packOf(log, stretch(random));
        const verdict = await read(Buffer.from(pack.header + pack.lines.join('')), seen);
        assert.equal(verdict.outcome, 'sound', `untouched, before ${run}`);
      }
      const { kind, bytes, line } = mutatedPack(pack, random);
      const verdict = await read(bytes, seen);
      if (verdict.outcome === 'sound') missed.push(`${run}: ${kind}`);
      if (line !== null) {
        assert.ok(verdict.outcome === 'bad-entry', `${run}: ${kind}, ${verdict.outcome}`);
        assert.equal(verdict.line, line, `${run}: ${kind}, ${verdict.flaw}`);
      }
      const flaw = verdict.outcome === 'bad-entry' ? verdict.flaw : verdict.outcome;
      found.set(`${kind}: ${flaw}`, (found.get(`${kind}: ${flaw}`) ?? 0) + 1);
    }
    assert.deepEqual(missed, [], `seed ${SEED}`);
    assert.ok(found.size >= 20, [...found.keys()].join('\n'));
  });

  test('of a history that was rewritten and signed again is believed by nobody who saw the first one', async () => {
    const random = createRandom(SEED);
    for (let run = 0; run < 100; run += 1) {
      const { kind, log: mutated } = resigned(whole(), { signer, random, seenSize: SEEN });
      const forged = createSampleLog(mutated.entries as Buffer[], signer);
      const from = Math.min(SEEN, forged.size);
      const consistency = { from, proof: forged.consistency(from) };
      const header = formatPackHeader(packHeader(forged, { signer, consistency }));
      const verdict = await read(Buffer.from(header), seen);
      assert.ok(verdict.outcome === 'not-trusted', `${run}: ${kind}, ${verdict.outcome}`);
    }
  });

  test('is sound after a rotation of the key, under cosignatures and beyond the retention', async () => {
    const { checkpoint, handOvers = [] } = rotated();
    const entries = log.packEntries().map((entry) => {
      const { index, proof } = entry;
      return index < 300 ? { index, document: null, leaf: log.leaves[index] as Buffer, proof } : entry;
    });
    const header = packHeader(log, {
      signer,
      keys: [signer.key.vkey, next.key.vkey],
      checkpoint,
      handOvers: handOvers.map((note) => ({ note, consistency: log.consistency(HANDED_OVER) })),
    });
    const text = [formatPackHeader(header), ...entries.map(formatPackEntry)].join('');
    const lines = packLines([Buffer.from(text)]);
    const verdict = await verifyPack(lines, { trusted: fresh, ...afterRotation });
    assert.ok(verdict.outcome === 'sound', JSON.stringify(verdict));
    assert.deepEqual([verdict.entries, verdict.bodiesAbsent], [1_000, 300]);
  });
});

describe('The first bad entry is named', () => {
  const foreign = Buffer.from('{}');
  const without = (count: number) => ({
    entries: log.entries.slice(0, count),
    leaves: log.leaves.slice(0, count),
  });

  for (const index of [0, 1, 499, 999]) {
    test(`when entry ${index} was changed`, async () => {
      const changed = { ...whole(), entries: log.entries.with(index, foreign) };
      assert.equal(flawOf(await look(changed, { trusted: fresh })), `entry-changed ${index}`);
    });
  }

  test('when its text is gone, unless retention may have taken it', async () => {
    const shown = { ...whole(), entries: (log.entries as (Buffer | null)[]).with(7, null) };
    assert.equal(flawOf(await look(shown, { trusted: fresh })), 'body-absent 7');
    const verdict = await look(shown, { trusted: fresh, bodiesFrom: 8 });
    assert.deepEqual(verdict.outcome === 'sound' && verdict.bodiesAbsent, 1);
  });

  for (const count of [0, 1, 255, 256, 990, 999]) {
    test(`when the tail is missing from entry ${count} on, whatever was seen before`, async () => {
      for (const trusted of [fresh, seen]) {
        const short = { ...whole(), ...without(count) };
        assert.equal(flawOf(await look(short, { trusted })), `missing ${count}`);
      }
    });
  }

  test('when it has the leaf of another one, and nothing else than the text tells', async () => {
    const leaves = createSampleLog(log.entries.with(800, foreign), signer).leaves;
    assert.equal(flawOf(await look({ ...whole(), leaves }, { trusted: seen })), 'entry-changed 800');
  });

  test('as far as the hashes tell it, when they were changed too', async () => {
    const rewrite = (index: number) => createSampleLog(log.entries.with(index, foreign), signer);
    const changed = (index: number) => ({
      ...whole(),
      entries: rewrite(index).entries,
      leaves: rewrite(index).leaves,
    });
    const late = `leaves-changed ${SEEN} to ${ENTRIES - 1}`;
    assert.equal(flawOf(await look(changed(800), { trusted: seen })), late);
    assert.equal(flawOf(await look(changed(5), { trusted: seen })), 'leaves-changed 0 to 511');
    assert.equal(flawOf(await look(changed(690), { trusted: seen })), 'leaves-changed 688 to 695');
  });

  test('as one of those before what was seen, when another history was signed', async () => {
    const at = await memoryOf(whole(300), { trusted: fresh });
    const both = await memoryOf(rotated(), { trusted: at, ...afterRotation });
    const { entries, leaves, checkpoint } = createSampleLog(log.entries.with(450, foreign), next);
    const forged = { entries, leaves, checkpoint: checkpoint(), handOvers: rotated().handOvers ?? [] };
    const verdict = await look(forged, { trusted: both });
    assert.equal(flawOf(verdict), 'split-view');
    const departure = { from: HANDED_OVER, to: 512 };
    assert.deepEqual(verdict.outcome === 'not-trusted' && verdict.departure, departure);
  });

  test('when an older copy is shown, and when that went on, as near as what was seen tells it', async () => {
    const departure = async (shown: WholeLog) => {
      const verdict = await look(shown, { trusted: seen });
      assert.ok(verdict.outcome === 'not-trusted', flawOf(verdict));
      return [verdict.judgement.outcome, verdict.departure];
    };
    assert.deepEqual(
      await departure(whole(690)),
      ['rollback', null],
      'it is the one that was seen, as far as it goes',
    );
    const grown = [...log.entries.slice(0, 690), ...Array.from({ length: 8 }, () => foreign)];
    assert.deepEqual(await departure(wholeLogOf(grown, signer)), ['rollback', { from: 688, to: 696 }]);
    const longer = [...grown, ...Array.from({ length: 400 }, () => foreign)];
    assert.deepEqual(await departure(wholeLogOf(longer, signer)), ['not-consistent', { from: 688, to: 696 }]);
  });
});

describe("With the log's own key", () => {
  const foreign = Buffer.from('{}');
  const forged = (index: number, key: SigningKey = signer) => {
    const { entries, leaves, checkpoint } = createSampleLog(log.entries.with(index, foreign), key);
    return { entries, leaves, checkpoint: checkpoint() };
  };

  test('history before what a reader saw cannot be changed for him', async () => {
    assert.equal(flawOf(await look(forged(SEEN - 1), { trusted: seen })), 'not-consistent');
    const all = await memoryOf(whole(), { trusted: seen });
    assert.equal(flawOf(await look(forged(SEEN - 1), { trusted: all })), 'split-view');
    assert.equal(flawOf(await look(whole(SEEN), { trusted: all })), 'rollback');
  });

  test('what no reader and no witness has seen can be: this is what they are for', async () => {
    assert.equal(flawOf(await look(forged(SEEN), { trusted: seen })), 'sound');
    assert.equal(flawOf(await look(forged(0), { trusted: fresh })), 'sound');
  });

  test('a new key is followed by its hand-over only', async () => {
    const handOver = log.handOver(800, { from: signer, to: next });
    const shown = { ...whole(), checkpoint: log.checkpoint(ENTRIES, [next]) };
    assert.equal(flawOf(await look(shown, { trusted: seen })), 'wrong-key');
    assert.equal(flawOf(await look({ ...shown, handOvers: [handOver] }, { trusted: seen })), 'sound');
    const old = { ...whole(), handOvers: [handOver] };
    assert.equal(flawOf(await look(old, { trusted: seen })), 'after-hand-over');
  });
});
