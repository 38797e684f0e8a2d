import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Broker } from '../../src/broker.ts';
import { createRevocationStore } from '../../src/revocations/revocation-store.ts';
import { systemClock } from '../../src/time/clock.ts';
import { until } from '../broker-process.ts';
import { createTestWorld, type TestWorld } from '../test-broker.ts';
import { pageIn } from '../test-verifier.ts';
import { openFeed } from './feed-reader.ts';

const CUSTOMERS = 'https://customers.example.com';

let world: TestWorld;
let broker: Broker;
before(async () => {
  world = await createTestWorld();
  broker = await world.startBroker();
});

async function revoke(id: string): Promise<number> {
  const store = createRevocationStore(world.owner, systemClock);
  const target = { kind: 'session', id } as const;
  return (
    await store.append({ target, standing: false, reason: 'test', actor: 'test', requestId: undefined })
  ).epoch;
}

const bearer = (on = broker) => ({
  Authorization: `Bearer ${world.resourceServer(on, CUSTOMERS).assertion()}`,
});

async function read(path: string, headers: Record<string, string>) {
  const response = await fetch(`${broker.url}${path}`, { headers });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: JSON.parse(text) };
}

test('a resource server reads a page from where it is', async () => {
  const epoch = await revoke('ses_a');
  await revoke('ses_b');
  const whole = await pageIn((await read('/v1/revocations', bearer())).body.page, broker.url);
  assert.ok(whole.snapshot);
  assert.deepEqual(
    whole.entries.slice(-2).map(({ target }) => target),
    ['ses_a', 'ses_b'],
  );
  const rest = await pageIn((await read(`/v1/revocations?since=${epoch}`, bearer())).body.page, broker.url);
  assert.deepEqual(
    { snapshot: rest.snapshot, since: rest.since, targets: rest.entries.map(({ target }) => target) },
    { snapshot: false, since: epoch, targets: ['ses_b'] },
  );
  const ahead = await pageIn((await read('/v1/revocations?since=999', bearer())).body.page, broker.url);
  assert.equal(ahead.since, rest.head.epoch, 'who claims more hears how far the ledger goes');
});

test('an operator with the action reads it too; others are told what they lack', async () => {
  const olivia = world.operator(broker, 'olivia');
  const answer = await olivia.get('/v1/revocations?since=0', 'mayfly:read:revocations');
  assert.equal(answer.status, 200);
  await pageIn(answer.body.page, broker.url);
  const token = await olivia.token('mayfly:read:sessions');
  const request = { method: 'GET', path: '/v1/revocations' } as const;
  const other = await olivia.send({ ...request, token, proof: olivia.proof({ ...request, token }) });
  assert.equal(other.status, 403);
  const nobody = await read('/v1/revocations', {});
  assert.equal(nobody.status, 401);
  assert.match(nobody.headers.get('www-authenticate') ?? '', /scope="mayfly:read:revocations"/);
});

test('an assertion reads once; an agent reads nothing', async () => {
  const headers = bearer();
  assert.equal((await read('/v1/revocations', headers)).status, 200);
  assert.equal((await read('/v1/revocations', headers)).status, 401);
  const agent = { Authorization: `Bearer ${world.agent(broker, 'report-writer').assertion()}` };
  assert.equal((await read('/v1/revocations', agent)).status, 400);
  for (const since of ['-1', '1.5', 'x', '01', '99999999999999999']) {
    assert.equal((await read(`/v1/revocations?since=${since}`, bearer())).status, 400, since);
  }
});

test('a stream begins where its reader is, and goes on as the ledger does', async () => {
  const from = await revoke('ses_before');
  const feed = await openFeed(broker.url, { since: from, headers: bearer() });
  assert.equal(feed.headers['content-type'], 'text/event-stream');
  const first = await pageIn((await feed.event()).data, broker.url);
  assert.deepEqual([first.since, first.through, first.entries.length], [from, from, 0]);
  for (const id of ['ses_1', 'ses_2', 'ses_3']) {
    const epoch = await revoke(id);
    const event = await feed.event();
    assert.equal(event.event, 'ledger');
    assert.equal(event.id, String(epoch));
    const page = await pageIn(event.data, broker.url);
    assert.deepEqual(
      page.entries.map(({ target }) => target),
      [id],
    );
  }
  feed.close();
});

test('a reader that comes back goes on from the event that it had last', async () => {
  const from = await revoke('ses_x');
  await revoke('ses_y');
  const headers = { ...bearer(), 'Last-Event-ID': String(from) };
  const feed = await openFeed(broker.url, { since: 0, headers });
  const page = await pageIn((await feed.event()).data, broker.url);
  assert.deepEqual(
    page.entries.map(({ target }) => target),
    ['ses_y'],
  );
  feed.close();
});

test('what is revoked at one broker reaches the streams of another', async () => {
  const other = await world.startBroker();
  const feed = await openFeed(other.url, { since: 0, headers: bearer(other) });
  const { through } = await pageIn((await feed.event()).data, broker.url);
  const agent = world.agent(broker, 'report-writer');
  const { body } = await agent.token((await import('../test-agent.ts')).newSessionKey());
  assert.equal(
    (await agent.post('/oauth/revoke', agent.authenticated({ token: body.access_token }))).status,
    200,
  );
  const page = await pageIn((await feed.event()).data, broker.url);
  assert.equal(page.since, through);
  assert.equal(page.entries[0]?.kind, 'token');
  feed.close();
});

test('a broker that stops ends its streams, and asks their readers to come back elsewhere', async () => {
  const leaving = await world.startBroker();
  const feed = await openFeed(leaving.url, { since: 0, headers: bearer(leaving) });
  await feed.event();
  await leaving.stop();
  await feed.ended();
  assert.match(feed.received(), /retry: [0-9]+\n\n$/);
});

test('an operator reads on for as long as its token lives, whatever else is revoked or killed', async () => {
  const [olivia, omar] = [world.operator(broker, 'olivia'), world.operator(broker, 'omar')];
  const path = '/v1/agents/olivia';
  const why = { reason: 'a test' };
  // What was over before the token was minted is no reason to end: the entry is in the copy that comes first.
  await omar.post(`${path}/quarantine`, 'mayfly:quarantine:agents', why);
  await omar.post(`${path}/release`, 'mayfly:release:agents', why);
  olivia.openSession();
  const token = await olivia.token('mayfly:read:revocations');
  const proof = olivia.proof({ method: 'GET', path: '/v1/revocations', token });
  const feed = await openFeed(broker.url, {
    since: 0,
    headers: { Authorization: `DPoP ${token}`, DPoP: proof },
  });
  await feed.event();
  const kill = { target: { kind: 'all' }, wait_seconds: 0, ...why };
  const { body: killed } = await omar.post('/v1/kill-switch', 'mayfly:engage:kill-switch', kill);
  assert.equal((await feed.event()).id, String(killed.epoch));
  await olivia.post(`/v1/kill-switch/${killed.id}/release`, 'mayfly:release:kill-switch', why);
  await feed.event();
  const { body } = await omar.post(`${path}/revoke`, 'mayfly:revoke:agents', why);
  await feed.ended();
  assert.ok(!feed.received().includes(`id: ${body.epoch}\n`), 'not even of its own end');
  assert.match(feed.received(), /retry: [0-9]+\n\n$/);
});

test('a reader that goes away is forgotten', async () => {
  const feed = await openFeed(broker.url, { since: 0, headers: bearer() });
  await feed.event();
  await until(async () => (await openStreams()) === 1, 'only this stream is open');
  feed.close();
  await until(async () => (await openStreams()) === 0, 'no stream is open');
});

async function openStreams(): Promise<number> {
  const text = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
  return Number(/^mayfly_feed_streams (\d+)$/m.exec(text)?.[1]);
}
