/** What operators change and what becomes of it, at the token endpoint and at a resource server. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import { newSessionKey, type SessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';

const CUSTOMERS = 'https://customers.example.com';
const world = await createTestWorld();
const broker = await world.startBroker();
const olivia = world.operator(broker, 'olivia');
const omar = world.operator(broker, 'omar');
const WHY = { reason: 'INC-1234: a test' };

type Run = { session: SessionKey; token: string; jti: string; sid: string; epoch: number };

async function runOf(name: string, session = newSessionKey()): Promise<Run> {
  const { body } = await world
    .agent(broker, name)
    .token(session, name === 'billing-runner' ? { scope: 'billing:read:invoices' } : {});
  const { jti, sid, epoch } = JSON.parse(
    Buffer.from(String(body.access_token).split('.')[1] ?? '', 'base64url').toString(),
  );
  return { session, token: body.access_token, jti, sid, epoch };
}

async function isActive({ token }: Run): Promise<boolean> {
  const server = world.resourceServer(broker, CUSTOMERS);
  const { body } = await server.post('/oauth/introspect', server.authenticated({ token }));
  return body.active;
}

async function mintCode(name: string, session: SessionKey): Promise<string | undefined> {
  const { body } = await world.agent(broker, name).token(session);
  return body.code;
}

async function entries(): Promise<number> {
  const [row] = await world.query<{ epoch: string }>('select epoch from revocation_head');
  return Number(row?.epoch);
}

async function details(requestId: string | null): Promise<Record<string, unknown>[]> {
  return world.query(
    `select action, actor, details->>'reason' as reason from audit_entries where request_id = $1 order by at, id`,
    [requestId],
  );
}

test('an ended session mints nothing more, its tokens are dead, and another session goes on', async () => {
  const [run, other] = [await runOf('report-writer'), await runOf('report-writer')];
  const answer = await olivia.post(`/v1/sessions/${run.sid}/revoke`, 'mayfly:revoke:sessions', WHY);
  assert.equal(answer.status, 200, answer.text);
  const { id, epoch, at, committed_at: committedAt, receipt, ...rest } = answer.body;
  assert.match(id, /^rev_/);
  assert.ok(committedAt >= at);
  const stated = decodeJwt(receipt);
  assert.deepEqual([stated.id, stated.target, stated.standing], [id, rest.target, false]);
  assert.equal(epoch, await entries());
  assert.ok(Math.abs(Date.parse(at) - Date.now()) < 60_000);
  assert.deepEqual(rest, {
    effect: 'revoked',
    target: { kind: 'session', id: run.sid },
    standing: false,
    releases: null,
    reason: WHY.reason,
    actor: 'olivia',
    replicated: true,
    complete: true,
    verifiers: [],
  });
  assert.equal(await mintCode('report-writer', run.session), 'session_ended');
  assert.deepEqual([await isActive(run), await isActive(other)], [false, true]);
  assert.deepEqual(await details(answer.headers.get('request-id')), [
    { action: 'operator.admitted', actor: 'olivia', reason: null },
    { action: 'revocation.appended', actor: 'olivia', reason: WHY.reason },
  ]);
});

test('who ends a session or a token again is told of the entry that did, and the ledger does not grow', async () => {
  const run = await runOf('report-writer');
  for (const [path, action] of [
    [`/v1/tokens/${run.jti}/revoke`, 'mayfly:revoke:tokens'],
    [`/v1/sessions/${run.sid}/revoke`, 'mayfly:revoke:sessions'],
  ] as const) {
    const first = await olivia.post(path, action, WHY);
    const before = await entries();
    const second = await omar.post(path, action, { reason: 'the same, by somebody else' });
    assert.deepEqual(second.body, { ...first.body, effect: 'none' });
    assert.equal(await entries(), before);
  }
});

test('a revoked token is dead and its session goes on', async () => {
  const run = await runOf('report-writer');
  const sibling = await runOf('report-writer', run.session);
  const answer = await omar.post(`/v1/tokens/${run.jti}/revoke`, 'mayfly:revoke:tokens', WHY);
  assert.deepEqual(answer.body.target, { kind: 'token', id: run.jti });
  assert.deepEqual([await isActive(run), await isActive(sibling)], [false, true]);
  assert.equal(await mintCode('report-writer', run.session), undefined);
  const read = await olivia.get(`/v1/tokens/${run.jti}`, 'mayfly:read:tokens');
  assert.deepEqual(
    [read.body.state, read.body.session_id, read.body.agent],
    ['revoked', run.sid, 'report-writer'],
  );
});

test('what an agent has so far ends, by its name or its id, and it may begin anew', async () => {
  const { body } = await olivia.get('/v1/agents/report-writer', 'mayfly:read:agents');
  for (const id of ['report-writer', body.id]) {
    const [run, other] = [await runOf('report-writer'), await runOf('billing-runner')];
    const answer = await olivia.post(`/v1/agents/${id}/revoke`, 'mayfly:revoke:agents', WHY);
    assert.deepEqual(
      [answer.body.target, answer.body.standing],
      [{ kind: 'agent', id: 'report-writer' }, false],
    );
    assert.equal(await isActive(run), false);
    assert.equal(await mintCode('report-writer', run.session), 'session_ended');
    const again = await runOf('report-writer');
    assert.ok(again.epoch >= answer.body.epoch);
    assert.equal(await isActive(again), true);
    const read = await olivia.get(`/v1/sessions/${other.sid}`, 'mayfly:read:sessions');
    assert.equal(read.body.state, 'open');
  }
});

test('a quarantined agent is stopped until it is released, once, and what it had stays dead', async () => {
  const run = await runOf('report-writer');
  const path = '/v1/agents/report-writer';
  const stop = await olivia.post(`${path}/quarantine`, 'mayfly:quarantine:agents', WHY);
  assert.deepEqual([stop.status, stop.body.standing, stop.body.effect], [200, true, 'revoked']);
  const again = await omar.post(`${path}/quarantine`, 'mayfly:quarantine:agents', { reason: 'also' });
  assert.deepEqual(again.body, { ...stop.body, effect: 'none' });
  assert.equal(await mintCode('report-writer', newSessionKey()), 'agent_stopped');
  assert.equal(await isActive(run), false);
  const stopped = await olivia.get(path, 'mayfly:read:agents');
  const { id, epoch, reason, actor, at } = stop.body;
  assert.deepEqual(stopped.body.stopped_by, [{ id, epoch, quarantine: true, reason, actor, at }]);
  const listed = await olivia.get('/v1/agents?stopped=true', 'mayfly:read:agents');
  assert.deepEqual(
    listed.body.data.map(({ name }: { name: string }) => name),
    ['report-writer'],
  );

  const release = await olivia.post(`${path}/release`, 'mayfly:release:agents', WHY);
  assert.deepEqual([release.body.effect, release.body.releases], ['released', epoch]);
  assert.equal(await mintCode('report-writer', newSessionKey()), undefined);
  assert.equal(await mintCode('report-writer', run.session), 'session_ended');
  assert.equal(await isActive(run), false);
  const nothing = await olivia.post(`${path}/release`, 'mayfly:release:agents', WHY);
  assert.deepEqual([nothing.status, nothing.body.code], [409, 'nothing_to_release']);
});

test('a release ends a quarantine and not what else stops the agent', async () => {
  await world.query(
    `select append_revocation('rev_kill', 'agent', 'billing-runner', true, null, 'a kill', 'omar', 'aud_kill', null)`,
  );
  const path = '/v1/agents/billing-runner';
  const nothing = await olivia.post(`${path}/release`, 'mayfly:release:agents', WHY);
  assert.deepEqual([nothing.status, nothing.body.code], [409, 'nothing_to_release']);
  await olivia.post(`${path}/quarantine`, 'mayfly:quarantine:agents', WHY);
  const release = await olivia.post(`${path}/release`, 'mayfly:release:agents', WHY);
  assert.equal(release.status, 200);
  const { body } = await olivia.get(path, 'mayfly:read:agents');
  assert.deepEqual(
    body.stopped_by.map((each: { id: string }) => each.id),
    ['rev_kill'],
  );
  const session = newSessionKey();
  const mint = await world.agent(broker, 'billing-runner').token(session, { scope: 'billing:read:invoices' });
  assert.equal(mint.body.code, 'agent_stopped');
});

test('a dry run counts exactly what would be hit, and leaves no trace in the ledger', async () => {
  const own = await createTestWorld();
  const there = await own.startBroker();
  const operator = own.operator(there, 'olivia');
  const agent = own.agent(there, 'report-writer');
  const sessions = [newSessionKey(), newSessionKey(), newSessionKey()];
  const tokens: { jti: string; sid: string; kid: string }[] = [];
  for (const session of sessions) {
    for (let count = 0; count < 2; count += 1) {
      const { body } = await agent.token(session);
      const [header = '', claims = ''] = String(body.access_token).split('.');
      const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString());
      tokens.push({ ...read(claims), kid: read(header).kid });
    }
  }
  await own.query(`update tokens set expires_at = now() - interval '1 second' where jti = $1`, [
    tokens[0]?.jti,
  ]);
  await operator.post(`/v1/sessions/${tokens[4]?.sid}/revoke`, 'mayfly:revoke:sessions', WHY);
  await operator.post(`/v1/tokens/${tokens[2]?.jti}/revoke`, 'mayfly:revoke:tokens', WHY);
  const [head] = await own.query('select epoch from revocation_head');
  const preview = async (path: string, action: Parameters<typeof operator.post>[1]) => {
    const { status, body } = await operator.post(path, action, { dry_run: true });
    assert.equal(status, 200);
    assert.equal(body.dry_run, true);
    return [body.sessions, body.live_tokens];
  };
  assert.deepEqual(await preview('/v1/agents/report-writer/revoke', 'mayfly:revoke:agents'), [2, 2]);
  assert.deepEqual(await preview('/v1/agents/report-writer/quarantine', 'mayfly:quarantine:agents'), [2, 2]);
  assert.deepEqual(await preview(`/v1/sessions/${tokens[0]?.sid}/revoke`, 'mayfly:revoke:sessions'), [1, 1]);
  assert.deepEqual(await preview(`/v1/sessions/${tokens[4]?.sid}/revoke`, 'mayfly:revoke:sessions'), [0, 0]);
  assert.deepEqual(await preview(`/v1/tokens/${tokens[3]?.jti}/revoke`, 'mayfly:revoke:tokens'), [0, 1]);
  assert.deepEqual(await preview(`/v1/tokens/${tokens[2]?.jti}/revoke`, 'mayfly:revoke:tokens'), [0, 0]);
  const [, signed = 0] = await preview(
    `/v1/signing-keys/${tokens[0]?.kid}/revoke`,
    'mayfly:revoke:signing-keys',
  );
  assert.ok(signed > 2, 'the tokens of the operator count too');
  assert.deepEqual(await own.query('select epoch from revocation_head'), [head]);
  assert.deepEqual(await own.query('select key from idempotency_keys'), []);
});

test('a revoked signing key takes with it what it signed, and its successor signs at once', async () => {
  const own = await createTestWorld();
  const there = await own.startBroker();
  const operator = own.operator(there, 'olivia');
  const { body: before } = await own.agent(there, 'report-writer').token(newSessionKey());
  const kid = JSON.parse(Buffer.from(before.access_token.split('.')[0], 'base64url').toString()).kid;
  const path = `/v1/signing-keys/${kid}/revoke`;
  const answer = await operator.post(path, 'mayfly:revoke:signing-keys', WHY);
  assert.deepEqual([answer.status, answer.body.target], [200, { kind: 'signing-key', id: kid }]);
  const server = own.resourceServer(there, CUSTOMERS);
  const asked = await server.post('/oauth/introspect', server.authenticated({ token: before.access_token }));
  assert.equal(asked.body.active, false);
  const after = await own.agent(there, 'report-writer').token(newSessionKey());
  assert.equal(after.status, 200, after.text);
  assert.notEqual(
    JSON.parse(Buffer.from(after.body.access_token.split('.')[0], 'base64url').toString()).kid,
    kid,
  );
  const again = await operator.post(path, 'mayfly:revoke:signing-keys', WHY);
  assert.deepEqual(again.body, { ...answer.body, effect: 'none' });
  const listed = await operator.get('/v1/signing-keys?purpose=token', 'mayfly:read:signing-keys');
  const states = new Map(listed.body.data.map((key: { kid: string; state: string }) => [key.kid, key.state]));
  assert.equal(states.get(kid), 'revoked');
  assert.ok([...states.values()].includes('active'));
});

test('revoking a key of ledger messages stands in the ledger, and of a key of nonces does not', async () => {
  const own = await createTestWorld();
  const there = await own.startBroker();
  const operator = own.operator(there, 'omar');
  for (const [purpose, entry] of [
    ['ledger', true],
    ['nonce', false],
  ] as const) {
    const [row] = await own.query<{ kid: string }>('select kid from signing_keys where purpose = $1', [
      purpose,
    ]);
    const answer = await operator.post(
      `/v1/signing-keys/${row?.kid}/revoke`,
      'mayfly:revoke:signing-keys',
      WHY,
    );
    assert.deepEqual([answer.status, answer.body.effect], [200, 'revoked'], answer.text);
    assert.equal(answer.body.epoch !== null, entry, purpose);
    const [stored] = await own.query<{ revoked: boolean; erased: boolean }>(
      'select revoked_at is not null as revoked, sealed_secret is null as erased from signing_keys where kid = $1',
      [row?.kid],
    );
    assert.deepEqual(stored, { revoked: true, erased: true });
  }
});

test('a request that is sent again under its idempotency key is done once, and another one is refused', async () => {
  const key = { 'Idempotency-Key': 'incident-1234/step-1' };
  const path = '/v1/agents/report-writer/revoke';
  const before = await entries();
  const first = await olivia.post(path, 'mayfly:revoke:agents', WHY, key);
  const second = await olivia.post(path, 'mayfly:revoke:agents', WHY, key);
  assert.equal(second.text, first.text);
  assert.equal(await entries(), before + 1);
  const other = await olivia.post(path, 'mayfly:revoke:agents', { reason: 'another' }, key);
  assert.deepEqual([other.status, other.body.code], [422, 'idempotency_key_reused']);
  const elsewhere = await olivia.post('/v1/agents/billing-runner/revoke', 'mayfly:revoke:agents', WHY, key);
  assert.equal(elsewhere.status, 422);
  assert.equal(await entries(), before + 1);
  const somebodyElse = await omar.post(path, 'mayfly:revoke:agents', WHY, key);
  assert.equal(somebodyElse.status, 200, 'keys are each operator’s own');
  assert.equal(await entries(), before + 2);
});

test('what failed under an idempotency key may be sent again', async () => {
  const key = { 'Idempotency-Key': 'retry-1' };
  const missing = await olivia.post('/v1/agents/nobody/revoke', 'mayfly:revoke:agents', WHY, key);
  assert.equal(missing.status, 404);
  const found = await olivia.post('/v1/agents/report-writer/revoke', 'mayfly:revoke:agents', WHY, key);
  assert.equal(found.status, 200);
});

test('a change is there with its record, or not at all', async () => {
  const run = await runOf('report-writer');
  const before = await entries();
  const token = await olivia.token('mayfly:revoke:sessions');
  await world.query(
    `alter table audit_entries add constraint no_line check (action <> 'revocation.appended') not valid`,
  );
  const path = `/v1/sessions/${run.sid}/revoke`;
  try {
    const request = {
      method: 'POST',
      path,
      body: WHY,
      token,
      headers: { 'Idempotency-Key': 'half' },
    } as const;
    const answer = await olivia.send({ ...request, proof: olivia.proof(request) });
    assert.equal(answer.status, 500);
  } finally {
    await world.query('alter table audit_entries drop constraint no_line');
  }
  assert.equal(await entries(), before);
  assert.deepEqual(await world.query(`select key from idempotency_keys where key = 'half'`), []);
  assert.equal(await isActive(run), true);
  const again = await olivia.post(path, 'mayfly:revoke:sessions', WHY, { 'Idempotency-Key': 'half' });
  assert.deepEqual([again.status, again.body.effect], [200, 'revoked']);
});

test('a reason is one line of plain characters, and nothing else is read', async () => {
  const path = '/v1/agents/report-writer/revoke';
  const bodies: unknown[] = [
    undefined,
    {},
    [],
    null,
    'x',
    { reason: '' },
    { reason: ' ' },
    { reason: ' a' },
    { reason: 'a\nb' },
    { reason: 'a\u202eb' },
    { reason: 'a\u0000b' },
    { reason: 'x'.repeat(501) },
    { reason: 7 },
    { reason: 'a', dry_run: 'false' },
    { reason: 'a', agent: 'x' },
    { reason: null },
  ];
  const before = await entries();
  for (const body of bodies) {
    const answer = await olivia.post(path, 'mayfly:revoke:agents', body);
    assert.deepEqual([answer.status, answer.body.code], [400, 'invalid_request'], JSON.stringify(body));
  }
  for (const key of ['', ' ', 'a b', 'é', 'x'.repeat(256)]) {
    const answer = await olivia.post(path, 'mayfly:revoke:agents', WHY, { 'Idempotency-Key': key });
    assert.equal(answer.status, 400, `[${key}]`);
  }
  assert.equal(await entries(), before);
  assert.equal((await olivia.post(path, 'mayfly:revoke:agents', { reason: 'Größe 😀 ok' })).status, 200);
});

test('a name is compared to the letter: a wildcard is nobody', async () => {
  const before = await entries();
  for (const name of [
    '%25',
    '_',
    'report_writer',
    'report-write%25',
    'REPORT-WRITER',
    'report-writer%20',
    'all',
    '*',
  ]) {
    for (const verb of ['revoke', 'quarantine', 'release'] as const) {
      const answer = await olivia.post(`/v1/agents/${name}/${verb}`, `mayfly:${verb}:agents`, WHY);
      assert.deepEqual([answer.status, answer.body.code], [404, 'not_found'], `${name} ${verb}`);
    }
  }
  assert.equal(await entries(), before);
});

test('an operator can be stopped by another one, and seen', async () => {
  const own = await createTestWorld();
  const there = await own.startBroker();
  const [one, other] = [own.operator(there, 'olivia'), own.operator(there, 'omar')];
  await other.get('/v1/sessions', 'mayfly:read:sessions');
  const stop = await one.post('/v1/agents/omar/quarantine', 'mayfly:quarantine:agents', WHY);
  assert.equal(stop.status, 200);
  await assert.rejects(other.token('mayfly:read:sessions'), /agent_stopped/);
  const { body } = await one.get('/v1/agents?kind=operator&stopped=true', 'mayfly:read:agents');
  assert.deepEqual(
    body.data.map(({ name, roles }: { name: string; roles: string[] }) => [name, roles]),
    [['omar', ['admin']]],
  );
});

test('who the broker is called does not decide where its tokens are good', async () => {
  const token = await olivia.token('mayfly:read:sessions');
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  assert.equal(claims.aud, TEST_ISSUER);
  const server = world.resourceServer(broker, CUSTOMERS);
  const { body } = await server.post('/oauth/introspect', server.authenticated({ token }));
  assert.deepEqual(body, { active: false });
});
