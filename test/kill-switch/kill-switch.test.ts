/** The kill switch over the wire, on two brokers with one database; enforcement points are rows here. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { decodeJwt } from 'jose';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';
import { createVerifierRows } from './verifier-rows.ts';

const world = await createTestWorld();
const broker = await world.startBroker();
const other = await world.startBroker();
const olivia = world.operator(broker, 'olivia');
const omar = world.operator(other, 'omar');
const agent = world.agent(broker, 'report-writer');
const resource = world.resourceServer(broker, 'https://customers.example.com');
const verifiers = createVerifierRows(world);

const ENGAGE = 'mayfly:engage:kill-switch';
const RELEASE = 'mayfly:release:kill-switch';
const READ = 'mayfly:read:kill-switch';
const PATH = '/v1/kill-switch';

type Body = Record<string, unknown>;

const engage = (target: unknown, more: Body = {}, headers: Record<string, string> = {}) =>
  olivia.post(PATH, ENGAGE, { target, reason: 'a stolen key', wait_seconds: 0, ...more }, headers);
const release = (id: string, by = omar) =>
  by.post(`${PATH}/${id}/release`, RELEASE, { reason: 'key replaced' });

async function isActive(token: string): Promise<boolean> {
  return (await resource.post('/oauth/introspect', resource.authenticated({ token }))).body.active;
}

afterEach(async () => {
  await verifiers.removeAll();
  for (const { id, actor } of await engaged()) await release(id, actor === 'omar' ? olivia : omar);
});

async function engaged(): Promise<{ id: string; actor: string }[]> {
  return (await olivia.get(`${PATH}?state=engaged`, READ)).body.data;
}

const [row] = await world.query<{ id: string }>(`select id from agents where name = 'report-writer'`);
const TARGETS = [
  { kind: 'all' },
  { kind: 'zone', id: 'analytics' },
  { kind: 'agent', id: 'report-writer' },
  { kind: 'action', id: 'db:read:customers' },
  { kind: 'resource', id: 'https://customers.example.com' },
  { kind: 'subject', id: row?.id ?? '' },
];

for (const target of TARGETS) {
  test(`a kill of ${target.kind} stops minting and every token, until somebody else releases it`, async () => {
    const session = newSessionKey();
    const { body: before } = await agent.token(session);
    assert.equal(await isActive(before.access_token), true);

    const killed = await engage(target);
    assert.equal(killed.status, 200, killed.text);
    assert.deepEqual(killed.body.target, target);
    assert.equal(await isActive(before.access_token), false);
    assert.equal((await agent.token(newSessionKey())).body.code, 'agent_stopped');
    assert.equal((await agent.token(session)).body.code, 'agent_stopped');

    assert.equal((await release(killed.body.id)).status, 200);
    assert.equal(await isActive(before.access_token), false, 'what was minted before stays dead');
    const { body: after } = await agent.token(newSessionKey());
    assert.equal(await isActive(after.access_token), true);
  });
}

test('what is no target is a 400, and nothing is stopped', async () => {
  const [head] = await world.query<{ epoch: string }>('select epoch from revocation_head');
  const wrong: unknown[] = [
    undefined,
    null,
    '',
    '*',
    'all',
    [],
    {},
    { kind: '' },
    { kind: '*' },
    { kind: 'ALL' },
    { kind: 'everything' },
    { kind: 'all', id: '' },
    { kind: 'all', id: '*' },
    { kind: 'all', id: null },
    { kind: 'zone' },
    { kind: 'zone', id: '' },
    { kind: 'zone', id: null },
    { kind: 'zone', id: ['analytics'] },
    { kind: 'zone', id: 'analytic' },
    { kind: 'zone', id: 'analytics ' },
    { kind: 'zone', id: 'Analytics' },
    { kind: 'zone', id: '*' },
    { kind: 'zone', id: 'analytics', more: 1 },
    { kind: 'agent', id: 'nobody' },
    { kind: 'agent', id: 'x'.repeat(513) },
    { kind: 'resource', id: 'https://customers.example.com/' },
    { kind: 'action', id: 'mayfly:engage:kill-switch' },
    { kind: 'session', id: 'ses_01kdvdnad14k88pftagytay02x' },
    { kind: 'signing-key', id: 'kid' },
  ];
  for (const target of wrong) {
    const refused = await engage(target);
    assert.deepEqual([refused.status, refused.body.code], [400, 'invalid_request'], JSON.stringify(target));
    const previewed = await olivia.post(`${PATH}/preview`, READ, { target });
    assert.deepEqual(
      [previewed.status, previewed.body.code],
      [400, 'invalid_request'],
      JSON.stringify(target),
    );
  }
  for (const more of [
    { reason: '' },
    { reason: undefined },
    { reason: ' a' },
    { wait_seconds: 31 },
    { wait_seconds: -1 },
    { also: 1 },
  ]) {
    assert.equal((await engage({ kind: 'all' }, more)).status, 400, JSON.stringify(more));
  }
  assert.deepEqual(await world.query('select epoch from revocation_head'), [head]);
});

test('a preview counts what a kill would hit, and hits nothing', async () => {
  await release((await engage({ kind: 'all' })).body.id);
  const session = newSessionKey();
  await agent.token(session);
  const { body: kept } = await agent.token(session);
  const preview = async (target: object) => (await olivia.post(`${PATH}/preview`, READ, { target })).body;
  const counted = await preview({ kind: 'agent', id: 'report-writer' });
  assert.deepEqual({ ...counted, target: null }, { target: null, agents: 1, sessions: 1, live_tokens: 2 });
  assert.equal((await preview({ kind: 'zone', id: 'analytics' })).live_tokens, 2);
  assert.equal((await preview({ kind: 'action', id: 'db:read:customers' })).live_tokens, 2);
  assert.equal((await preview({ kind: 'all' })).agents, world.catalogue.agents.size);
  assert.equal((await preview({ kind: 'zone', id: 'support' })).live_tokens, 0);
  assert.equal(await isActive(kept.access_token), true);

  await engage({ kind: 'agent', id: 'report-writer' });
  const after = await preview({ kind: 'agent', id: 'report-writer' });
  assert.deepEqual([after.sessions, after.live_tokens], [0, 0], 'what is dead is not counted again');
});

test('killing twice is one entry, and so is the same request sent again, also after the release', async () => {
  const headers = { 'Idempotency-Key': 'incident-7' };
  const target = { kind: 'zone', id: 'analytics' };
  const first = await engage(target, {}, headers);
  const again = await engage(target);
  assert.deepEqual([first.body.effect, again.body.effect], ['engaged', 'none']);
  assert.equal(again.body.id, first.body.id);
  const { body: released } = await release(first.body.id);
  const repeated = await engage(target, {}, headers);
  const { receipt, verifiers: _, ...told } = repeated.body;
  const { receipt: __, verifiers: ___, ...before } = first.body;
  assert.deepEqual(
    told,
    { ...before, released: released.released },
    'as before, and that it was released since',
  );
  assert.equal(decodeJwt(receipt).id, first.body.id);
  assert.equal((await agent.token(newSessionKey())).status, 200, 'a request that was done is not done again');
  const misused = await engage({ kind: 'zone', id: 'support' }, {}, headers);
  assert.deepEqual([misused.status, misused.body.code], [422, 'idempotency_key_reused']);
});

test('of many requests with one Idempotency-Key at two brokers one engages', async () => {
  const headers = { 'Idempotency-Key': 'race' };
  const elsewhere = world.operator(other, 'olivia');
  const body = { target: { kind: 'zone', id: 'support' }, reason: 'a race', wait_seconds: 0 };
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, n) => (n % 2 ? olivia : elsewhere).post(PATH, ENGAGE, body, headers)),
  );
  assert.deepEqual([...new Set(all.map(({ status }) => status))], [200]);
  assert.equal(new Set(all.map((each) => each.body.id)).size, 1);
  assert.deepEqual([...new Set(all.map(({ body: told }) => told.effect))], ['engaged'], 'the same answer');
  const entries = await world.query(`select epoch from revocations where standing and reason = 'a race'`);
  assert.equal(entries.length, 1);
});

test('a request that found something engaged says so again, and a release that is sent again is released', async () => {
  const target = { kind: 'zone', id: 'analytics' };
  const { body } = await engage(target);
  const finding = () => engage(target, {}, { 'Idempotency-Key': 'found' });
  assert.deepEqual([(await finding()).body.effect, (await finding()).body.effect], ['none', 'none']);
  const releasing = () =>
    omar.post(`${PATH}/${body.id}/release`, RELEASE, { reason: 'a test' }, { 'Idempotency-Key': 'once' });
  const [first, again] = [await releasing(), await releasing()];
  assert.deepEqual([first.body.effect, again.body.effect], ['released', 'released']);
  assert.deepEqual(again.body, first.body);
  assert.equal((await release(body.id)).body.effect, 'none', 'another request released nothing');
});

test('whoever engaged it cannot release it, and a release is done once', async () => {
  const { body } = await engage({ kind: 'zone', id: 'analytics' });
  const own = await release(body.id, olivia);
  assert.deepEqual([own.status, own.body.code], [403, 'another_person_needed']);
  assert.equal((await engaged()).length, 1);
  const released = await release(body.id);
  assert.deepEqual([released.status, released.body.effect], [200, 'released']);
  assert.deepEqual([released.body.released.actor, released.body.released.reason], ['omar', 'key replaced']);
  const again = await release(body.id);
  assert.deepEqual([again.status, again.body.effect], [200, 'none']);
  assert.equal(again.body.released.epoch, released.body.released.epoch);
  assert.equal((await release('rev_01kdvdnad14k88pftagytay02x')).status, 404);
  assert.equal((await release('nothing')).status, 404);
});

test('an operator who is the target is stopped as well; a kill of everything passes operators by', async () => {
  const killed = await engage({ kind: 'agent', id: 'omar' });
  assert.equal(killed.status, 200);
  assert.equal((await omar.agent.token(omar.session(), { scope: READ })).body.code, 'agent_stopped');
  // Nobody else can release it here but by breaking the glass.
  await world.query(
    `select append_revocation('rev_free', 'agent', 'omar', false, $1, 'free', 'test', 'aud_free', null)`,
    [killed.body.epoch],
  );
  omar.openSession();
  await engage({ kind: 'all' });
  assert.equal((await omar.get(PATH, READ)).status, 200);
});

test('200 is the answer once every live enforcement point has applied it', async () => {
  const one = await verifiers.add({ leaseSeconds: 300 });
  const waiting = engage({ kind: 'zone', id: 'analytics' }, { wait_seconds: 30 });
  const epoch = await verifiers.nextEpoch();
  await verifiers.applies(one, epoch);
  const answer = await waiting;
  assert.equal(answer.status, 200);
  assert.equal(answer.body.complete, true);
  const [told] = answer.body.verifiers;
  assert.deepEqual([told.instance, told.stops_at], [one, undefined]);
  assert.ok(told.applied_at <= new Date(Date.now() + 1_000).toISOString());
});

test('202 names whoever is outstanding, and when it has stopped', async () => {
  const quick = await verifiers.add({ leaseSeconds: 300 });
  const cutOff = await verifiers.add({ leaseSeconds: 30 });
  await verifiers.add({ leaseSeconds: 300, closed: true });
  await verifiers.add({ leaseSeconds: -5 });
  const waiting = engage({ kind: 'zone', id: 'analytics' }, { wait_seconds: 3 });
  await verifiers.applies(quick, await verifiers.nextEpoch());
  const answer = await waiting;
  assert.equal(answer.status, 202);
  assert.equal(answer.body.complete, false);
  const told = new Map<string, Body>(answer.body.verifiers.map((each: Body) => [each.instance, each]));
  assert.deepEqual([...told.keys()].sort(), [quick, cutOff].sort());
  assert.ok(told.get(quick)?.applied_at);
  const left = Date.parse(String(told.get(cutOff)?.stops_at)) - Date.parse(answer.body.committed_at);
  assert.ok(left > 29_000 && left <= 31_000, `${left} ms: its lease and the margin`);

  await verifiers.applies(cutOff, answer.body.epoch);
  const later = await olivia.get(`${PATH}/${answer.body.id}`, READ);
  assert.equal(later.body.complete, true);
  const again = await engage({ kind: 'zone', id: 'analytics' });
  assert.equal(again.status, 200, 'asked again, it is done');
});

test('a receipt is the same whichever broker makes it and whenever, and says more only as more is known', async () => {
  const one = await verifiers.add({ leaseSeconds: 300 });
  const { body } = await engage({ kind: 'zone', id: 'analytics' });
  const receiptAt = async (by: typeof olivia) =>
    (await by.get(`${PATH}/${body.id}/receipt`, READ)).body.receipt;
  assert.equal(await receiptAt(olivia), body.receipt);
  assert.equal(await receiptAt(omar), body.receipt);
  await verifiers.renews(one);
  await verifiers.add({ leaseSeconds: 300 });
  assert.equal(await receiptAt(omar), body.receipt, 'who came later is none of its business');

  await verifiers.applies(one, body.epoch);
  const whole = await receiptAt(omar);
  assert.notEqual(whole, body.receipt);
  await verifiers.removeAll();
  await release(body.id);
  assert.equal(await receiptAt(olivia), whole);
  const claims = decodeJwt(whole);
  assert.deepEqual(
    [claims.iss, claims.id, claims.epoch, claims.target, claims.actor, claims.reason, claims.standing],
    [
      'https://broker.example.com',
      body.id,
      body.epoch,
      { kind: 'zone', id: 'analytics' },
      'olivia',
      'a stolen key',
      true,
    ],
  );
});

test('switches are listed newest first, a page at a time, by kind and by state', async () => {
  const ids: string[] = [];
  for (const id of ['analytics', 'support']) ids.unshift((await engage({ kind: 'zone', id })).body.id);
  const all = (await olivia.get(`${PATH}?kind=zone&state=engaged`, READ)).body;
  assert.deepEqual([all.data.map(({ id }: Body) => id), all.next_cursor], [ids, null]);
  const page = (await olivia.get(`${PATH}?kind=zone&state=engaged&limit=1`, READ)).body;
  assert.equal(page.data[0].id, ids[0]);
  const next = (await olivia.get(`${PATH}?kind=zone&state=engaged&limit=1&cursor=${page.next_cursor}`, READ))
    .body;
  assert.deepEqual([next.data[0].id, next.next_cursor], [ids[1], null]);
  for (const query of ['state=on', 'kind=session', 'limit=0', 'cursor=x', 'zone=analytics']) {
    assert.equal((await olivia.get(`${PATH}?${query}`, READ)).status, 400, query);
  }
});

test('a line in the record that cannot be written does not hold up the kill, and is made later', async () => {
  await world.query('alter table audit_entries rename to lost');
  try {
    // The guard's own line needs the table: the statement alone is asked.
    const [row] = await world.query<{ outcome: string; epoch: string }>(
      `select outcome, epoch from engage_kill_switch('rev_01kdvdnad14k88pftagytay02z', 'zone', 'analytics', 'r', 'olivia', 'aud_late', 'req_1', null, null, null)`,
    );
    assert.equal(row?.outcome, 'engaged');
  } finally {
    await world.query('alter table lost rename to audit_entries');
  }
  assert.equal((await agent.token(newSessionKey())).body.code, 'agent_stopped');
  assert.deepEqual(await world.query('select record_late(10) as made'), [{ made: 1 }]);
  assert.deepEqual(await world.query('select record_late(10) as made'), [{ made: 0 }]);
  const [line] = await world.query<{ action: string; actor: string; request_id: string; details: Body }>(
    `select action, actor, request_id, details from audit_entries where id = 'aud_late'`,
  );
  assert.deepEqual([line?.action, line?.actor, line?.request_id], ['kill_switch.engaged', 'olivia', 'req_1']);
  assert.equal(line?.details.late_because, '42P01');
  assert.equal((await engage({ kind: 'zone', id: 'analytics' })).body.effect, 'none');
});

test('after the head was moved nothing is complete until a longest lease later', async () => {
  await world.query('update revocation_head set moved_at = clock_timestamp()');
  const soon = await engage({ kind: 'zone', id: 'analytics' });
  assert.equal(soon.status, 202);
  const left = Date.parse(soon.body.unlisted_stop_at) - Date.parse(soon.body.committed_at);
  assert.ok(left > 295_000 && left <= 302_000, `${left}`);
  await release(soon.body.id);
  await world.query(`update revocation_head set moved_at = clock_timestamp() - interval '302 seconds'`);
  assert.equal((await engage({ kind: 'zone', id: 'analytics' })).status, 200);
  await world.query('update revocation_head set moved_at = null');
});

test('nobody changes the switch without end, and nobody is refused the first time', async () => {
  let refused = 0;
  for (let sent = 0; sent < 1_000 && refused === 0; sent += 20) {
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => engage({ kind: 'zone', id: 'analytics' })),
    );
    refused += answers.filter(({ status }) => status === 429).length;
  }
  assert.ok(refused > 0);
  const first = await omar.post(PATH, ENGAGE, {
    target: { kind: 'all' },
    reason: 'another one',
    wait_seconds: 0,
  });
  assert.equal(first.status, 200);
});
