import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfiguration } from '../../src/config/configuration.ts';
import { newSigningKey } from '../audit/sample-log.ts';

const one = newSigningKey('one.example.com/w', 'witness').key.vkey;
const two = newSigningKey('two.example.com/w', 'witness').key.vkey;
const log = newSigningKey('one.example.com/log', 'log').key.vkey;

test('witnesses are listed with an address and a key each', () => {
  const read = (text: string) => readConfiguration({ MAYFLY_WITNESSES: text }).witnesses;
  assert.deepEqual(read(`https://one.example.com/w/ ${one}, http://127.0.0.1:9000 ${two}`), [
    { url: 'https://one.example.com/w', vkey: one },
    { url: 'http://127.0.0.1:9000', vkey: two },
  ]);
  assert.deepEqual(read(''), []);
});

for (const [name, text, mistakes] of [
  ['plain http to elsewhere', `http://one.example.com ${one}`, 1],
  ['credentials in the address', `https://a:b@one.example.com ${one}`, 1],
  ['a query', `https://one.example.com/?a=b ${one}`, 1],
  ['no key', 'https://one.example.com', 1],
  ['the key of a log', `https://one.example.com ${log}`, 1],
  [
    'a key id that is another’s',
    `https://one.example.com ${one.replace(/\+[0-9a-f]{8}\+/, '+00000000+')}`,
    1,
  ],
  ['a third word', `https://one.example.com ${one} more`, 1],
  ['one witness twice', `https://one.example.com ${one},https://one.example.com ${one}`, 2],
  ['an empty place in the list', `https://one.example.com ${one},`, 2],
  ['everything wrong at once', `ftp://x y,http://z ${log}`, 4],
] as const) {
  test(`MAYFLY_WITNESSES with ${name} stops the start`, () => {
    assert.throws(
      () => readConfiguration({ MAYFLY_WITNESSES: text }),
      (error: Error & { problems: string[] }) => {
        assert.equal(error.problems.length, mistakes, error.message);
        assert.ok(error.problems.every((problem) => problem.startsWith('MAYFLY_WITNESSES')));
        return true;
      },
    );
  });
}
