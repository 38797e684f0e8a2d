import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { canonicalDigest } from '../../src/json/canonical-digest.ts';
import { canonicalJson } from '../../src/json/canonical-json.ts';
import { parseStrictJson } from '../../src/json/strict-json.ts';
import { fc } from '../properties.ts';

const VECTORS = new URL('../vectors/jcs/', import.meta.url);

describe('The vectors of RFC 8785', () => {
  for (const file of readdirSync(new URL('input/', VECTORS))) {
    test(`${file} is written byte for byte as published`, () => {
      const input = parseStrictJson(readFileSync(new URL(`input/${file}`, VECTORS), 'utf8'));
      const hex = readFileSync(new URL(`outhex/${file.replace('.json', '.txt')}`, VECTORS), 'utf8');
      assert.equal(Buffer.from(canonicalJson(input)).toString('hex'), hex.replaceAll(/\s/g, ''));
    });
  }

  test('§3.2.4: the sample has the published bytes and digest', () => {
    const input = String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`;
    const expected =
      '7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b3333333333333333332e333333333333332c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e67223a22e282ac245c75303030665c6e4127425c225c5c5c5c5c222f227d';
    const value = parseStrictJson(input);
    assert.equal(Buffer.from(canonicalJson(value)).toString('hex'), expected);
    const digest = '2d5e01a318d0f0879ab568c4be289c8b1f64ef8921a53c6277d5e069978baacb';
    assert.equal(Buffer.from(canonicalDigest(value), 'base64url').toString('hex'), digest);
  });

  test('§3.2.3: members are sorted by UTF-16 code units', () => {
    const names = ['\u20ac', '\r', '\ufb33', '1', '\u{1f600}', '\u0080', '\u00f6'];
    const written = canonicalJson(Object.fromEntries(names.map((name) => [name, 0])));
    assert.deepEqual(Object.keys(JSON.parse(written) as object).length, 7);
    const order = ['\r', '1', '\u0080', '\u00f6', '\u20ac', '\u{1f600}', '\ufb33'];
    assert.equal(written, `{${order.map((name) => `${JSON.stringify(name)}:0`).join(',')}}`);
  });

  const numbers: [bits: string, text: string][] = [
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['7fefffffffffffff', '1.7976931348623157e+308'],
    ['4340000000000000', '9007199254740992'],
    ['4430000000000000', '295147905179352830000'],
    ['44b52d02c7e14af5', '9.999999999999997e+22'],
    ['44b52d02c7e14af6', '1e+23'],
    ['444b1ae4d6e2ef50', '1e+21'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['41b3de4355555553', '333333333.3333332'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
    ['43143ff3c1cb0959', '1424953923781206.2'],
  ];
  for (const [bits, text] of numbers) {
    test(`Appendix B: the double ${bits} is written ${text}`, () => {
      assert.equal(canonicalJson(Buffer.from(bits, 'hex').readDoubleBE()), text);
    });
  }
});

describe('What has no canonical form is an error, never a guess', () => {
  const sparse: unknown[] = [];
  sparse[1] = 1;
  let deep: unknown = 1;
  for (let depth = 0; depth < 100_000; depth += 1) deep = [deep];
  const cases: [string, unknown][] = [
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['a lone surrogate', 'a\ud800'],
    ['a lone surrogate in a name', { '\udfff': 1 }],
    ['undefined', { a: undefined }],
    ['a hole in an array', sparse],
    ['a bigint', 1n],
    ['a symbol', Symbol('a')],
    ['a function', () => 1],
    ['a Date', new Date(0)],
    ['a Map', new Map([['a', 1]])],
    ['bytes', Buffer.from('a')],
    ['what is nested a hundred thousand deep', deep],
  ];
  for (const [name, value] of cases) {
    test(`${name} is refused`, () => {
      assert.throws(() => canonicalJson(value), TypeError);
    });
  }
});

describe('One value has one text', () => {
  const values = fc.jsonValue({ depthSize: 'small' }).filter((value) => JSON.stringify(value).isWellFormed());

  test('the order in which members were added does not show', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.integer()), (dictionary) => {
        const reversed = Object.fromEntries(Object.entries(dictionary).reverse());
        assert.equal(canonicalJson(dictionary), canonicalJson(reversed));
      }),
    );
  });

  test('reading the text again gives the same value and the same text', () => {
    fc.assert(
      fc.property(values, (value) => {
        const text = canonicalJson(value);
        assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
        assert.equal(canonicalJson(JSON.parse(text)), text);
      }),
    );
  });

  test('the digest is SHA-256 of that text, base64url, 43 characters', () => {
    const digest = canonicalDigest({ b: [1, 'é'], a: null });
    assert.equal(digest, createHash('sha256').update('{"a":null,"b":[1,"é"]}').digest('base64url'));
    assert.equal(digest.length, 43);
  });
});
