/** What is long, slow or ends too early, in both directions. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { until } from '../broker-process.ts';
import { openClient } from '../http/wire.ts';
import { TOKEN } from '../sdk/hostile-server.ts';
import { codeOf, proxyRequest, startRawUpstream, startTestProxy, whole } from './proxy-world.ts';

const upstream = await startRawUpstream();
const other = await startRawUpstream();
const world = await startTestProxy({ resources: [`${upstream.url}/api`], limits: { bodyBytes: 3_000_000 } });
const { port, credentials } = world;
const place = `${upstream.url}/api`;

test('a body of some size goes through whole in both directions, and one that is too long does not', async () => {
  const body = Buffer.alloc(2_500_000, 'abcdefg');
  upstream.answers(
    ({ socket, head }) => void socket.write(whole(head.slice(head.indexOf('\r\n\r\n') + 4)), 'latin1'),
  );
  const answer = await world.read(`POST ${place}`, {
    body,
    headers: { 'Content-Length': String(body.length) },
  });
  assert.equal(answer.status, 200);
  assert.ok(Buffer.from(answer.body, 'latin1').equals(body));
  upstream.answers(() => undefined);
  const long = await world.read(`POST ${place}`, {
    body: Buffer.alloc(3_000_001, 'x'),
    headers: { 'Transfer-Encoding': 'chunked' },
  });
  assert.equal(codeOf(long), 'body_too_large', long.body);
});

test('a body that somebody called a request is a body, with every method (EGR-08)', async () => {
  const hidden = 'GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n';
  const body = hidden + 'x'.repeat(1_100_000); // more than is kept, so it goes on as it comes
  for (const method of ['DELETE', 'OPTIONS', 'PUT']) {
    const before = upstream.seen.length;
    const chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    upstream.answers(({ socket }) => void socket.end(whole('ok')));
    await world.ask(`${method} ${place}`, { headers: ['Transfer-Encoding: chunked'], body: chunk });
    const [{ head } = assert.fail(method)] = upstream.seen.slice(before);
    assert.match(head, /\r\ntransfer-encoding: chunked\r\n/i, method);
  }
});

test('a program that sends everything before it reads gets an answer that came early', async () => {
  upstream.answers(
    ({ socket }) =>
      void socket.end('HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno'),
  );
  const denied = await startTestProxy({ resources: [upstream.url] });
  denied.broker.answers(TOKEN, { status: 400, body: { code: 'invalid_scope' } });
  const one = await startTestProxy({ resources: [upstream.url] });
  for (const [line, expected, by] of [
    [`POST ${place}`, 'resource 413', one],
    [`POST ${place}`, 'denied', denied],
    [`POST http://${other.host}/`, 'resource_not_declared', one],
  ] as const) {
    const client = by.connect();
    const bytes = 16_000_000; // more than two sockets hold
    const headers = [`Content-Length: ${bytes}`];
    client.write(proxyRequest(line, { headers, credentials: by.credentials }));
    for (let sent = 0; sent < bytes; sent += 100_000) {
      if (!client.socket.write(Buffer.alloc(100_000, 'x')))
        await new Promise((drained) => client.socket.once('drain', drained));
    }
    const answer = await client.answer();
    assert.equal(codeOf(answer), expected);
    client.write(proxyRequest(`GET http://${other.host}/`, { credentials: by.credentials }));
    assert.equal(codeOf(await client.answer()), 'resource_not_declared', 'the connection goes on');
    client.socket.destroy();
  }
});

test('whoever reads slowly is waited for, and nothing piles up meanwhile', async () => {
  let written = 0;
  const total = 100_000_000;
  upstream.answers(({ socket }) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
    const part = Buffer.alloc(100_000, 'x');
    const more = () => {
      while (!socket.destroyed && written < total) {
        written += part.length;
        if (!socket.write(part)) return void socket.once('drain', more);
      }
    };
    more();
  });
  const client = openClient(port);
  client.socket.pause();
  client.write(proxyRequest(`GET ${place}`, { credentials }));
  let last = -1;
  await until(async () => {
    const still = written > 0 && written === last;
    last = written;
    await new Promise((turn) => setTimeout(turn, 200));
    return still;
  }, 'it stands still');
  assert.ok(written < total / 2, `${written} bytes were taken`);
  const { socket } = upstream.seen.at(-1) ?? assert.fail();
  client.socket.destroy();
  await until(() => socket.destroyed, 'the resource is told that nobody reads any more');
});

test('a resource that stops taking what is sent to it is given up after a time', async () => {
  const deaf = createServer({ pauseOnConnect: true });
  await once(deaf.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${(deaf.address() as AddressInfo).port}`;
  const one = await startTestProxy({ resources: [url], upstreamLimits: { idleMilliseconds: 700 } });
  const body = Buffer.alloc(16_000_000, 'x');
  const answer = await one.read(`PUT ${url}/`, { body, headers: { 'Content-Length': String(body.length) } });
  assert.deepEqual([codeOf(answer), answer.status], ['resource_silent', 504]);
  deaf.close();
});

test('an answer that goes on arrives as it comes, and nobody waits for its end', async () => {
  const started = Promise.withResolvers<Socket>();
  upstream.answers(({ socket }) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n');
    started.resolve(socket);
  });
  const client = openClient(port);
  client.write(proxyRequest(`GET ${place}`, { credentials }));
  const socket = await started.promise;
  await until(() => client.received().includes('text/event-stream'), 'the header is there');
  for (const event of ['data: one\n\n', 'data: two\n\n']) {
    socket.write(`b\r\n${event}\r\n`);
    await until(() => client.received().includes(event), event);
  }
  client.socket.destroy();
  await until(() => socket.destroyed, 'the resource is told that nobody listens any more');
});

test('a long body that was not let in for want of a nonce may be sent again, and says so', async () => {
  const challenge =
    'WWW-Authenticate: DPoP error="use_dpop_nonce"\r\nDPoP-Nonce: fresh\r\nContent-Length: 0\r\n\r\n';
  upstream.answers(({ socket, head }) =>
    socket.write(
      /\r\ndpop: [^.]+\.([^.]+)/i.exec(head)?.[1] && nonceOf(head) === 'fresh'
        ? whole('ok')
        : `HTTP/1.1 401 Unauthorized\r\n${challenge}`,
    ),
  );
  const one = await startTestProxy({ resources: [upstream.url] });
  const body = Buffer.alloc(1_500_000, 'x');
  const long = { body, headers: { 'Content-Length': String(body.length) } };
  const first = await one.read(`PUT ${place}`, long);
  assert.deepEqual(
    [codeOf(first), first.status, first.headers.get('retry-after')],
    ['nonce_needed', 503, ['1']],
  );
  const second = await one.read(`PUT ${place}`, long);
  assert.equal(second.status, 200, second.body);
  const other = await startTestProxy({ resources: [upstream.url] });
  assert.equal(
    (await other.read(`PUT ${place}`, { body: 'short' })).status,
    200,
    'what is short is sent again here',
  );
});

function nonceOf(head: string): unknown {
  const [, claims = ''] = /\r\ndpop: [^.]+\.([^.]+)/i.exec(head) ?? [];
  return JSON.parse(Buffer.from(claims, 'base64url').toString() || '{}').nonce;
}

test('the end of the run ends what is under way, also for who holds on to a tunnel that was refused', async () => {
  const one = await startTestProxy({ resources: [upstream.url] });
  upstream.answers(() => undefined);
  const tunnel = connect({ port: one.port, host: '127.0.0.1', allowHalfOpen: true });
  tunnel.on('error', () => undefined);
  tunnel.write(proxyRequest('CONNECT a.test:443', { host: 'a.test:443', credentials: one.credentials }));
  await once(tunnel, 'data');
  const asked = upstream.seen.length;
  const client = one.connect();
  client.write(proxyRequest(`GET ${place}`, { credentials: one.credentials }));
  await until(() => upstream.seen.length > asked, 'something is under way');
  await one.proxy.close();
  await client.closed();
  await until(() => upstream.seen.at(-1)?.socket.destroyed === true, 'and it is not any more');
  tunnel.destroy();
});
