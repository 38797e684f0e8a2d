/**
 * What operators are told of agents that something stops, of what they misspelt, and of what was answered `202`; and
 * what agents are told of themselves.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';

const world = await createTestWorld();
const broker = await world.startBroker();
const olivia = world.operator(broker, 'olivia');
const omar = world.operator(broker, 'omar');

// biome-ignore lint/suspicious/noExplicitAny: an answer, whose members the tests name
type Loose = any;
type Listed = { name: string; stopped_by: { target: object }[] };

async function whileKilled(target: object, work: (id: string) => Promise<void>): Promise<void> {
  const { body, text } = await olivia.post('/v1/kill-switch', 'mayfly:engage:kill-switch', {
    target,
    reason: 'a test',
  });
  assert.equal(body.effect, 'engaged', text);
  try {
    await work(body.id);
  } finally {
    const path = `/v1/kill-switch/${body.id}/release`;
    assert.equal((await omar.post(path, 'mayfly:release:kill-switch', { reason: 'over' })).status, 200);
  }
}

async function agents(query: string): Promise<Listed[]> {
  const { body, text } = await olivia.get(`/v1/agents?${query}`, 'mayfly:read:agents');
  return body.data ?? assert.fail(text);
}
const named = (rows: Listed[]) => rows.map(({ name }) => name).sort();
const reporter = async () => (await olivia.get('/v1/agents/report-writer', 'mayfly:read:agents')).body;

/** As the client itself is told. */
async function whoAmI(name = 'report-writer', fields: Record<string, unknown> = {}) {
  const client = world.agent(broker, name);
  const claims = { htu: `${TEST_ISSUER}/v1/agents/current` };
  const response = await fetch(`${broker.url}/v1/agents/current`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', DPoP: client.proof(newSessionKey(), { claims }) },
    body: JSON.stringify({ ...client.authenticated({}), ...fields }),
  });
  return { status: response.status, body: (await response.json()) as Loose };
}

for (const target of [
  { kind: 'all' },
  { kind: 'zone', id: 'analytics' },
  { kind: 'agent', id: 'report-writer' },
]) {
  test(`an agent is stopped by a kill of ${target.kind}, and operators by none that is wide`, async () => {
    const idle = named(await agents('stopped=false'));
    await whileKilled(target, async (id) => {
      const stopped = await agents('stopped=true');
      assert.ok(named(stopped).includes('report-writer'));
      assert.ok(stopped.every(({ name }) => !['olivia', 'omar'].includes(name)));
      assert.deepEqual(named([...stopped, ...(await agents('stopped=false'))]), idle);
      const [entry, ...more] = (await reporter()).stopped_by;
      assert.deepEqual(
        [entry.id, entry.target, entry.quarantine, entry.actor],
        [id, target, false, 'olivia'],
      );
      assert.deepEqual(more, []);
      const me = (await whoAmI()).body;
      assert.deepEqual(
        me.stopped_by.map(({ at: _at, ...told }: Loose) => told),
        [{ id, epoch: entry.epoch, target }],
        'by what, and neither why nor by whom',
      );
      assert.deepEqual((await whoAmI('olivia')).body.stopped_by, []);
      if (target.kind === 'all') {
        const wide = [...(await agents('kind=agent')), ...(await agents('kind=canary'))];
        assert.deepEqual(named(stopped), named(wide));
      }
    });
    assert.deepEqual([(await reporter()).stopped_by, await agents('stopped=true')], [[], []]);
  });
}

for (const [target, others] of [
  [
    { kind: 'action', id: 'db:read:customers' },
    { kind: 'action', id: 'storage:delete:exports' },
  ],
  [{ kind: 'resource', id: 'https://customers.example.com' }, null],
] as const) {
  test(`a kill of one ${target.kind} that an agent may ask for stops it in part`, async () => {
    await whileKilled(target, async (id) => {
      const { stopped_by, partly_stopped_by: part } = await reporter();
      assert.deepEqual(stopped_by, []);
      assert.deepEqual(
        part.map((entry: { id: string; target: object }) => [entry.id, entry.target]),
        [[id, target]],
      );
      assert.deepEqual(await agents('stopped=true'), [], 'the rest of it goes on');
      const me = (await whoAmI()).body;
      const stopped = me.actions.filter((action: Loose) => action.stopped_by[0]?.id === id);
      const isHit = ({ name, resource }: Loose) => [name, resource].includes(target.id);
      assert.deepEqual([me.stopped_by, stopped], [[], me.actions.filter(isHit)]);
      assert.ok(stopped.length > 0);
    });
    if (others !== null && world.catalogue.actions.has(others.id)) {
      await whileKilled(others, async () => assert.deepEqual((await reporter()).partly_stopped_by, []));
    }
  });
}

test('an agent is told who it is, with nothing minted, no session opened, and a line in the record', async () => {
  const count = `select (select count(*) from tokens join sessions s on s.id = session_id where s.client_id = 'report-writer')
                      + (select count(*) from sessions where client_id = 'report-writer') as n`;
  const before = await world.query(count);
  const { status, body } = await whoAmI();
  assert.equal(status, 200, JSON.stringify(body));
  const { actions, catalogue, id, kid, ...me } = body;
  const { id: known } = await reporter();
  assert.deepEqual([id, kid, catalogue.applied], [known, world.scopes.keys.get('report-writer')?.kid, true]);
  assert.deepEqual(me, {
    name: 'report-writer',
    kind: 'agent',
    title: 'Writes the weekly report',
    owner: 'data-platform',
    zone: 'analytics',
    roles: [],
    session_seconds: 3_600,
    stopped_by: [],
  });
  assert.deepEqual(
    actions.map(({ name, use, approval }: Loose) => `${name} ${use} ${approval}`),
    [
      'db:read:customers session none',
      'db:read:orders session none',
      'storage:list:exports session none',
      'storage:write:exports request none',
    ],
  );
  assert.deepEqual(await world.query(count), before);
  const [line] = await world.query<{ outcome: string; agent: string; source: string }>(
    `select outcome, details->>'agent' as agent, details->>'source' as source
       from audit_entries where action = 'agent.read' and actor = 'report-writer' order by id desc limit 1`,
  );
  assert.deepEqual(line, { outcome: 'allowed', agent: known, source: '127.0.0.1' });
});

test('an operator is told its roles, and the management actions that they give', async () => {
  const { body } = await whoAmI('omar');
  const { roles } = (await olivia.get('/v1/agents/omar', 'mayfly:read:agents')).body;
  assert.deepEqual([body.kind, body.roles, body.zone], ['operator', roles, null]);
  assert.ok(body.actions.some(({ name }: Loose) => name === 'mayfly:release:kill-switch'));
  assert.ok(body.actions.every(({ resource }: Loose) => resource === TEST_ISSUER));
});

test('who asks who it is spends its assertion', async () => {
  const client_assertion = world.agent(broker, 'report-writer').assertion();
  assert.equal((await whoAmI('report-writer', { client_assertion })).status, 200);
  const { status, body } = await whoAmI('report-writer', { client_assertion });
  assert.deepEqual([status, body.code], [401, 'invalid_client']);
});

test('whoever misspelt a name is told the nearest one', async () => {
  const hints = await Promise.all([
    olivia.get('/v1/agents/report-writre', 'mayfly:read:agents'),
    olivia.post('/v1/agents/report-writre/quarantine', 'mayfly:quarantine:agents', { reason: 'a test' }),
    olivia.post('/v1/agents/report-writre/revoke', 'mayfly:revoke:agents', { dry_run: true }),
    ...[
      { kind: 'agent', id: 'report-writre' },
      { kind: 'zone', id: 'analitics' },
      { kind: 'action', id: 'db:read:custmers' },
      { kind: 'resource', id: 'https://customer.example.com' },
    ].map((target) => olivia.post('/v1/kill-switch/preview', 'mayfly:read:kill-switch', { target })),
  ]);
  assert.deepEqual(
    hints.map(({ body }) => /Did you mean (\S+)\?/.exec(body.hint)?.[1]),
    [
      'report-writer',
      'report-writer',
      'report-writer',
      'report-writer',
      'analytics',
      'db:read:customers',
      'https://customers.example.com',
    ],
  );
  const nobody = await olivia.get('/v1/agents/nobody-like-that', 'mayfly:read:agents');
  assert.equal(nobody.body.hint, 'No agent or operator has that name or id.');
});

test('any revocation can be asked about later, by the id that its answer had', async () => {
  const agent = world.agent(broker, 'report-writer');
  const { body: token } = await agent.token(newSessionKey(), { scope: 'db:read:customers' });
  const { sid } = decodeJwt(token.access_token);
  const ended = await olivia.post(`/v1/sessions/${sid}/revoke`, 'mayfly:revoke:sessions', {
    reason: 'a test',
  });
  const { body, text } = await olivia.get(
    `/v1/kill-switch/${ended.body.id}/receipt`,
    'mayfly:read:kill-switch',
  );
  assert.equal(body.id, ended.body.id, text);
  assert.deepEqual(decodeJwt(body.receipt).target, { kind: 'session', id: sid });
  assert.equal((await olivia.get(`/v1/kill-switch/${ended.body.id}`, 'mayfly:read:kill-switch')).status, 404);
});

test('a caller gets its own name of a request back, beside ours, and the record of a refusal has both', async () => {
  for (const [header, name, back] of [
    ['Request-Id', 'call-17.a_B', 'call-17.a_B'],
    ['X-Request-Id', 'other', 'other'],
    ['Request-Id', 'a b', null],
    ['Request-Id', '"><script>', null],
    ['Request-Id', 'x'.repeat(65), null],
  ] as const) {
    const response = await fetch(`${broker.url}/v1/sessions`, { headers: { [header]: name } });
    assert.equal(response.headers.get('client-request-id'), back);
    const ours = response.headers.get('request-id') ?? '';
    assert.match(ours, /^req_/);
    const text = "select details->>'caller_request_id' as name from audit_entries where request_id = $1";
    const [recorded] = await world.query<{ name: string | null }>(text, [ours]);
    assert.equal(recorded?.name, back);
  }
});
