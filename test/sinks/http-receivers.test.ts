import assert from 'node:assert/strict';
import { createHmac, createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { createOtlpReceiver } from '../../src/sinks/otlp-receiver.ts';
import { createOutbound } from '../../src/sinks/outbound-request.ts';
import { secretOf } from '../../src/sinks/sink-secret.ts';
import { createWebhookReceiver, signatureOf } from '../../src/sinks/webhook-receiver.ts';
import { startHttpCollector, tls } from './collectors.ts';
import { START, sampleDocument, sampleLog } from './sample-log.ts';

const clock = { milliseconds: () => START, monotonicMilliseconds: () => START };
const secret = createSecretKey(Buffer.from('a-secret-of-thirty-two-bytes-----'));
const post = createOutbound({ resolve: async () => [{ address: '127.0.0.1', family: 4 }] });
const { entries } = sampleLog(3);

const targetOf = (port: number, path: string, headers = {}) => ({
  url: new URL(`https://localhost:${port}${path}`),
  allowPrivate: true,
  headers,
  tls: { ca: tls.certificate },
});

test('the signature of a webhook is what existing libraries compute', () => {
  // The example in https://docs.svix.com/receiving/verifying-payloads/how-manual, of the same scheme.
  const key = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64');
  const [id, timestamp] = ['msg_p5jXN8AQM9LWM0D4loKWxJek', 1_614_265_330];
  const body = Buffer.from('{"test": 2432232314}');
  assert.equal(
    signatureOf({ secret: createSecretKey(key), id, timestamp, body }),
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  );
});

test('a webhook is one array, signed with its id and its time', async (t) => {
  const collector = await startHttpCollector();
  t.after(() => collector.stop());
  const target = targetOf(collector.port, '/hook?x=1', { authorization: secretOf('Bearer abc') });
  const receiver = createWebhookReceiver({ name: 'hook', format: 'native', target, secret, clock, post });
  assert.deepEqual(await receiver.deliver(entries), { outcome: 'accepted' });
  const [{ headers, body, url } = assert.fail()] = collector.arrivals;
  assert.equal(url, '/hook?x=1');
  assert.equal(headers.authorization, 'Bearer abc');
  assert.equal(headers['content-type'], 'application/json');
  const id = headers['webhook-id'];
  assert.match(String(id), /^msg_[A-Za-z0-9_-]{43}$/);
  assert.equal(headers['webhook-timestamp'], String(START / 1000));
  const signed = `${id}.${START / 1000}.${body}`;
  const digest = createHmac('sha256', secret).update(signed).digest('base64');
  assert.equal(headers['webhook-signature'], `v1,${digest}`);
  assert.deepEqual(
    JSON.parse(body.toString()),
    entries.map(({ document }) => document),
  );
});

test('a batch has one name whenever it is sent, and no other batch has it, nor that of another log at the same leaves', async (t) => {
  const collector = await startHttpCollector();
  t.after(() => collector.stop());
  const target = targetOf(collector.port, '/hook');
  const sendsOf = (name: string) =>
    createWebhookReceiver({ name, format: 'native', target, secret, clock, post });
  const restored = sampleLog(3, (index) => sampleDocument(index + 1_000)).entries;
  const [first = assert.fail()] = entries;
  const batches = [entries, restored, entries.slice(0, 2), [first], [{ ...first, index: null }]];
  for (const batch of batches) await sendsOf('hook').deliver(batch);
  await sendsOf('other').deliver(entries);
  await sendsOf('hook').deliver(entries);
  const ids = collector.arrivals.map(({ headers }) => headers['webhook-id']);
  assert.equal(ids.at(-1), ids[0]);
  assert.equal(new Set(ids).size, batches.length + 1);
});

for (const compress of [false, true]) {
  test(`OTLP is the JSON encoding of ExportLogsServiceRequest${compress ? ', compressed' : ''}`, async (t) => {
    const collector = await startHttpCollector();
    t.after(() => collector.stop());
    collector.answer = () => ({ status: 200, headers: { 'Content-Type': 'application/json' }, body: '{}' });
    const target = targetOf(collector.port, '/v1/logs');
    const receiver = createOtlpReceiver({ format: 'native', target, compress, clock, post });
    const refused = sampleDocument(1, { outcome: 'refused', reason: 'proof_replayed' });
    const batch = [entries[0] ?? assert.fail(), { index: 1, document: refused }];
    assert.deepEqual(await receiver.deliver(batch), { outcome: 'accepted' });
    const [{ headers, body } = assert.fail()] = collector.arrivals;
    assert.equal(headers['content-type'], 'application/json');
    assert.equal(headers['content-encoding'], compress ? 'gzip' : undefined);
    const text = (compress ? gunzipSync(body) : body).toString();
    const { resourceLogs } = JSON.parse(text);
    assert.deepEqual(resourceLogs[0].resource, {
      attributes: [{ key: 'service.name', value: { stringValue: 'mayfly' } }],
    });
    const [first, second] = resourceLogs[0].scopeLogs[0].logRecords;
    assert.equal(first.timeUnixNano, '1788264000000000000');
    assert.equal(second.timeUnixNano, '1788264000001001000', 'microseconds are kept');
    assert.deepEqual([first.severityNumber, second.severityNumber], [9, 13]);
    assert.equal(first.eventName, 'token.minted');
    assert.deepEqual(JSON.parse(first.body.stringValue), entries[0]?.document);
    assert.deepEqual(first.attributes[0], {
      key: 'log.record.uid',
      value: { stringValue: entries[0]?.document.id },
    });
  });
}

for (const [what, body, rejected] of [
  ['nothing', '', undefined],
  ['no JSON', '<html>', undefined],
  ['a warning', '{"partialSuccess":{"rejectedLogRecords":"0","errorMessage":"slow down"}}', undefined],
  ['two refused records', '{"partialSuccess":{"rejectedLogRecords":"2"}}', 2],
  ['two refused records as a number', '{"partialSuccess":{"rejectedLogRecords":2}}', 2],
  ['nonsense', '{"partialSuccess":{"rejectedLogRecords":"-1"}}', undefined],
] as const) {
  test(`a collector that answers with ${what} has taken all but what it says`, async (t) => {
    const collector = await startHttpCollector();
    t.after(() => collector.stop());
    collector.answer = () => ({ status: 200, body });
    const target = targetOf(collector.port, '/v1/logs');
    const receiver = createOtlpReceiver({ format: 'ocsf', target, compress: false, clock, post });
    const delivery = await receiver.deliver(entries);
    assert.equal(delivery.outcome, 'accepted');
    assert.equal(delivery.outcome === 'accepted' ? delivery.rejected?.entries : assert.fail(), rejected);
  });
}

test('what went wrong is told without what the other side wrote, and without a secret', async (t) => {
  const collector = await startHttpCollector();
  t.after(() => collector.stop());
  collector.answer = () => ({ status: 500, body: 'Bearer abc \u001b[31m' });
  const target = targetOf(collector.port, '/hook?key=abc', { authorization: secretOf('Bearer abc') });
  const receiver = createWebhookReceiver({ name: 'hook', format: 'native', target, secret, clock, post });
  assert.deepEqual(await receiver.deliver(entries), { outcome: 'failed', because: 'HTTP 500' });
  await receiver.close();
  assert.equal((await receiver.deliver(entries)).outcome, 'failed');
  assert.doesNotMatch(JSON.stringify(target.headers), /abc/);
});
