import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Question } from '../../src/revocations/ledger-message.ts';
import { foldAttendances } from '../../src/verifiers/fold-attendances.ts';
import type { ReceivedQuestion } from '../../src/verifiers/question.ts';
import { createPace } from '../../src/verifiers/renew-leases.ts';

function asked(question: Partial<Question>, audience = 'a'): ReceivedQuestion {
  const whole = {
    instance: 'ver_1',
    generation: 1,
    applied_epoch: 0,
    digest: null,
    sensitivities: ['HIGH'],
    ...question,
  } as Question;
  return { question: whole, resource: { audience } as ReceivedQuestion['resource'] };
}

test('questions of one instance are one row: the furthest that it is, the longest that it may hold', () => {
  const first = asked({ applied_epoch: 7, digest: 'seven', sensitivities: ['LOW'] });
  const second = asked({ applied_epoch: 5, digest: 'five', sensitivities: ['HIGH'], leaving: true });
  for (const batch of [
    [first, second],
    [second, first],
  ]) {
    const { attendances, attendanceOf } = foldAttendances(batch);
    assert.deepEqual(attendances, [
      {
        instance: 'ver_1',
        resource: 'a',
        generation: 1,
        appliedEpoch: 7,
        digest: 'seven',
        leaseSeconds: 300,
        leaving: true,
      },
    ]);
    assert.deepEqual(batch.map(attendanceOf), [0, 0]);
  }
});

test('a later generation is further, whatever its epoch', () => {
  const { attendances } = foldAttendances([
    asked({ generation: 1, applied_epoch: 900 }),
    asked({ generation: 2, applied_epoch: 3 }),
  ]);
  assert.deepEqual([attendances[0]?.generation, attendances[0]?.appliedEpoch], [2, 3]);
});

test('an instance that two resources name in one batch is asked about for each: whose it is, the register says', () => {
  const batch = [asked({}, 'thief'), asked({}), asked({ instance: 'ver_2' }, 'thief')];
  const { attendances, attendanceOf } = foldAttendances(batch);
  assert.deepEqual(
    attendances.map(({ instance, resource }) => [instance, resource]),
    [
      ['ver_1', 'thief'],
      ['ver_1', 'a'],
      ['ver_2', 'thief'],
    ],
  );
  assert.deepEqual(batch.map(attendanceOf), [0, 1, 2]);
});

test('a lone batch begins at once, the next one only when more had time to come', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let now = 1_000;
  const clock = { milliseconds: () => now, monotonicMilliseconds: () => now };
  const pace = createPace(clock, 20);
  await pace();
  now += 5;
  let begun = false;
  const next = pace().then(() => {
    begun = true;
  });
  t.mock.timers.tick(14);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(begun, false);
  t.mock.timers.tick(1);
  await next;
  now += 25;
  await pace();
});
