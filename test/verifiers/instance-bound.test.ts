import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refusal } from '../../src/errors/refusal.ts';
import { createInstanceBound } from '../../src/verifiers/instance-bound.ts';

function createBound() {
  let now = 0;
  const clock = { milliseconds: () => now, monotonicMilliseconds: () => now };
  const bound = createInstanceBound({ clock, rate: { perSecond: 1, burst: 3 } });
  return { bound, pass: (milliseconds: number) => (now += milliseconds) };
}

const isTooMany = (error: unknown) => error instanceof Refusal && error.reason === 'client_rate';

test('a resource that makes up instances without end is stopped; those that are known go on', () => {
  const { bound, pass } = createBound();
  const admit = (instance: string, resource = 'a') => bound.admit({ instance, resource });
  for (const instance of ['1', '2', '3']) admit(instance);
  assert.throws(() => admit('4'), isTooMany);
  for (let again = 0; again < 10; again += 1) admit('2');
  admit('4', 'another resource');
  pass(1_000);
  admit('4');
  assert.throws(() => admit('5'), isTooMany);
});

test('a name that another resource has is not known', () => {
  const { bound } = createBound();
  for (const instance of ['1', '2', '3']) bound.admit({ instance, resource: 'a' });
  bound.admit({ instance: '9', resource: 'b' });
  assert.throws(() => bound.admit({ instance: '9', resource: 'a' }), isTooMany);
});
