import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AuditFormatError } from '../../src/audit/format-error.ts';
import {
  formatPackEntry,
  formatPackHeader,
  MAX_PACK_LINE_LENGTH,
  type PackEntry,
  type PackHeader,
  parsePackEntry,
  parsePackHeader,
} from '../../src/audit/pack.ts';
import { packLines } from '../../src/audit/pack-lines.ts';
import { pinLog, type TrustedLog } from '../../src/audit/trusted-log.ts';
import { type PackPolicy, type PackVerdict, verifyPack } from '../../src/audit/verify-pack.ts';
import { fc } from '../properties.ts';
import { createSampleLog, newSigningKey, sampleEntries } from './sample-log.ts';
import { packHeader, packOf } from './sample-pack.ts';

const signer = newSigningKey();
const next = newSigningKey();
const log = createSampleLog(sampleEntries(50), signer);
const fork = createSampleLog([...sampleEntries(20), ...sampleEntries(80).slice(50)], signer);
const entries = log.packEntries();
const header = packHeader(log, { signer });
const trusted = pinLog(signer.key.vkey);

function verify(lines: readonly string[], policy: Partial<PackPolicy> = {}): Promise<PackVerdict> {
  return verifyPack(packLines([Buffer.from(lines.join(''))]), { trusted, ...policy });
}

const check = (
  change: Partial<PackHeader>,
  of: readonly PackEntry[] = entries,
  policy: Partial<PackPolicy> = {},
) => verify(packOf({ ...header, ...change }, of), policy);

function memoryOf(verdict: PackVerdict): TrustedLog {
  assert.ok(verdict.outcome === 'sound', JSON.stringify(verdict));
  return verdict.trusted;
}

const flawOf = (verdict: PackVerdict) =>
  verdict.outcome === 'bad-entry' ? `${verdict.flaw} ${verdict.index} line ${verdict.line}` : verdict.outcome;

const refusalOf = (verdict: PackVerdict) =>
  verdict.outcome === 'not-trusted' ? verdict.judgement.outcome : verdict.outcome;

async function linesOf(pieces: readonly Uint8Array[]): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of packLines(pieces)) lines.push(line);
  return lines;
}

describe('The lines of a pack', () => {
  test('are read as they were written', () => {
    const handOvers = [
      { note: log.handOver(30, { from: signer, to: next }), consistency: log.consistency(30) },
    ];
    const full = { ...header, handOvers, consistency: { from: 7, proof: log.consistency(7) } };
    assert.deepEqual(parsePackHeader(formatPackHeader(full).trimEnd()), full);
    assert.deepEqual(parsePackHeader(formatPackHeader(header).trimEnd()), header);
    for (const entry of entries) assert.deepEqual(parsePackEntry(formatPackEntry(entry).trimEnd()), entry);
  });

  test('hold printable ASCII only, so that nothing else ends a line or moves a cursor', () => {
    const lines = packOf(header, entries);
    for (const line of lines) assert.match(line, /^[ -~]+\n$/);
    const text = fc.string({ unit: 'binary' }).filter((value) => value.isWellFormed());
    fc.assert(
      fc.property(text, (document) => {
        const line = formatPackEntry({ index: 0, document, proof: [] });
        assert.match(line, /^[ -~]+\n$/);
        assert.equal(parsePackEntry(line.trimEnd()).document, document);
      }),
      { numRuns: 100 },
    );
  });

  test('are cut at line feeds, wherever the pieces end', async () => {
    const bytes = Buffer.from(packOf(header, entries.slice(0, 3)).join(''));
    for (const size of [1, 2, 7, 100, bytes.length]) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
        bytes.subarray(at * size, (at + 1) * size),
      );
      const lines = await linesOf(pieces);
      assert.deepEqual(lines, bytes.toString().trimEnd().split('\n'), `pieces of ${size}`);
    }
  });

  test('are bounded, and are UTF-8', async () => {
    const endless = Array.from({ length: 10 }, () => Buffer.alloc(MAX_PACK_LINE_LENGTH / 8, 'a'));
    await assert.rejects(linesOf(endless), AuditFormatError);
    await assert.rejects(linesOf([Buffer.of(0xff, 0x0a)]), AuditFormatError);
  });

  const line = formatPackEntry(entries[1] ?? { index: 0, document: '', proof: [] });
  for (const [name, text] of [
    ['a member more', line.replace('{', '{"more":1,')],
    ['a member twice', line.replace('{', '{"index":1,')],
    ['no index', line.replace('"index":1,', '')],
    ['an index in another spelling', line.replace('"index":1', '"index":1.0')],
    ['a negative index', line.replace('"index":1', '"index":-1')],
    ['both document and leaf', line.replace('{', `{"leaf":"${'A'.repeat(43)}=",`)],
    ['neither document nor leaf', line.replace(/"document":".*",/, '"document":null,')],
    ['a hash that is none', line.replace('=", "', '", "').replace('="]', '"]')],
    ['half of it', line.slice(0, 40)],
    ['nothing', ''],
  ] as const) {
    test(`with ${name} are refused`, () => assert.throws(() => parsePackEntry(text), AuditFormatError));
  }
});

describe('A pack that nobody touched', () => {
  test('is sound, whole or in part, and updates the memory of its reader', async () => {
    const verdict = await check({});
    assert.ok(verdict.outcome === 'sound');
    assert.deepEqual([verdict.from, verdict.to, verdict.entries, verdict.bodiesAbsent], [0, 50, 50, 0]);
    assert.equal(verdict.trusted.newest?.size, 50);
    for (const [from, to] of [
      [0, 0],
      [0, 1],
      [10, 20],
      [49, 50],
      [50, 50],
    ] as const) {
      assert.equal((await check({ from, to }, entries.slice(from, to))).outcome, 'sound');
    }
  });

  test('continues what its reader saw when it has the proof from there', async () => {
    const seen = memoryOf(await check({ checkpoint: log.checkpoint(20), to: 0 }, []));
    const consistency = { from: 20, proof: log.consistency(20) };
    assert.equal((await check({ consistency }, entries, { trusted: seen })).outcome, 'sound');
    assert.equal(refusalOf(await check({}, entries, { trusted: seen })), 'proof-needed');
    const other = { from: 21, proof: log.consistency(21) };
    assert.equal(refusalOf(await check({ consistency: other }, entries, { trusted: seen })), 'proof-needed');
  });

  test('may lack bodies that retention took, when its reader knows of it', async () => {
    const without = entries.map((entry): PackEntry => {
      const leaf = log.leaves[entry.index];
      return leaf && entry.index < 5
        ? { index: entry.index, document: null, leaf, proof: entry.proof }
        : entry;
    });
    assert.equal(flawOf(await check({}, without)), 'body-absent 0 line 2');
    const verdict = await check({}, without, { bodiesFrom: 5 });
    assert.equal(verdict.outcome === 'sound' && verdict.bodiesAbsent, 5);
  });

  test('AUD-20: is followed over a hand-over of the key, and not without it', async () => {
    const handOvers = [
      { note: log.handOver(30, { from: signer, to: next }), consistency: log.consistency(30) },
    ];
    const rotated = { checkpoint: log.checkpoint(50, [next]), keys: [signer.key.vkey, next.key.vkey] };
    assert.equal((await check({ ...rotated, handOvers })).outcome, 'sound');
    assert.equal(refusalOf(await check(rotated)), 'wrong-key');
    assert.equal(refusalOf(await check({ handOvers })), 'after-hand-over');
  });

  test('AUD-20: is followed by who pinned a later key, from there on', async () => {
    const third = newSigningKey();
    const handOvers = [
      { note: log.handOver(20, { from: signer, to: next }), consistency: log.consistency(20) },
      { note: log.handOver(30, { from: next, to: third }), consistency: log.consistency(30) },
    ];
    const rotated = { checkpoint: log.checkpoint(50, [third]), handOvers };
    for (const { key } of [signer, next, third]) {
      const verdict = await check(rotated, entries, { trusted: pinLog(key.vkey) });
      assert.equal(verdict.outcome, 'sound');
    }
    const stale = { ...rotated, checkpoint: log.checkpoint(50, [next]) };
    assert.equal(
      refusalOf(await check(stale, entries, { trusted: pinLog(next.key.vkey) })),
      'after-hand-over',
    );
    const stranger = { trusted: pinLog(newSigningKey().key.vkey) };
    assert.equal(refusalOf(await check(rotated, entries, stranger)), 'bad-hand-over');
  });
});

describe('A pack that somebody was at', () => {
  const changed = (index: number, change: (document: string) => string): PackEntry[] =>
    entries.map((entry) =>
      entry.index === index && entry.document !== null
        ? { ...entry, document: change(entry.document) }
        : entry,
    );
  const swapped = entries.map((entry) => ({
    ...(entries[{ 3: 9, 9: 3 }[entry.index] ?? entry.index] ?? entry),
    index: entry.index,
  }));

  for (const [name, forged, flaw] of [
    ['an entry changed', changed(7, (text) => text.replace('token', 'taken')), 'not-included 7 line 9'],
    ['a space added', changed(7, (text) => `${text} `), 'not-included 7 line 9'],
    ['an entry taken out', entries.toSpliced(7, 1), 'wrong-index 7 line 9'],
    ['an entry put in', entries.toSpliced(7, 0, ...entries.slice(9, 10)), 'wrong-index 7 line 9'],
    ['two entries exchanged', swapped, 'not-included 3 line 5'],
    ['its tail cut off', entries.slice(0, 40), 'missing 40 line 42'],
    ['all of it cut off', [], 'missing 0 line 2'],
    ['an entry more', [...entries, ...entries.slice(0, 1)], 'beyond-the-end 50 line 52'],
  ] as const) {
    test(`with ${name} names the first bad entry`, async () => {
      assert.equal(flawOf(await check({}, forged)), flaw);
    });
  }

  test('with a line that was cut off, or that is not text, names it', async () => {
    const lines = packOf(header, entries);
    const bytes = Buffer.from(lines.slice(0, 10).join(''));
    const cut = bytes.subarray(0, bytes.length - 30);
    assert.equal(flawOf(await verifyPack(packLines([cut]), { trusted })), 'malformed 8 line 10');
    const binary = Buffer.concat([bytes, Buffer.of(0xff, 0x0a)]);
    assert.equal(flawOf(await verifyPack(packLines([binary]), { trusted })), 'malformed 9 line 11');
  });

  test('AUD-14, AUD-16: with a checkpoint that is not to be believed is not looked at further', async () => {
    const seen = memoryOf(await check({}));
    const cases: [PackHeader['checkpoint'], string][] = [
      [log.checkpoint(50, [next]), 'wrong-key'],
      [log.checkpoint(40), 'rollback'],
      [fork.checkpoint(50), 'split-view'],
      [log.checkpoint().replace('\n50\n', '\n51\n'), 'bad-signature'],
      ['a text', 'malformed'],
    ];
    for (const [checkpoint, outcome] of cases) {
      assert.equal(refusalOf(await check({ checkpoint }, entries, { trusted: seen })), outcome);
    }
    const archived = { checkpoint: log.checkpoint(40), to: 0 };
    assert.equal((await check(archived, [], { trusted: seen, allowOlder: true })).outcome, 'sound');
  });

  test('with the proofs of another size proves nothing', async () => {
    const smaller = entries
      .slice(0, 40)
      .map((entry) => ({ ...entry, proof: log.inclusion(entry.index, 40) }));
    assert.equal(flawOf(await check({ to: 40 }, smaller)), 'not-included 0 line 2');
  });

  test('with a header that contradicts itself, or none, is refused', async () => {
    assert.equal((await check({ to: 51 })).outcome, 'bad-header');
    assert.equal((await check({ from: 3, to: 2 })).outcome, 'bad-header');
    assert.equal((await check({ origin: 'example.com/other' })).outcome, 'bad-header');
    assert.equal((await verify([])).outcome, 'bad-header');
    assert.equal((await verify(['{}\n'])).outcome, 'bad-header');
  });

  test('with a document that two readers could read differently is refused, signed or not', async () => {
    for (const document of ['{"a":1,"a":2}', '{ "a":1}', '{"b":1,"a":1}', '{"a":1.0}', 'a', '\ufeff{}']) {
      const odd = createSampleLog([Buffer.from(document)], signer);
      const verdict = await verify(packOf(packHeader(odd, { signer }), odd.packEntries()));
      assert.equal(flawOf(verdict), 'not-canonical 0 line 2', document);
    }
  });
});
