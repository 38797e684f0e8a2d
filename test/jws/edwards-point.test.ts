import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { isPrimeOrderPoint } from '../../src/jws/edwards-point.ts';

const PRIME = 2n ** 255n - 19n;
const encode = (y: bigint, sign = 0n) =>
  Buffer.from(Buffer.from((y | (sign << 255n)).toString(16).padStart(64, '0'), 'hex').reverse());
const yOf = (bytes: Buffer) =>
  BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`) & ((1n << 255n) - 1n);
const signOf = (bytes: Buffer) => BigInt(bytes.readUInt8(31) >> 7);

function freshKey(): Buffer {
  const { x = '' } = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' });
  return Buffer.from(x, 'base64url');
}

test('keys that were made as keys are made are points of the group', () => {
  for (let count = 0; count < 50; count += 1) assert.equal(isPrimeOrderPoint(freshKey()), true);
});

test('the keys of RFC 8032 section 7.1 are points of the group', () => {
  for (const hex of [
    'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    '278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e',
  ]) {
    assert.equal(isPrimeOrderPoint(Buffer.from(hex, 'hex')), true, hex);
  }
});

test('the keys of Wycheproof under which anything verifies are points of the group', () => {
  const path = new URL('../vectors/wycheproof/ed25519_test.json', import.meta.url);
  const { testGroups } = JSON.parse(readFileSync(path, 'utf8')) as {
    testGroups: { publicKey: { pk: string }; tests: { result: string }[] }[];
  };
  const good = testGroups.filter(({ tests }) => tests.some(({ result }) => result === 'valid'));
  assert.ok(good.length > 10);
  for (const { publicKey } of good) assert.equal(isPrimeOrderPoint(Buffer.from(publicKey.pk, 'hex')), true);
});

test('points of small order are none of the group', () => {
  const eighth = '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05';
  const other = 'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a';
  const ys = [0n, 1n, PRIME - 1n, yOf(Buffer.from(eighth, 'hex')), yOf(Buffer.from(other, 'hex'))];
  for (const y of ys) for (const sign of [0n, 1n]) assert.equal(isPrimeOrderPoint(encode(y, sign)), false);
});

test('a key plus a point of order two is a point of the curve and none of the group', () => {
  for (let count = 0; count < 20; count += 1) {
    const key = freshKey();
    // (x, y) + (0, −1) = (−x, −y), and −x is odd where x is even
    const shifted = encode(PRIME - yOf(key), 1n - signOf(key));
    assert.equal(isPrimeOrderPoint(shifted), false);
  }
});

test('a y has one spelling: the prime and what lies above it are refused', () => {
  assert.equal(isPrimeOrderPoint(encode(PRIME - 9n)), true, 'the largest y of the group');
  for (let y = PRIME; y < 2n ** 255n; y += 1n) assert.equal(isPrimeOrderPoint(encode(y)), false);
});

test('about half of all y belong to no point', () => {
  let none = 0;
  for (let y = 2n; y < 42n; y += 1n) if (!isPrimeOrderPoint(encode(y))) none += 1;
  assert.ok(none >= 20, 'and of the others, seven in eight are none of the group');
  assert.equal(isPrimeOrderPoint(encode(2n)), false, 'y = 2');
});
