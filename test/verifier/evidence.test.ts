/* What a verifier keeps of the pages that it got, for a ledger that loses them (L25). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LedgerEntry, LedgerPage } from '../../src/revocations/ledger-entry.ts';
import { createEvidence } from '../../src/verifier/evidence.ts';

const digestOf = (epoch: number) => String(epoch).padStart(43, '0');

function entry(epoch: number, more: Partial<LedgerEntry> = {}): LedgerEntry {
  return {
    epoch,
    digest: digestOf(epoch),
    kind: 'session',
    target: `ses_${epoch}`,
    standing: false,
    releases: null,
    released_epoch: null,
    ...more,
  };
}

function page(entries: LedgerEntry[], more: Partial<LedgerPage> = {}): LedgerPage {
  const through = entries.at(-1)?.epoch ?? 0;
  const head = { epoch: through, digest: digestOf(through) };
  const since = (entries[0]?.epoch ?? 1) - 1;
  return {
    generation: 1,
    snapshot: false,
    floor: 0,
    since,
    since_digest: null,
    through,
    head,
    entries,
    ...more,
  };
}

const kill = (epoch: number) => entry(epoch, { kind: 'agent', target: 'a', standing: true });

test('a page stays while something of it is of use, and once, however often it comes', () => {
  const evidence = createEvidence();
  evidence.keep('empty', page([]));
  evidence.keep('one', page([entry(1)]));
  evidence.keep('one again', page([entry(1)]));
  evidence.keep('kill', page([kill(2)]));
  evidence.keep('key', page([entry(3, { kind: 'signing-key', target: 'k' })]));
  assert.deepEqual(evidence.pages(), ['one again', 'kill', 'key']);
  evidence.keep('the floor rises', page([], { floor: 100 }));
  assert.deepEqual(evidence.pages(), ['kill', 'key'], 'no token from before the ordinary one is alive');
});

test('a release stays as long as what it releases, and both go once the floor has passed them', () => {
  const evidence = createEvidence();
  evidence.keep('kill', page([kill(1), entry(2, { kind: 'signing-key', target: 'k' })]));
  evidence.keep('release', page([entry(3, { kind: 'agent', target: 'a', releases: 1 })]));
  evidence.keep('other kill', page([kill(4)]));
  evidence.keep('other release', page([entry(5, { kind: 'agent', target: 'a', releases: 4 })]));
  evidence.keep('floor', page([], { floor: 50 }));
  evidence.pages();
  assert.deepEqual(evidence.pages(), ['kill', 'release'], 'the page of the key has the kill in it');
});

test('a new generation is no reason to forget the one before', () => {
  const evidence = createEvidence();
  evidence.keep('lost', page([kill(1)]));
  const moved = page([entry(1_000_002, { kind: 'all', target: '' })], {
    generation: 2,
    snapshot: true,
    since: 0,
  });
  evidence.keep('moved', moved);
  assert.deepEqual(evidence.pages(), ['lost', 'moved']);
  assert.equal(evidence.pages().length, 2, 'looking takes nothing away');
});

test('two digests at one epoch are two things that brokers said', () => {
  const evidence = createEvidence();
  evidence.keep('here', page([kill(1)]));
  evidence.keep('there', page([{ ...kill(1), digest: digestOf(9) }]));
  assert.deepEqual(evidence.pages(), ['here', 'there']);
});

for (const bounds of [{ maxPages: 8 }, { maxBytes: 80 }]) {
  test(`when there is too much, what stands is kept, and the newest: ${JSON.stringify(bounds)}`, () => {
    const evidence = createEvidence(bounds);
    evidence.keep('kill.......', page([kill(1)]));
    for (let epoch = 2; epoch < 100; epoch += 1)
      evidence.keep(`ordinary ${epoch}`.padEnd(11), page([entry(epoch)]));
    const pages = evidence.pages();
    assert.ok(pages.length <= 8 && pages.length >= 4, String(pages.length));
    assert.equal(pages[0], 'kill.......');
    assert.equal(pages.at(-1), 'ordinary 99');
    for (let epoch = 100; epoch < 200; epoch += 1)
      evidence.keep(`kill ${epoch}`.padEnd(11), page([kill(epoch)]));
    assert.ok(evidence.pages().length <= 8);
    assert.equal(evidence.pages().at(-1), 'kill 199   ');
  });
}
