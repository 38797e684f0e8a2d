import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pinLog, type TrustedLog } from '../../src/audit/trusted-log.ts';
import { type LogVerdict, verifyLog } from '../../src/audit/verify-log.ts';
import { createRandom, resigned, tampered } from './mutations.ts';
import { createSampleLog, newSigningKey, sampleEntries, wholeLogOf } from './sample-log.ts';

const ENTRIES = 1_000;
const SEEN = 700;
const MUTATIONS = 10_000;
const SEED = 20_261_123;

const signer = newSigningKey();
const next = newSigningKey();
const log = createSampleLog(sampleEntries(ENTRIES), signer);
const fresh = pinLog(signer.key.vkey);

const whole = (size = ENTRIES) => wholeLogOf(log.entries.slice(0, size), signer);

function memoryOf(verdict: LogVerdict): TrustedLog {
  assert.ok(verdict.outcome === 'sound', JSON.stringify(verdict));
  return verdict.trusted;
}

const seen = memoryOf(verifyLog(whole(SEEN), { trusted: fresh }));

describe('A log of a thousand entries', () => {
  test('that nobody touched is sound, for whoever saw any part of it before', () => {
    for (const size of [0, 1, 2, 255, 256, 257, 511, 999, 1_000]) {
      const trusted = memoryOf(verifyLog(whole(size), { trusted: fresh }));
      assert.deepEqual(verifyLog(whole(), { trusted }).outcome, 'sound', `seen ${size}`);
    }
  });

  test('shows ten thousand mutations, each of them, and is never blamed while it is untouched', () => {
    const random = createRandom(SEED);
    const original = whole();
    const missed: string[] = [];
    const found = new Map<string, number>();
    for (let run = 0; run < MUTATIONS; run += 1) {
      const { kind, log: mutated } =
        run % 2 === 0
          ? tampered(original, { signer, random })
          : resigned(original, { signer, random, seenSize: SEEN });
      const { outcome } = verifyLog(mutated, { trusted: seen });
      if (outcome === 'sound') missed.push(`${run}: ${kind}`);
      found.set(`${kind}: ${outcome}`, (found.get(`${kind}: ${outcome}`) ?? 0) + 1);
      if (run % 20 === 0) {
        const size = SEEN + random.below(ENTRIES - SEEN + 1);
        assert.equal(verifyLog(whole(size), { trusted: seen }).outcome, 'sound', `untouched, of ${size}`);
      }
    }
    assert.deepEqual(missed, [], `seed ${SEED}`);
    assert.ok(found.size >= 20, [...found.keys()].join('\n'));
  });
});

describe('The first bad entry is named', () => {
  const foreign = Buffer.from('{}');

  for (const index of [0, 1, 499, 999]) {
    test(`when entry ${index} was changed`, () => {
      const changed = { ...whole(), entries: log.entries.with(index, foreign) };
      assert.deepEqual(verifyLog(changed, { trusted: fresh }), { outcome: 'entry-changed', index });
    });
  }

  test('when its bytes are gone, unless retention may have taken them', () => {
    const without = { ...whole(), entries: (log.entries as (Buffer | null)[]).with(7, null) };
    assert.deepEqual(verifyLog(without, { trusted: fresh }), { outcome: 'body-absent', index: 7 });
    const verdict = verifyLog(without, { trusted: fresh, bodiesFrom: 8 });
    assert.deepEqual(verdict.outcome === 'sound' && [verdict.entries, verdict.bodiesAbsent], [1_000, 1]);
  });

  test('when the tail is missing, and when there is more than was signed', () => {
    const short = { ...whole(), entries: log.entries.slice(0, 990), leaves: log.leaves.slice(0, 990) };
    assert.deepEqual(verifyLog(short, { trusted: seen }), { outcome: 'entry-missing', index: 990 });
    const long = { ...whole(), checkpoint: log.checkpoint(990) };
    assert.deepEqual(verifyLog(long, { trusted: seen }), { outcome: 'entry-added', index: 990 });
  });

  test('as far as the leaves tell it, when they were changed too', () => {
    const rewrite = (index: number) => createSampleLog(log.entries.with(index, foreign), signer);
    const late = { ...whole(), entries: rewrite(800).entries, leaves: rewrite(800).leaves };
    assert.deepEqual(verifyLog(late, { trusted: seen }), { outcome: 'leaves-changed', soundUntil: SEEN });
    const early = { ...whole(), entries: rewrite(5).entries, leaves: rewrite(5).leaves };
    assert.deepEqual(verifyLog(early, { trusted: seen }), { outcome: 'leaves-changed', soundUntil: 0 });
  });
});

describe("With the log's own key", () => {
  const foreign = Buffer.from('{}');
  const forged = (index: number) => {
    const { entries, leaves, checkpoint } = createSampleLog(log.entries.with(index, foreign), signer);
    return { entries, leaves, checkpoint: checkpoint() };
  };

  test('history before what a reader saw cannot be changed for him', () => {
    assert.equal(verifyLog(forged(SEEN - 1), { trusted: seen }).outcome, 'not-consistent');
    const all = memoryOf(verifyLog(whole(), { trusted: seen }));
    assert.equal(verifyLog(forged(SEEN - 1), { trusted: all }).outcome, 'split-view');
    assert.equal(verifyLog(whole(SEEN), { trusted: all }).outcome, 'rollback');
  });

  test('what no reader and no witness has seen can be: this is what they are for', () => {
    assert.equal(verifyLog(forged(SEEN), { trusted: seen }).outcome, 'sound');
    assert.equal(verifyLog(forged(0), { trusted: fresh }).outcome, 'sound');
  });

  test('a new key is followed by its hand-over only', () => {
    const handOver = log.handOver(800, { from: signer, to: next });
    const rotated = { ...whole(), checkpoint: log.checkpoint(ENTRIES, [next]) };
    assert.equal(verifyLog(rotated, { trusted: seen }).outcome, 'wrong-key');
    assert.equal(verifyLog({ ...rotated, handOvers: [handOver] }, { trusted: seen }).outcome, 'sound');
    assert.equal(
      verifyLog({ ...whole(), handOvers: [handOver] }, { trusted: seen }).outcome,
      'after-hand-over',
    );
  });
});
