import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  EntryFaultError,
  type EntryRow,
  entryBytes,
  entryDocument,
  leafOfEntry,
  MAX_ENTRY_BYTES,
} from '../../src/audit/entry-document.ts';
import { isWellParsed, jsonFaultOf } from '../../src/audit/json-fault.ts';
import { leafHash } from '../../src/audit/merkle-tree.ts';
import { writableDetails } from '../../src/audit/writable-details.ts';
import { canonicalJson } from '../../src/json/canonical-json.ts';
import { parseStrictJson } from '../../src/json/strict-json.ts';
import { fc } from '../properties.ts';
import { sampleRow } from './sample-log.ts';

const row = sampleRow(5);
const withDetails = (details: Record<string, unknown>): EntryRow => ({ ...row, details });

describe('The bytes of an entry', () => {
  test('are canonical JSON, absent members absent', () => {
    const { bytes, fault } = leafOfEntry({ ...row, details: { b: 1, a: null } });
    assert.equal(fault, null);
    assert.equal(
      bytes.toString(),
      '{"action":"token.minted","actor":"agent-ä \u2028","at":"2026-11-23T08:00:05.000005Z",' +
        '"details":{"a":null,"b":1},"id":"aud_01k5h0m2v3x8q6d00000000005","outcome":"refused",' +
        '"reason":"rate_limited","repetitions":2,"request_id":"req-5","token_id":"tok_5"}',
    );
  });

  test('are read by a strict reader and written the same again, whatever the details', () => {
    const details = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue({ maxDepth: 4 }), {
      maxKeys: 6,
    });
    fc.assert(
      fc.property(details, (value) => {
        const { bytes } = leafOfEntry(withDetails({ ...value }));
        const bounds = { maxDepth: 16, maxMembers: 65_536 };
        assert.equal(canonicalJson(parseStrictJson(bytes.toString(), bounds)), bytes.toString());
      }),
      { numRuns: 200 },
    );
  });

  test('do not depend on the order in which members came', () => {
    const { id, ...rest } = row;
    assert.deepEqual(leafOfEntry({ ...rest, id }).bytes, leafOfEntry(row).bytes);
  });
});

describe('AUD-24: two entries never have one hash', () => {
  const distinct: readonly (readonly [string, Partial<EntryRow>])[] = [
    ['"ab" and "c"', { actor: 'ab', sessionId: 'c' }],
    ['"a" and "bc"', { actor: 'a', sessionId: 'bc' }],
    ['"abc" and nothing', { actor: 'abc', sessionId: null }],
    ['"abc" and the empty text', { actor: 'abc', sessionId: '' }],
    ['nothing and "abc"', { actor: null, sessionId: 'abc' }],
    ['"ab" and "c" in details', { details: { a: 'ab', b: 'c' } }],
    ['"a" and "bc" in details', { details: { a: 'a', b: 'bc' } }],
    ['null in details', { details: { a: null } }],
    ['the word null in details', { details: { a: 'null' } }],
    ['the empty text in details', { details: { a: '' } }],
    ['nothing in details', { details: {} }],
    ['an empty list in details', { details: { a: [] } }],
    ['an empty object in details', { details: { a: {} } }],
    ['one in a list in details', { details: { a: [1] } }],
    ['one as text in details', { details: { a: '1' } }],
    ['one in details', { details: { a: 1 } }],
    ['true in details', { details: { a: true } }],
    ['two members in one text', { details: { 'a":1,"b': 2 } }],
    ['two members', { details: { a: 1, b: 2 } }],
    ['a letter composed', { actor: '\u00e4' }],
    ['a letter decomposed', { actor: 'a\u0308' }],
  ];

  test('not by joining fields, nor by null, the empty text and absence', () => {
    const hashes = distinct.map(([, change]) =>
      leafHash(leafOfEntry({ ...row, ...change }).bytes).toString('hex'),
    );
    assert.equal(new Set(hashes).size, distinct.length);
  });

  test('whatever their fields are', () => {
    const text = fc.option(fc.string({ maxLength: 3 }), { nil: null });
    const fields = fc.record({ actor: text, sessionId: text, tokenId: text, reason: text });
    const isSame = (one: object, other: object) => JSON.stringify(one) === JSON.stringify(other);
    fc.assert(
      fc.property(fields, fields, (one, other) => {
        const [left, right] = [one, other].map((value) => leafOfEntry({ ...row, ...value }).bytes);
        assert.equal(left?.equals(right ?? Buffer.of()), isSame({ ...one }, { ...other }));
      }),
      { numRuns: 200 },
    );
  });
});

describe('AUD-12: an entry that has no form in the log', () => {
  const cyclic: Record<string, unknown> = {};
  cyclic.self = { again: [cyclic] };
  let deep: unknown = 1;
  for (let depth = 0; depth < 10_000; depth += 1) deep = { deep };
  let wide: unknown = ['x'];
  for (let depth = 0; depth < 12; depth += 1) wide = Array.from({ length: 16 }, () => wide);
  const cases: readonly (readonly [string, Record<string, unknown>, string])[] = [
    ['a cycle', cyclic, 'cycle'],
    ['ten thousand levels', { deep }, 'too-deep'],
    ['a few objects that are a billion when written', { wide }, 'too-many-values'],
    ['a lone surrogate', { a: 'a\ud800' }, 'lone-surrogate'],
    ['a lone surrogate in a name', { 'a\udc00': 1 }, 'lone-surrogate'],
    ['a bigint', { a: 1n }, 'bigint'],
    ['NaN', { a: Number.NaN }, 'not-a-json-number'],
    ['a whole number past 2^53', { a: 2 ** 53 }, 'not-a-json-number'],
    ['undefined', { a: undefined }, 'not-json'],
    ['a Date', { a: new Date(0) }, 'not-json'],
    ['a Map', { a: new Map() }, 'not-json'],
    ['a function', { a: () => 1 }, 'not-json'],
    ['a symbol', { a: Symbol('a') }, 'not-json'],
    ['a hole', { a: Object.assign([], { length: 1 }) }, 'not-json'],
    ['a getter', Object.defineProperty({}, 'a', { enumerable: true, get: () => 1 }), 'not-json'],
    ['a member __proto__', JSON.parse('{"__proto__":1}') as Record<string, unknown>, 'not-json'],
    ['65,536 bytes', { a: 'a'.repeat(MAX_ENTRY_BYTES) }, 'too-large'],
    ['70,000 values', { a: Array.from({ length: 70_000 }, () => 1) }, 'too-many-values'],
  ];
  for (const [name, details, fault] of cases) {
    test(`because of ${name}, leaves one of its name that says so`, () => {
      const leaf = leafOfEntry(withDetails(details));
      assert.equal(leaf.fault, fault);
      const { id, at, action, outcome, details: left } = JSON.parse(leaf.bytes.toString()) as EntryRow;
      assert.deepEqual(
        { id, at, action, outcome },
        { id: row.id, at: row.at, action: row.action, outcome: row.outcome },
      );
      assert.equal(left.unwritable, fault);
      assert.throws(() => entryBytes(entryDocument(withDetails(details))), EntryFaultError);
      assert.deepEqual(writableDetails(details), { unwritable: fault });
    });
  }

  test('because of what stands outside its details is no exception', () => {
    assert.equal(leafOfEntry({ ...row, actor: '\ud800' }).fault, 'lone-surrogate');
    assert.equal(leafOfEntry({ ...row, requestId: 'a'.repeat(70_000) }).fault, 'too-large');
  });

  test('because it is too large is still told from every other', () => {
    const [one, other] = ['a', 'b'].map(
      (letter) => leafOfEntry(withDetails({ a: letter.repeat(70_000) })).bytes,
    );
    assert.notDeepEqual(one, other);
  });

  test('is written to the last byte that there is room for', () => {
    const room = MAX_ENTRY_BYTES - leafOfEntry(withDetails({ a: '' })).bytes.length;
    assert.equal(leafOfEntry(withDetails({ a: 'a'.repeat(room) })).bytes.length, MAX_ENTRY_BYTES);
    assert.equal(leafOfEntry(withDetails({ a: 'a'.repeat(room + 1) })).fault, 'too-large');
    assert.equal(leafOfEntry(withDetails({ a: 'ä'.repeat(room / 2 + 1) })).fault, 'too-large');
  });

  test('is no entry that was made of writable details', () => {
    let nested: Record<string, unknown> = {};
    for (let depth = 2; depth < 16; depth += 1) nested = { nested };
    for (const details of [nested, { a: 'a'.repeat(49_000) }, { ...row.details }]) {
      assert.equal(writableDetails(details), details);
      assert.equal(leafOfEntry(withDetails(details)).fault, null);
    }
    assert.deepEqual(writableDetails({ nested }), { unwritable: 'too-deep' });
    assert.equal(leafOfEntry(withDetails({ nested })).fault, 'too-deep');
    assert.deepEqual(writableDetails({ a: 'a'.repeat(50_000) }), { unwritable: 'too-large' });
  });

  test('the same object twice, but not within itself, is no cycle', () => {
    const twice = { a: 1 };
    assert.equal(leafOfEntry(withDetails({ one: twice, two: [twice, twice] })).fault, null);
  });

  for (const [name, change] of [
    ['another id', { id: 'tok_01k5h0m2v3x8q6d00000000005' }],
    ['a time in milliseconds', { at: '2026-11-23T08:00:05.000Z' }],
    ['a time elsewhere', { at: '2026-11-23T08:00:05.000005+01:00' }],
    ['an action in one word', { action: 'minted' }],
    ['another outcome', { outcome: 'perhaps' as 'allowed' }],
    ['no repetition', { repetitions: 0 }],
  ] as const) {
    test(`with ${name} is no entry at all: a defect`, () => {
      assert.throws(() => leafOfEntry({ ...row, ...change }), TypeError);
    });
  }
});

test('what came out of a parser of JSON is judged the same at first sight as after a close look', () => {
  const bounds = { maxDepth: 4, maxValues: 30 };
  const strange = fc.constantFrom(2 ** 53, -(2 ** 60), 1.5, '\ud800', 'a\udc00b', '\u2028');
  const name = fc.oneof(fc.string(), fc.constantFrom('__proto__', 'toJSON', '\ud800', '1', 'constructor'));
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { weight: 3, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
      strange,
      tie('list'),
      tie('object'),
    ),
    list: fc.array(tie('value'), { maxLength: 6 }),
    object: fc.dictionary(name, tie('value'), { maxKeys: 6 }),
  }));
  fc.assert(
    fc.property(value, (made) => {
      const parsed: unknown = JSON.parse(JSON.stringify(made) ?? 'null');
      assert.equal(isWellParsed(parsed, bounds), jsonFaultOf(parsed, bounds) === null);
    }),
    { numRuns: 2_000 },
  );
});
