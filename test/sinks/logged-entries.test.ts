import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLoggedEntries } from '../../src/sinks/logged-entries.ts';
import { readSinkLags } from '../../src/sinks/sink-lags.ts';
import { manualTime, START, sampleDocument } from './sample-log.ts';

/** A log of `count` leaves; the text of those below `dropped` is past its retention. */
function log({ count, dropped = 0, size = count }: { count: number; dropped?: number; size?: number }) {
  const asked: [index: number, limit: number][] = [];
  const state = { size };
  const reader = createLoggedEntries({
    async readFrom(index, limit) {
      asked.push([index, limit]);
      const indexes = Array.from(
        { length: Math.max(0, Math.min(limit, count - index)) },
        (_, n) => index + n,
      );
      return indexes.map((at) => ({ index: at, entry: at < dropped ? null : sampleDocument(at) }));
    },
    size: async () => state.size,
  });
  return { reader, asked, state };
}

const indexesOf = (entries: readonly { index: number }[]) => entries.map(({ index }) => index);

test('what no signed head covers is not read', async () => {
  const { reader, state } = log({ count: 10, size: 4 });
  assert.deepEqual(indexesOf(await reader.readFrom(2, 100)), [2, 3]);
  assert.deepEqual(await reader.readFrom(4, 100), []);
  state.size = 6;
  assert.deepEqual(indexesOf(await reader.readFrom(4, 100)), [4, 5]);
});

test('entries without their text are passed over, and not looked at again', async () => {
  const { reader, asked } = log({ count: 20_010, dropped: 20_000 });
  assert.deepEqual(indexesOf(await reader.readFrom(3, 5)), [20_000, 20_001, 20_002, 20_003, 20_004]);
  const first = asked.splice(0).length;
  assert.ok(first <= 6, `${first} questions`);
  assert.deepEqual(indexesOf(await reader.readFrom(3, 2)), [20_000, 20_001]);
  assert.ok(asked.length <= 2, `${asked.length} questions`);
});

test('a call passes over a bounded number of them, and the next one goes on there', async () => {
  const { reader, asked } = log({ count: 300_001, dropped: 300_000 });
  assert.deepEqual(await reader.readFrom(0, 500), []);
  assert.ok(asked.length <= 20);
  let found: number[] = [];
  for (let calls = 0; calls < 5 && found.length === 0; calls += 1)
    found = indexesOf(await reader.readFrom(0, 500));
  assert.deepEqual(found, [300_000]);
});

test('the lag of a sink is what it has not delivered, and how old the oldest of it is', async () => {
  const { reader } = log({ count: 10 });
  const { clock } = manualTime();
  const state = {
    name: 'siem',
    nextIndex: 7,
    holder: null,
    movedAt: null,
    failingSince: null,
    failure: null,
    parked: 0,
  };
  const lags = await readSinkLags({
    names: ['siem', 'new'],
    store: { list: async () => [state, { ...state, name: 'not-declared-any-more' }] },
    reader,
    size: async () => 10,
    clock: { ...clock, milliseconds: () => START + 60_007 },
  });
  assert.deepEqual(
    lags.map(({ name, entries, seconds }) => [name, entries, Math.round(seconds)]),
    [
      ['siem', 3, 60],
      ['new', 10, 60],
    ],
  );
});
