import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { createNonces, NONCE_STEP_SECONDS } from '../../src/dpop/nonce.ts';
import { fc } from '../properties.ts';

function clockAt(seconds: number) {
  const clock = {
    seconds,
    milliseconds: () => clock.seconds * 1000,
    monotonicMilliseconds: () => clock.seconds * 1000,
  };
  return clock;
}

const secret = () => createSecretKey(randomBytes(32));

test('a nonce is good for the rest of its step and the whole next one, and not longer', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1_000_000, max: 2_000_000_000 }), fc.nat(200), (start, later) => {
      const clock = clockAt(start);
      const current = secret();
      const nonces = createNonces({ secrets: () => ({ current }), clock });
      const nonce = nonces.current();
      clock.seconds += later;
      const steps = Math.floor(clock.seconds / NONCE_STEP_SECONDS) - Math.floor(start / NONCE_STEP_SECONDS);
      const began = Math.floor(start / NONCE_STEP_SECONDS) * NONCE_STEP_SECONDS;
      assert.equal(nonces.issuedAt(nonce), steps <= 1 ? began : null);
    }),
  );
});

test('replicas with one secret accept what the other one gave out, one step apart at most', () => {
  const current = secret();
  const ahead = clockAt(1_000_030);
  const behind = clockAt(1_000_000);
  const [one, two] = [ahead, behind].map((clock) => createNonces({ secrets: () => ({ current }), clock }));
  assert.notEqual(two?.issuedAt(one?.current() ?? ''), null);
  assert.notEqual(one?.issuedAt(two?.current() ?? ''), null);
});

test('a nonce of another secret, or a made-up one, is none', () => {
  const clock = clockAt(1_000_000);
  const mine = createNonces({ secrets: () => ({ current: CURRENT }), clock });
  const theirs = createNonces({ secrets: () => ({ current: OTHER }), clock });
  assert.equal(mine.issuedAt(theirs.current()), null);
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.equal(mine.issuedAt(text), null);
    }),
  );
});
const CURRENT = secret();
const OTHER = secret();

test('after the secret was rotated the old nonces are good until their time is over', () => {
  const clock = clockAt(1_000_000);
  let secrets: { current: typeof CURRENT; previous?: typeof CURRENT } = { current: CURRENT };
  const nonces = createNonces({ secrets: () => secrets, clock });
  const nonce = nonces.current();
  secrets = { current: OTHER, previous: CURRENT };
  assert.notEqual(nonces.current(), nonce);
  assert.notEqual(nonces.issuedAt(nonce), null);
  clock.seconds += 2 * NONCE_STEP_SECONDS;
  assert.equal(nonces.issuedAt(nonce), null);
});

test('a nonce has the characters that RFC 9449 section 8.1 allows', () => {
  fc.assert(
    fc.property(fc.nat(2_000_000_000), (seconds) => {
      const nonces = createNonces({ secrets: () => ({ current: CURRENT }), clock: clockAt(seconds) });
      assert.match(nonces.current(), /^[\x21\x23-\x5b\x5d-\x7e]{22}$/);
    }),
  );
});
