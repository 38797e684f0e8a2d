import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeBase64url, encodeBase64url } from '../../src/jws/base64url.ts';
import { fc } from '../properties.ts';

describe('One byte sequence has one spelling', () => {
  const cases: [string, string][] = [
    ['unused bits that are not zero, two characters', 'QR'],
    ['unused bits that are not zero, three characters', 'QUF'],
    ['padding', 'QQ=='],
    ['a single padding character', 'QUE='],
    ['a plus sign of the other alphabet', '-_+A'],
    ['a slash of the other alphabet', 'ab/A'],
    ['a trailing line feed', 'QUFB\n'],
    ['white space', 'QU FB'],
    ['a character outside the alphabet', 'Q!Q'],
    ['a length that no bytes have', 'QUFBQ'],
    ['one character alone', 'A'],
    ['a dot', 'QQ.QQ'],
    ['a full-width letter', 'ＱＱ'],
    ['NUL', 'QQ\0'],
  ];
  for (const [name, text] of cases) {
    test(`${name} is refused`, () => assert.equal(decodeBase64url(text), null));
  }

  test('RFC 4648 §10: the published samples are read', () => {
    const samples = {
      '': '',
      Zg: 'f',
      Zm8: 'fo',
      Zm9v: 'foo',
      Zm9vYg: 'foob',
      Zm9vYmE: 'fooba',
      Zm9vYmFy: 'foobar',
    };
    for (const [text, bytes] of Object.entries(samples)) {
      assert.equal(decodeBase64url(text)?.toString('latin1'), bytes);
    }
  });

  test('all bytes survive the way there and back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        assert.deepEqual(decodeBase64url(encodeBase64url(bytes)), Buffer.from(bytes));
      }),
    );
  });

  test('whatever is accepted is the one text that these bytes are written as', () => {
    const characters = fc.constantFrom(...'AQRZaz09-_+/= ');
    fc.assert(
      fc.property(fc.array(characters, { maxLength: 9 }), (parts) => {
        const text = parts.join('');
        const bytes = decodeBase64url(text);
        if (bytes !== null) assert.equal(encodeBase64url(bytes), text);
      }),
      { numRuns: 5_000 },
    );
  });

  test('a string is encoded as its UTF-8 bytes', () => {
    assert.equal(encodeBase64url('é'), 'w6k');
  });
});
