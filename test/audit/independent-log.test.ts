import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatHash } from '../../src/audit/note-text.ts';
import type { PackEntry } from '../../src/audit/pack.ts';
import { hasPython, python } from './python-checker.ts';
import { createSampleLog, newSigningKey, sampleEntries } from './sample-log.ts';
import { packHeader, packOf } from './sample-pack.ts';

const signer = newSigningKey();
const next = newSigningKey();

describe('A second implementation, in the standard library of Python', {
  skip: hasPython ? false : 'there is no python3 on this machine',
}, () => {
  for (const size of [1, 2, 3, 7, 8, 65, 257, 700]) {
    test(`finds the same leaves, root and proofs in a log of ${size} entries`, () => {
      const log = createSampleLog(sampleEntries(size), signer);
      const consistency = { from: Math.ceil(size / 3), proof: log.consistency(Math.ceil(size / 3)) };
      const verdict = python(packOf(packHeader(log, { signer, consistency }), log.packEntries()));
      assert.deepEqual(verdict, {
        ok: true,
        entries: size,
        size,
        root: formatHash(log.rootAt(size)),
        root_recomputed: true,
        signatures_verified: false,
      });
    });
  }

  const log = createSampleLog(sampleEntries(45), signer);
  const entries = log.packEntries();
  const header = packHeader(log, { signer });

  test('finds consistency proofs from trees of any size right', () => {
    const small = createSampleLog(sampleEntries(17), signer);
    for (const from of [0, 1, 2, 5, 8, 15, 16, 17]) {
      const consistency = { from, proof: small.consistency(from) };
      const verdict = python(packOf(packHeader(small, { signer, consistency }), small.packEntries()));
      assert.equal(verdict.ok, true, `from ${from}`);
    }
  });

  test('checks a part of the log by its proofs, with hand-overs and entries without bodies', () => {
    const handOvers = [
      { note: log.handOver(30, { from: signer, to: next }), consistency: log.consistency(30) },
    ];
    const part: PackEntry[] = entries.slice(10, 20);
    const leaf = log.leaves[12];
    assert.ok(leaf);
    part[2] = { index: 12, document: null, leaf, proof: log.inclusion(12) };
    const verdict = python(packOf({ ...header, from: 10, to: 20, handOvers }, part));
    assert.deepEqual([verdict.ok, verdict.entries, verdict.root_recomputed], [true, 10, false]);
  });

  const edited = (index: number): PackEntry[] =>
    entries.map((entry) => (entry.index === index ? { index, document: '{}', proof: entry.proof } : entry));
  for (const [name, forged, index] of [
    ['an entry that was changed', edited(7), 7],
    ['an entry that was taken out', entries.toSpliced(7, 1), 7],
    [
      'an entry that was put in',
      entries.toSpliced(7, 0, { index: 7, document: '{}', proof: log.inclusion(7) }),
      7,
    ],
    ['the first of two that were exchanged', swapped(entries, 3, 9), 3],
    ['the first of a tail that was cut off', entries.slice(0, 40), 40],
    ['what stands behind the last', [...entries, ...entries.slice(0, 1)], 45],
  ] as const) {
    test(`names ${name}`, () => {
      const verdict = python(packOf(header, forged));
      assert.deepEqual([verdict.ok, verdict.index], [false, index]);
    });
  }

  test('refuses a checkpoint or a hand-over of another tree', () => {
    const other = createSampleLog(sampleEntries(90).slice(45), signer);
    assert.deepEqual(python(packOf({ ...header, checkpoint: other.checkpoint() }, entries)).index, 0);
    const handOvers = [
      { note: other.handOver(30, { from: signer, to: next }), consistency: log.consistency(30) },
    ];
    assert.equal(python(packOf({ ...header, handOvers }, entries)).ok, false);
    const consistency = { from: 30, proof: other.consistency(30) };
    assert.equal(python(packOf({ ...header, consistency }, entries)).ok, false);
  });
});

/** The same two entries at each other's places, each calling itself by its new index. */
function swapped(entries: readonly PackEntry[], one: number, other: number): PackEntry[] {
  const [left, right] = [entries[one], entries[other]];
  assert.ok(left && right);
  return entries.with(one, { ...right, index: one }).with(other, { ...left, index: other });
}
