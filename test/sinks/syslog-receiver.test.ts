import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { createSyslogReceiver, type SyslogTarget } from '../../src/sinks/syslog-receiver.ts';
import { makeCertificate } from '../test-certificate.ts';
import { startSyslogCollector, tls } from './collectors.ts';
import { becomesTrue, sampleDocument, sampleLog } from './sample-log.ts';

const { entries } = sampleLog(20);
const idsOf = (messages: readonly string[]) => messages.map((message) => / id="([^"]+)"/.exec(message)?.[1]);
const ids = (from: number, to: number) => entries.slice(from, to).map(({ document: { id } }) => id);

const large = entries.map(({ index }) => ({
  index,
  document: sampleDocument(index, { details: { text: 'x'.repeat(60_000) } }),
}));

function receiverOf(port: number, more: Partial<SyslogTarget> = {}) {
  return createSyslogReceiver(
    {
      host: '127.0.0.1',
      port,
      serverName: 'localhost',
      tls: { ca: tls.certificate },
      format: 'native',
      hostName: 'broker.example',
      maxMessageBytes: 8_192,
      ...more,
    },
    { timeoutMilliseconds: 500 },
  );
}

test('messages of one window share a connection, and the next window has its own', async (t) => {
  const collector = await startSyslogCollector();
  t.after(() => collector.stop());
  const receiver = receiverOf(collector.port);
  await receiver.deliver(entries.slice(0, 5));
  await receiver.deliver(entries.slice(5, 9));
  assert.equal(collector.connections, 1);
  assert.equal(await receiver.confirm?.(), true);
  assert.deepEqual(idsOf(collector.messages), ids(0, 9), 'read, once that is confirmed');
  await receiver.deliver(entries.slice(9, 10));
  assert.equal(await receiver.confirm?.(), true);
  assert.equal(collector.connections, 2);
  assert.equal(await receiver.confirm?.(), true, 'nothing was sent since');
});

test('a line break or a number in a name is no end of a message', async (t) => {
  const collector = await startSyslogCollector();
  t.after(() => collector.stop());
  const receiver = receiverOf(collector.port);
  const names = ['a\n99 <13>1 - forged', '5 abcde', '\r\n', '\u2028', 'é'.repeat(500), '\u{1f600}"]\\'];
  const batch = names.map((actor, index) => ({ index, document: sampleDocument(index, { actor }) }));
  await receiver.deliver(batch);
  assert.equal(await receiver.confirm?.(), true);
  assert.equal(collector.messages.length, names.length);
  const actors = collector.messages.map(
    (message) => JSON.parse(message.slice(message.indexOf('] {') + 2)).actor,
  );
  assert.deepEqual(actors, names);
});

test('what was sent does not count when the other side ended first, broke, or stays silent', async (t) => {
  const collector = await startSyslogCollector();
  t.after(() => collector.stop());
  const ended = receiverOf(collector.port);
  collector.heard = (_, socket) => socket.end();
  await ended.deliver(entries.slice(0, 1));
  await becomesTrue(async () => (await ended.deliver(entries.slice(1, 2))).outcome === 'failed');

  const asked = receiverOf(collector.port);
  const isOver = () => collector.closed === collector.connections;
  await becomesTrue(isOver, 'the end of those before');
  const before = collector.connections;
  await asked.deliver(entries.slice(0, 1));
  await becomesTrue(() => collector.connections > before && isOver(), 'the other side’s end');
  assert.equal(await asked.confirm?.(), false);

  const broken = receiverOf(collector.port, { maxMessageBytes: 100_000 });
  collector.heard = (_, socket) => socket.destroy(); // with more unread behind it
  const { outcome } = await broken.deliver(large);
  assert.ok(outcome === 'failed' || (await broken.confirm?.()) === false);

  const mute = await startSyslogCollector({ allowHalfOpen: true });
  t.after(() => mute.stop());
  const silent = receiverOf(mute.port);
  await silent.deliver(entries.slice(0, 1));
  assert.equal(await silent.confirm?.(), false);
});

test('a receiver that takes nothing any more is an outage, not a wait without an end', async (t) => {
  const collector = await startSyslogCollector();
  t.after(() => collector.stop());
  collector.heard = (_, socket) => socket.pause();
  const receiver = receiverOf(collector.port, { maxMessageBytes: 100_000 });
  await receiver.deliver(large.slice(0, 1));
  await becomesTrue(async () => (await receiver.deliver(large)).outcome === 'failed');
});

test('only its authority is trusted, and only for the name, whatever the environment says', async (t) => {
  const collector = await startSyslogCollector();
  t.after(() => collector.stop());
  const insecure = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  t.after(() => {
    if (insecure === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    else process.env.NODE_TLS_REJECT_UNAUTHORIZED = insecure;
  });
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  const stranger = { ca: makeCertificate(['localhost']).certificate };
  for (const more of [{ tls: stranger }, { serverName: 'siem.example' }, { serverName: '10.0.0.1' }]) {
    const delivery = await receiverOf(collector.port, more).deliver(entries.slice(0, 1));
    assert.equal(delivery.outcome, 'failed', JSON.stringify(more));
  }
  assert.deepEqual(collector.messages, []);
  const byAddress = receiverOf(collector.port, { serverName: '127.0.0.1' });
  assert.deepEqual(await byAddress.deliver(entries.slice(0, 1)), { outcome: 'accepted' });
  await byAddress.close();
});

test('a client certificate is shown where one is wanted', async (t) => {
  const client = makeCertificate(['client.example']);
  const collector = await startSyslogCollector({
    requestCert: true,
    rejectUnauthorized: true,
    ca: client.certificate,
  });
  t.after(() => collector.stop());
  const known = receiverOf(collector.port, {
    tls: { ca: tls.certificate, certificate: client.certificate, privateKey: client.privateKey },
  });
  await known.deliver(entries.slice(0, 2));
  assert.equal(await known.confirm?.(), true);
  const unknown = receiverOf(collector.port);
  await unknown.deliver(entries.slice(2, 3));
  assert.equal(await unknown.confirm?.(), false);
  assert.deepEqual(idsOf(collector.messages), ids(0, 2));
});

test('plain text, and a server that never finishes its handshake, are outages', async (t) => {
  const plain = createServer((socket) => {
    socket.on('error', () => {});
    socket.write('<13>hello\n');
  });
  const silent = createServer((socket) => socket.on('error', () => {}));
  for (const server of [plain, silent]) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const receiver = receiverOf((server.address() as AddressInfo).port);
    assert.equal((await receiver.deliver(entries.slice(0, 1))).outcome, 'failed');
  }
});
