import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Refusal } from '../../src/errors/refusal.ts';
import type { AnswerStream, Route } from '../../src/http/route.ts';
import { becomesTrue, noConnections, openClient, request, startEdge } from './wire.ts';

type Counted = { made: number; closed: number; ended: boolean };

/** A route that streams, and what became of its stream. */
async function startStream(
  t: TestContext,
  makePieces: (signal: AbortSignal, counted: Counted) => AsyncIterable<string>,
) {
  const counted: Counted = { made: 0, closed: 0, ended: false };
  const stream: AnswerStream = {
    async *pieces(signal) {
      try {
        for await (const piece of makePieces(signal, counted)) {
          counted.made += 1;
          yield piece;
        }
      } finally {
        counted.ended = true;
      }
    },
    close() {
      counted.closed += 1;
    },
  };
  const route: Route = {
    method: 'GET',
    path: '/feed',
    format: 'problem',
    may: 'anyone',
    answer: () => ({ headers: { 'Content-Type': 'text/event-stream' }, stream }),
  };
  const edge = await startEdge(t, { routes: [route] });
  const client = openClient(edge.port);
  return { counted, edge, client };
}

const forEver = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));

test('pieces are sent as they are made, and the end of the stream ends the connection', async (t) => {
  const { counted, edge, client } = await startStream(t, async function* () {
    yield 'one\n\n';
    yield 'two\n\n';
  });
  client.write(request('GET /feed'));
  await client.closed();
  const text = client.received();
  assert.match(text, /^HTTP\/1\.1 200 /);
  assert.match(text, /\r\nContent-Type: text\/event-stream\r\n/);
  assert.match(text, /\r\nConnection: close\r\n/);
  assert.doesNotMatch(text, /content-length/i);
  assert.match(text, /one\n\n[\s\S]*two\n\n/);
  assert.equal(counted.closed, 1);
  await noConnections(edge);
});

test('HEAD gets the head and no piece is made', async (t) => {
  const { counted, client } = await startStream(t, async function* () {
    yield 'one';
  });
  client.write(request('HEAD /feed'));
  await client.closed();
  assert.match(client.received(), /^HTTP\/1\.1 200 /);
  assert.deepEqual(counted, { made: 0, closed: 1, ended: false });
});

test('who takes nothing is made nothing more for, however long the stream', async (t) => {
  const piece = 'x'.repeat(65_536);
  const { counted, edge, client } = await startStream(t, async function* () {
    for (;;) yield piece;
  });
  client.socket.pause();
  client.write(request('GET /feed'));
  await becomesTrue(() => counted.made > 0);
  let before = -1;
  for (let quiet = 0; quiet < 50; ) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    quiet = counted.made === before ? quiet + 1 : 0;
    before = counted.made;
  }
  assert.ok(counted.made < 400, `${counted.made} pieces are more than the sockets hold`);
  client.socket.destroy();
  await becomesTrue(() => counted.closed === 1 && counted.ended);
  await noConnections(edge);
});

test('who goes away while nothing is sent is noticed at once', async (t) => {
  const { counted, edge, client } = await startStream(t, async function* (signal) {
    yield 'one';
    await forEver(signal);
    yield 'two';
  });
  client.write(request('GET /feed'));
  await becomesTrue(() => client.received().includes('one'));
  client.socket.destroy();
  await becomesTrue(() => counted.closed === 1 && counted.ended);
  await noConnections(edge);
  assert.deepEqual(
    edge.logged.filter(({ level }) => level === 'error'),
    [],
  );
});

for (const [what, thrown, errors] of [
  ['an outage', new Refusal('database_unavailable'), 0],
  ['a defect', new TypeError('a defect'), 1],
] as const) {
  test(`${what} in the middle breaks the connection; only a defect is logged as one`, async (t) => {
    const { counted, edge, client } = await startStream(t, async function* () {
      yield 'one';
      throw thrown;
    });
    client.write(request('GET /feed'));
    await client.closed();
    assert.doesNotMatch(client.received(), /\r\n0\r\n\r\n$/, 'it does not look whole');
    assert.equal(counted.closed, 1);
    assert.equal(edge.logged.filter(({ level }) => level === 'error').length, errors);
  });
}
