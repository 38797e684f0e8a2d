import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFleetPace } from '../../src/verifiers/hurry.ts';

function createPace() {
  let now = 0;
  const clock = { milliseconds: () => now, monotonicMilliseconds: () => now };
  const pace = createFleetPace({ clock });
  const ask = (instances: number) => {
    for (let n = 0; n < instances; n += 1) pace.heard(`ver_${n}`);
  };
  return { pace, ask, pass: (milliseconds: number) => (now += milliseconds) };
}

test('few verifiers hurry at once, a thousand as often as they renew, and never more than that a second', () => {
  for (const fleet of [0, 1, 3, 40, 200, 1_000, 5_000]) {
    const { pace, ask } = createPace();
    ask(fleet);
    const { pause_milliseconds: pause, spread_milliseconds: spread } = pace.hurry();
    assert.ok(
      pause >= 50 && pause <= 1_000 && spread <= 50 && spread < pause,
      `${fleet}: ${pause}, ${spread}`,
    );
    if (fleet <= 1_000) assert.ok((fleet * 1_000) / pause <= 1_000, 'questions a second');
    if (fleet <= 3) assert.ok(spread <= 1);
    if (fleet >= 1_000) assert.deepEqual([pause, spread], [1_000, 50]);
  }
});

test('each is counted once, however often it asks, and those that are gone are forgotten', () => {
  const { pace, ask, pass } = createPace();
  for (let second = 0; second < 4; second += 1) {
    for (let again = 0; again < 5; again += 1) ask(200);
    assert.equal(pace.hurry().pause_milliseconds, 200);
    pass(1_000);
  }
  for (let second = 0; second < 5; second += 1) {
    ask(10);
    pass(1_000);
  }
  assert.equal(pace.hurry().pause_milliseconds, 50);
  ask(300);
  pass(10_000);
  ask(1);
  assert.equal(pace.hurry().pause_milliseconds, 50, 'it was quiet for long');
});
