import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLanes } from '../../src/bounds/lanes.ts';
import { until } from '../broker-process.ts';

/** Batches that wait until the test lets them go. */
function gatedLanes(options: { lanes: number; maxBatch: number; maxWaiting: number }) {
  const batches: { items: readonly number[]; finish: () => void; fail: (error: Error) => void }[] = [];
  const lanes = createLanes<number, string>({
    ...options,
    run: (items) =>
      new Promise((resolve, reject) => {
        batches.push({
          items,
          finish: () => resolve(items.map((item) => ({ status: 'fulfilled', value: `done ${item}` }))),
          fail: reject,
        });
      }),
  });
  return { lanes, batches };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

test('what arrives while all lanes are busy becomes the next batch', async () => {
  const { lanes, batches } = gatedLanes({ lanes: 1, maxBatch: 10, maxWaiting: 100 });
  const first = lanes.submit(1);
  await turn();
  const others = [2, 3, 4].map((item) => lanes.submit(item));
  await turn();
  assert.deepEqual(
    batches.map(({ items }) => items),
    [[1]],
  );
  batches[0]?.finish();
  assert.equal(await first, 'done 1');
  await turn();
  assert.deepEqual(batches[1]?.items, [2, 3, 4]);
  batches[1]?.finish();
  assert.deepEqual(await Promise.all(others), ['done 2', 'done 3', 'done 4']);
  await lanes.idle();
});

test('a batch that is worth it takes the other lane at once', async () => {
  const { lanes, batches } = gatedLanes({ lanes: 2, maxBatch: 64, maxWaiting: 100 });
  const first = lanes.submit(0);
  await turn();
  const others = Array.from({ length: 24 }, (_, item) => lanes.submit(item + 1));
  await turn();
  assert.deepEqual(
    batches.map(({ items }) => items.length),
    [1, 24],
  );
  for (const batch of batches) batch.finish();
  await Promise.all([first, ...others]);
});

test('a slow batch does not hold up the other lane for long, even for one request', async () => {
  const { lanes, batches } = gatedLanes({ lanes: 2, maxBatch: 64, maxWaiting: 100 });
  const slow = lanes.submit(1);
  await turn();
  const quick = lanes.submit(2);
  await turn();
  assert.equal(batches.length, 1, 'one request is not worth a lane yet');
  await until(() => batches.length === 2, 'patience is lost');
  batches[1]?.finish();
  assert.equal(await quick, 'done 2');
  batches[0]?.finish();
  await slow;
});

test('no batch is larger than its bound, and nobody is left behind', async () => {
  const { lanes, batches } = gatedLanes({ lanes: 1, maxBatch: 4, maxWaiting: 100 });
  const all = Array.from({ length: 10 }, (_, item) => lanes.submit(item));
  for (let count = 0; count < 3; count += 1) {
    await turn();
    await turn();
    batches[count]?.finish();
  }
  assert.equal((await Promise.all(all)).length, 10);
  assert.deepEqual(
    batches.map(({ items }) => items.length),
    [4, 4, 2],
  );
});

test('more than may wait are refused at once', async () => {
  const { lanes, batches } = gatedLanes({ lanes: 1, maxBatch: 1, maxWaiting: 2 });
  const running = lanes.submit(0);
  await turn();
  const waiting = [lanes.submit(1), lanes.submit(2)];
  assert.throws(() => lanes.submit(3), { code: 'temporarily_unavailable', reason: 'queue_full' });
  for (let index = 0; index < 3; index += 1) {
    batches[index]?.finish();
    await turn();
    await turn();
  }
  await Promise.all([running, ...waiting]);
});

test('a batch that fails as a whole fails each of its items, and the lane goes on', async () => {
  const { lanes, batches } = gatedLanes({ lanes: 1, maxBatch: 2, maxWaiting: 10 });
  const doomed = [lanes.submit(1), lanes.submit(2)];
  await turn();
  batches[0]?.fail(new Error('gone'));
  for (const result of await Promise.allSettled(doomed)) assert.equal(result.status, 'rejected');
  const next = lanes.submit(3);
  await turn();
  batches[1]?.finish();
  assert.equal(await next, 'done 3');
});

test('what arrives while a lane gathers is in the batch that it forms afterwards', async () => {
  const gate = Promise.withResolvers<void>();
  const batches: (readonly number[])[] = [];
  const lanes = createLanes<number, number>({
    lanes: 1,
    maxBatch: 10,
    maxWaiting: 100,
    gather: () => gate.promise,
    async run(items) {
      batches.push(items);
      return items.map((value) => ({ status: 'fulfilled', value }));
    },
  });
  const first = lanes.submit(1);
  await turn();
  const second = lanes.submit(2);
  await turn();
  assert.deepEqual(batches, []);
  gate.resolve();
  assert.deepEqual(await Promise.all([first, second]), [1, 2]);
  assert.deepEqual(batches, [[1, 2]]);
});
