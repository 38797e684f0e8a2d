import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { describe, test } from 'node:test';
import { ListenError } from '../../src/http/listen-error.ts';
import { createListener } from '../../src/http/listener.ts';
import { systemClock } from '../../src/time/clock.ts';
import { soakFactor } from '../soak.ts';
import {
  assertOracle,
  becomesTrue,
  FORM,
  header,
  noConnections,
  openClient,
  postForm,
  request,
  send,
  startEdge,
} from './wire.ts';

const SHORT = {
  headersMilliseconds: 200,
  requestMilliseconds: 400,
  keepAliveMilliseconds: 200,
  idleSocketMilliseconds: 500,
  connectionCheckMilliseconds: 50,
};

const SLOW_SENDERS = soakFactor() > 1 ? 5_000 : 200;

const GOOD = 'grant_type=client_credentials';

describe('TRN-20: who is slow is cut off, and nobody else waits', () => {
  test('a header that never ends is answered 408 as JSON', async (context) => {
    const edge = await startEdge(context, { limits: { ...SHORT, requestMilliseconds: 60_000 } });
    const client = openClient(edge.port);
    client.write('POST /oauth/token HTTP/1.1\r\nHost: a\r\nX-Slow: ');
    const answer = await client.answer();
    assert.equal(answer?.status, 408);
    assert.equal(header(answer, 'connection'), 'close');
    await client.closed();
    await assertOracle(edge, answer);
  });

  test('a body that never ends is answered 408 as JSON and reaches no handler', async (context) => {
    const edge = await startEdge(context, { limits: { ...SHORT, idleSocketMilliseconds: 60_000 } });
    const client = openClient(edge.port);
    client.write(request('POST /oauth/token', { headers: [FORM, ['Content-Length', '100']] }));
    client.write('grant_type=');
    const answer = await client.answer();
    assert.equal(answer?.status, 408);
    await client.closed();
    assert.equal(edge.calls.length, 0);
    await assertOracle(edge, answer);
  });

  test(`${SLOW_SENDERS} slow senders are all cut off while others are answered`, async (context) => {
    const edge = await startEdge(context, { limits: SHORT });
    const slow = Array.from({ length: SLOW_SENDERS }, () => openClient(edge.port));
    const drips = setInterval(() => {
      for (const client of slow) if (client.socket.writable) client.write('x');
    }, 50);
    for (const client of slow) client.write('POST /oauth/token HTTP/1.1\r\nX-Slow: ');
    const allClosed = Promise.all(slow.map((client) => client.closed()));
    let answered = 0;
    let isOver = false;
    void allClosed.then(() => {
      isOver = true;
    });
    while (!isOver) {
      const answer = await send(edge.port, postForm(GOOD));
      assert.equal(answer?.status, 200);
      answered += 1;
    }
    clearInterval(drips);
    assert.ok(answered > 1);
  });

  test('a connection that says nothing is closed', async (context) => {
    const edge = await startEdge(context, { limits: SHORT });
    const client = openClient(edge.port);
    await client.closed();
    await assertOracle(edge, null);
  });
});

describe('TRN-22: who does not read is cut off', () => {
  test('an answer that nobody reads holds its connection only so long', async (context) => {
    let reach = () => {};
    const reached = new Promise<void>((resolve) => {
      reach = resolve;
    });
    const answer = () => {
      reach();
      return { text: JSON.stringify('x'.repeat(30_000_000)) };
    };
    const edge = await startEdge(context, {
      limits: SHORT,
      routes: [{ method: 'GET', path: '/big', format: 'oauth', may: 'anyone', answer }],
    });
    const client = openClient(edge.port);
    client.socket.pause();
    client.write(request('GET /big'));
    await reached;
    await noConnections(edge);
    client.socket.destroy();
    assert.equal((await send(edge.port, request('GET /nowhere')))?.status, 404);
  });
});

describe('TRN-26: connections have a bound', () => {
  test('a connection is closed after so many requests', async (context) => {
    const edge = await startEdge(context, { limits: { requestsPerSocket: 5 } });
    const client = openClient(edge.port);
    for (let count = 1; count <= 5; count += 1) {
      client.write(postForm(GOOD));
      const answer = await client.answer();
      assert.equal(answer?.status, 200);
      assert.equal(header(answer, 'connection'), count === 5 ? 'close' : 'keep-alive');
    }
    await client.closed();
    await assertOracle(edge, null);
  });

  test('requests that are sent past the bound in one packet reach no handler', async (context) => {
    const edge = await startEdge(context, { limits: { requestsPerSocket: 3 } });
    const client = openClient(edge.port);
    client.write(Buffer.concat(Array.from({ length: 10 }, () => postForm(GOOD))));
    await client.closed();
    assert.equal(edge.calls.length, 3);
  });

  test('an idle connection is closed', async (context) => {
    const edge = await startEdge(context, { limits: SHORT });
    const client = openClient(edge.port);
    client.write(postForm(GOOD));
    assert.equal((await client.answer())?.status, 200);
    await client.closed();
  });

  test('past the number of connections allowed, new ones are closed and old ones served', async (context) => {
    const edge = await startEdge(context, { limits: { connections: 3 } });
    const held = [openClient(edge.port), openClient(edge.port), openClient(edge.port)];
    for (const client of held) {
      client.write(postForm(GOOD));
      assert.equal((await client.answer())?.status, 200);
    }
    const refused = openClient(edge.port);
    await refused.closed();
    assert.equal(refused.received(), '');
    held[0]?.write(postForm(GOOD));
    assert.equal((await held[0]?.answer())?.status, 200);
    for (const client of held) client.socket.destroy();
    await Promise.all(held.map((client) => client.closed()));
    await noConnections(edge);
    await assertOracle(edge, null);
  });
});

describe('A stop is a drain', () => {
  /** An edge whose one route answers when it is told to. */
  async function startSlowEdge(context: Parameters<typeof startEdge>[0]) {
    const releases: (() => void)[] = [];
    const edge = await startEdge(context, {
      routes: [
        {
          method: 'GET',
          path: '/slow',
          format: 'oauth',
          may: 'anyone',
          answer: () => new Promise((resolve) => releases.push(() => resolve({ body: 'done' }))),
        },
      ],
    });
    const client = openClient(edge.port);
    client.write(request('GET /slow'));
    await becomesTrue(() => releases.length > 0);
    return { edge, client, release: () => releases.shift()?.() };
  }

  test('what is being answered gets its answer, and then the connection closes', async (context) => {
    const { edge, client, release } = await startSlowEdge(context);
    const drained = edge.listener.drain({ withinMilliseconds: 10_000 });
    release();
    const answer = await client.answer();
    assert.equal(answer?.status, 200);
    assert.equal(header(answer, 'connection'), 'close');
    await drained;
    await client.closed();
    await noConnections(edge);
  });

  test('nothing new is accepted, idle and silent connections are closed at once', async (context) => {
    const { edge, client, release } = await startSlowEdge(context);
    const idle = openClient(edge.port);
    idle.write(request('GET /nowhere'));
    await idle.answer();
    const silent = openClient(edge.port);
    await new Promise((resolve) => silent.socket.once('connect', resolve));
    await becomesTrue(() => edge.listener.connections() >= 3);
    const drained = edge.listener.drain({ withinMilliseconds: 10_000 });
    await Promise.all([idle.closed(), silent.closed()]);
    const late = openClient(edge.port);
    await late.closed();
    assert.equal(late.received(), '');
    release();
    assert.equal((await client.answer())?.status, 200);
    await drained;
  });

  test('a second request on a connection that is open is served and then it closes', async (context) => {
    const { edge, client, release } = await startSlowEdge(context);
    const half = openClient(edge.port);
    half.write(`${request('GET /nowhere')}GET /nowhere HTTP/1.1\r\nHo`); // one packet, so both have been read
    assert.equal((await half.answer())?.status, 404);
    const drained = edge.listener.drain({ withinMilliseconds: 10_000 });
    half.write('st: a\r\n\r\n');
    const answer = await half.answer();
    assert.equal(answer?.status, 404);
    assert.equal(header(answer, 'connection'), 'close');
    release();
    await client.answer();
    await drained;
  });

  test('behind a front, what comes on a connection that was idle is answered, and is the last on it', async (context) => {
    const { edge, client, release } = await startSlowEdge(context);
    const idle = openClient(edge.port);
    idle.write(request('GET /nowhere'));
    await idle.answer();
    const drained = edge.listener.drain({ withinMilliseconds: 10_000, lingerMilliseconds: 60_000 });
    idle.write(request('GET /nowhere'));
    const last = await idle.answer();
    assert.deepEqual([last?.status, header(last, 'connection')], [404, 'close']);
    await idle.closed();
    const late = openClient(edge.port);
    late.write(request('GET /nowhere'));
    assert.equal(header(await late.answer(), 'connection'), 'close');
    release();
    await client.answer();
    await drained; // and not only after a minute: nobody is connected any more
  });

  test('what takes longer than allowed is cut off, and said so', async (context) => {
    const { edge, client } = await startSlowEdge(context);
    await edge.listener.drain({ withinMilliseconds: 50 });
    await client.closed();
    assert.equal(client.received(), '');
    await noConnections(edge);
    assert.match(edge.logged[0]?.message ?? '', /drain took too long/);
  });

  test('draining twice is draining once', async (context) => {
    const edge = await startEdge(context);
    await Promise.all([
      edge.listener.drain({ withinMilliseconds: 1_000 }),
      edge.listener.drain({ withinMilliseconds: 1_000 }),
    ]);
  });
});

describe('A port that cannot be had', () => {
  const listenerOn = (host: string, port: number, portSetting: string) =>
    createListener({
      app: () => {},
      host,
      port,
      portSetting,
      log: { info() {}, warn() {}, error() {} },
      clock: systemClock,
    });

  test('because it is taken is named, with the setting that chooses another', async (context) => {
    const edge = await startEdge(context);
    await assert.rejects(listenerOn('127.0.0.1', edge.port, 'MAYFLY_METRICS_PORT').listen(), (error) => {
      assert.ok(error instanceof ListenError);
      assert.match(error.message, new RegExp(`Port ${edge.port} on 127.0.0.1 is taken`));
      assert.match(error.message, /MAYFLY_METRICS_PORT/);
      return true;
    });
  });

  test('because the address is not of this machine is named', async () => {
    await assert.rejects(listenerOn('192.0.2.1', 0, 'MAYFLY_PORT').listen(), /no address 192\.0\.2\.1/);
  });

  test('port 0 takes a free one and tells which', async () => {
    const listener = listenerOn('127.0.0.1', 0, 'MAYFLY_PORT');
    const { port, url } = await listener.listen();
    assert.equal(url, `http://127.0.0.1:${port}`);
    const other = createServer();
    const error = await new Promise((resolve) => other.once('error', resolve).listen(port, '127.0.0.1'));
    assert.equal((error as NodeJS.ErrnoException).code, 'EADDRINUSE');
    await listener.drain({ withinMilliseconds: 0 });
  });
});
