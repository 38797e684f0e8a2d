import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startPolling } from '../../src/signing-keys/poll.ts';

/** Work that ends when the test says so, and a schedule that fires when the test says so. */
function stage() {
  const runs: PromiseWithResolvers<void>[] = [];
  const due: (() => void)[] = [];
  const failures: unknown[] = [];
  const counts = { atOnce: 0, most: 0 };
  const polling = startPolling({
    work: async () => {
      counts.atOnce += 1;
      counts.most = Math.max(counts.most, counts.atOnce);
      const run = Promise.withResolvers<void>();
      runs.push(run);
      await run.promise.finally(() => {
        counts.atOnce -= 1;
      });
    },
    onFailure: (error) => failures.push(error),
    schedule: (work) => {
      due.push(work);
      return () => due.splice(due.indexOf(work), 1);
    },
  });
  return { polling, runs, due, failures, counts };
}

const settle = () => new Promise(setImmediate);

describe('polling', () => {
  it('waits for the next time only after the work is done', async () => {
    const { runs, due } = stage();
    due.shift()?.();
    await settle();
    assert.deepEqual([runs.length, due.length], [1, 0]);
    runs[0]?.resolve();
    await settle();
    assert.equal(due.length, 1);
  });

  it('goes on after a failure, and tells it', async () => {
    const { runs, due, failures } = stage();
    due.shift()?.();
    await settle();
    runs[0]?.reject(new Error('lost'));
    await settle();
    assert.deepEqual([failures.length, due.length], [1, 1]);
  });

  it('gives whoever asks during a run a run that begins afterwards, one for all of them', async () => {
    const { polling, runs, counts } = stage();
    const order: string[] = [];
    const first = polling.runNow().then(() => order.push('first'));
    const others = Array.from({ length: 5 }, () => polling.runNow().then(() => order.push('other')));
    await settle();
    assert.equal(runs.length, 1);
    runs[0]?.resolve();
    await first;
    const late = polling.runNow();
    await settle();
    assert.equal(runs.length, 2);
    assert.deepEqual(order, ['first'], 'the run that was under way is not theirs');
    runs[1]?.resolve();
    await Promise.all([...others, late]);
    assert.deepEqual(order, ['first', 'other', 'other', 'other', 'other', 'other']);
    assert.equal(counts.most, 1, 'never twice at once');
  });

  it('tells a failure to whoever asked, and runs again for whoever waited', async () => {
    const { polling, runs } = stage();
    const first = polling.runNow();
    const second = polling.runNow();
    runs[0]?.reject(new Error('lost'));
    await assert.rejects(first, /lost/);
    await settle();
    runs[1]?.resolve();
    await second;
  });

  it('ends when closed: after what runs, and nothing follows', async () => {
    const { polling, runs, due } = stage();
    due.shift()?.();
    await settle();
    let isClosed = false;
    const closing = polling.close().then(() => {
      isClosed = true;
    });
    await settle();
    assert.equal(isClosed, false);
    runs[0]?.resolve();
    await closing;
    await settle();
    assert.deepEqual(due, []);
  });
});
