/** What operators change and what becomes of it, at the token endpoint and at a resource server. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';
import { CUSTOMERS, createManagementStage, WHY } from './management-stage.ts';

const { world, broker, olivia, omar, runOf, isActive, mintCode, entries, details } =
  await createManagementStage();

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
    aws: { credentials: 0, roles: [] },
  });
  assert.equal(await mintCode('report-writer', run.session), 'session_ended');
  assert.deepEqual([await isActive(run), await isActive(other)], [false, true]);
  assert.deepEqual(await details(answer.headers.get('request-id')), [
    { action: 'operator.admitted', actor: 'olivia', reason: null },
    { action: 'session.revoked', actor: 'olivia', reason: WHY.reason },
  ]);
});

test('what was done is in the record by its own name, with the session, the agent and the address that it came from', async () => {
  const [run, stopped] = [await runOf('report-writer'), await runOf('billing-runner')];
  const zone = { target: { kind: 'zone', id: 'analytics' }, ...WHY };
  const done = [
    await omar.post(`/v1/tokens/${run.jti}/revoke`, 'mayfly:revoke:tokens', WHY),
    await omar.post(`/v1/sessions/${run.sid}/revoke`, 'mayfly:revoke:sessions', WHY),
    await omar.post('/v1/agents/billing-runner/revoke', 'mayfly:revoke:agents', WHY),
    await omar.post('/v1/agents/billing-runner/quarantine', 'mayfly:quarantine:agents', WHY),
    await omar.post('/v1/agents/billing-runner/release', 'mayfly:release:agents', WHY),
    await omar.post('/v1/kill-switch', 'mayfly:engage:kill-switch', zone),
    await omar.post('/v1/kill-switch', 'mayfly:engage:kill-switch', zone),
  ];
  const release = `/v1/kill-switch/${done[5]?.body.id}/release`;
  done.push(await olivia.post(release, 'mayfly:release:kill-switch', WHY));
  const lines = await world.query(
    `select e.action, e.session_id as session, e.token_id as token, e.details->>'agent' as agent,
            e.details->>'source' as source
       from unnest($1::text[]) with ordinality as r (id, n)
       join audit_entries e on e.request_id = r.id and e.action <> 'operator.admitted' order by r.n`,
    [done.map(({ headers }) => headers.get('request-id'))],
  );
  const line = (
    action: string,
    about: { session?: string; token?: string; agent?: string | undefined } = {},
  ) => ({
    action,
    session: about.session ?? null,
    token: about.token ?? null,
    agent: about.agent ?? null,
    source: '127.0.0.1',
  });
  const [writer, runner] = [run, stopped].map(({ token }) => decodeJwt(token).sub);
  assert.deepEqual(lines, [
    line('token.revoked', { session: run.sid, token: run.jti, agent: writer }),
    line('session.revoked', { session: run.sid, agent: writer }),
    line('agent.revoked', { agent: runner }),
    line('agent.quarantined', { agent: runner }),
    line('agent.released', { agent: runner }),
    line('kill_switch.engaged'),
    line('kill_switch.found_engaged'),
    line('kill_switch.released'),
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
  const { id, epoch, target, reason, actor, at } = stop.body;
  assert.deepEqual(stopped.body.stopped_by, [{ id, epoch, target, quarantine: true, reason, actor, at }]);
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
