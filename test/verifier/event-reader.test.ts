import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createEventReader } from '../../src/verifier/event-reader.ts';
import { fc } from '../properties.ts';

const readerOf = (maxLength = 1_000) => createEventReader({ event: 'ledger', maxLength });

test('Events are read however the text is cut, with any end of line, and comments mean nothing', () => {
  const line = fc.constantFrom('\n', '\r\n', '\r');
  const data = fc
    .string({ unit: 'grapheme-ascii', maxLength: 30 })
    .map((text) => text.replaceAll(/[\r\n]/g, ''));
  fc.assert(
    fc.property(fc.array(data, { maxLength: 6 }), line, fc.array(fc.nat(400)), (sent, end, cuts) => {
      const text = sent
        .map((each) => [': beat', '', 'id: 7', 'event: ledger', `data: ${each}`, '', ''].join(end))
        .join('');
      const at = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
      const reader = readerOf();
      const pieces = [0, ...at].map((start, index) => text.slice(start, at[index] ?? text.length));
      // A carriage return at the very end may be half an end of line, so one more line follows.
      const found = [...pieces, ':\n'].flatMap((piece) => reader.push(piece));
      assert.deepEqual(found, sent);
    }),
  );
});

test('Other events, events without data and events that were cut off are none', () => {
  const reader = readerOf();
  assert.deepEqual(reader.push('event: other\ndata: x\n\nevent: ledger\n\ndata: x\n\nretry: 1\n\n'), []);
  assert.deepEqual(reader.push('event: ledger\ndata: half'), []);
  assert.deepEqual(readerOf().push('event:ledger\ndata:tight\n\nevent: ledger\ndata: a\ndata: b\n\n'), [
    'tight',
    'a\nb',
  ]);
});

test('An event that is too long ends the stream, whether its line ends or not', () => {
  assert.throws(() => readerOf(10).push('data: 0123456789'), RangeError);
  assert.throws(() => readerOf(20).push('data: 01234\ndata: 56789\ndata: abcde\n'), RangeError);
  const reader = readerOf(40);
  for (let count = 0; count < 100; count += 1) reader.push('event: ledger\ndata: 0123456789\n\n');
});
