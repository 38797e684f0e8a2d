import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { millisecondsOfIdentifier, newIdentifier } from '../../src/time/identifier.ts';
import { fc } from '../properties.ts';

const MAX_MILLISECONDS = 2 ** 48 - 1;
const at = (milliseconds: number) => ({
  milliseconds: () => milliseconds,
  monotonicMilliseconds: () => milliseconds,
});

describe('An identifier', () => {
  test('is a prefix and 26 characters of lower-case base32', () => {
    assert.match(newIdentifier('ses', at(1_790_000_000_123)), /^ses_0[0-9a-hjkmnp-tv-z]{25}$/);
  });

  test('tells the millisecond it was made in', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: MAX_MILLISECONDS }), (milliseconds) => {
        assert.equal(millisecondsOfIdentifier(newIdentifier('tok', at(milliseconds))), milliseconds);
      }),
    );
    for (const milliseconds of [0, 1, 1023, 1024, 2 ** 32 - 1, 2 ** 32, MAX_MILLISECONDS]) {
      assert.equal(millisecondsOfIdentifier(newIdentifier('tok', at(milliseconds))), milliseconds);
    }
  });

  test('sorts after every one that was made in an earlier millisecond', () => {
    const moment = fc.integer({ min: 0, max: MAX_MILLISECONDS });
    fc.assert(
      fc.property(moment, moment, (one, other) => {
        if (one === other) return;
        const [earlier, later] = one < other ? [one, other] : [other, one];
        assert.ok(newIdentifier('rev', at(earlier)) < newIdentifier('rev', at(later)));
      }),
      { numRuns: 2_000 },
    );
  });

  test('is not the same twice within one millisecond', () => {
    const identifiers = new Set(
      Array.from({ length: 100_000 }, () => newIdentifier('req', at(1_790_000_000_000))),
    );
    assert.equal(identifiers.size, 100_000);
  });

  test('has random characters that all occur at every place', () => {
    const seen = Array.from({ length: 16 }, () => new Set<string>());
    for (let round = 0; round < 4_000; round += 1) {
      const random = newIdentifier('req', at(0)).slice(-16);
      for (const [place, characters] of seen.entries()) characters.add(random.charAt(place));
    }
    assert.deepEqual(
      seen.map((characters) => characters.size),
      Array.from({ length: 16 }, () => 32),
    );
  });

  test('cannot be made by a clock outside the years that it can name', () => {
    for (const milliseconds of [-1, MAX_MILLISECONDS + 1, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(() => newIdentifier('ses', at(milliseconds)), RangeError);
    }
  });
});

describe('Text that only looks like an identifier', () => {
  const good = newIdentifier('ses', at(1_790_000_000_123));
  const cases: [string, string][] = [
    ['upper case', good.toUpperCase()],
    ['a prefix in upper case', `SES${good.slice(3)}`],
    ['no prefix', good.slice(4)],
    ['an empty prefix', good.slice(3)],
    ['a prefix with a digit', `s3s${good.slice(3)}`],
    ['two separators', `ses_${good.slice(3)}`],
    ['one character too few', good.slice(0, -1)],
    ['one character too many', `${good}0`],
    ['a letter that the alphabet leaves out', `${good.slice(0, -1)}l`],
    ['a time past 48 bits', `ses_8${good.slice(5)}`],
    ['a trailing line feed', `${good}\n`],
    ['leading white space', ` ${good}`],
    ['a character outside ASCII', `${good.slice(0, -1)}é`],
    ['nothing', ''],
  ];
  for (const [name, text] of cases) {
    test(`${name} names no time`, () => assert.equal(millisecondsOfIdentifier(text), null));
  }

  test('any other text names no time, and nothing is thrown', () => {
    fc.assert(fc.property(fc.string(), (text) => assert.equal(millisecondsOfIdentifier(text), null)));
  });
});
