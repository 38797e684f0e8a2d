/** What the record says of requests: all that was known by then, and nobody's name who did not prove it. */
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { canonicalJson } from '../../src/json/canonical-json.ts';
import { newSessionKey, signJwt } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';

const world = await createTestWorld();
const broker = await world.startBroker();
const agent = world.agent(broker, 'report-writer');
const CUSTOMERS = 'https://customers.example.com';
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

type Line = {
  action: string;
  reason: string;
  actor: string | null;
  session_id: string | null;
  token_id: string | null;
  details: Record<string, unknown>;
};

async function lineOf({ headers }: { headers: Headers }): Promise<Line> {
  const [line] = await world.query<Line>(
    `select action, reason, actor, session_id, token_id, details from audit_entries
      where request_id = $1 and outcome = 'refused'`,
    [headers.get('request-id')],
  );
  assert.ok(line, 'the refusal is on record');
  return line;
}

async function agentId(name: string): Promise<string | undefined> {
  return (await world.query<{ id: string }>('select id from agents where name = $1', [name]))[0]?.id;
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

test('an agent that asks for what it may not have is named with all that it asked', async () => {
  const session = newSessionKey();
  const refused = await agent.token(session, {
    scope: 'db:read:customers db:delete:customers',
    resource: CUSTOMERS,
  });
  assert.equal(refused.body.code, 'invalid_scope');
  const { details, ...line } = await lineOf(refused);
  assert.deepEqual(line, {
    action: 'token.refused',
    reason: 'action_not_granted',
    actor: 'report-writer',
    session_id: null,
    token_id: null,
  });
  const { proof, ...rest } = details;
  assert.match(String(proof), uuid);
  assert.deepEqual(rest, {
    route: '/oauth/token',
    source: '127.0.0.1',
    agent: await agentId('report-writer'),
    zone: 'analytics',
    catalogue: 1,
    client_kid: world.scopes.keys.get('report-writer')?.kid,
    scope: 'db:read:customers db:delete:customers',
    resource: CUSTOMERS,
    jkt: session.jkt,
  });
});

test('AUD-06: what is no declared name stands in the record as a hash of it instead', async () => {
  const secret = `secret-${randomUUID()}`;
  const refused = await agent.token(newSessionKey(), {
    scope: `db:read:customers ${secret}`,
    resource: secret,
  });
  const { details } = await lineOf(refused);
  assert.ok(!JSON.stringify(details).includes(secret));
  assert.deepEqual(
    [details.scope, details.scope_sha256, details.resource, details.resource_sha256],
    ['db:read:customers', sha256(`db:read:customers ${secret}`), undefined, sha256(secret)],
  );
});

test('what the database decided by stands in the refusal: the session and the epoch', async () => {
  const session = newSessionKey();
  const { body } = await agent.token(session);
  const olivia = world.operator(broker, 'olivia');
  const path = `/v1/sessions/${body.session_id}/revoke`;
  const ended = await olivia.post(path, 'mayfly:revoke:sessions', { reason: 'a test' });
  assert.ok(ended.status < 300, ended.text);
  const refused = await agent.token(session);
  assert.equal(refused.body.code, 'session_ended');
  const line = await lineOf(refused);
  assert.deepEqual(
    [line.action, line.session_id, line.details.epoch],
    ['token.refused', body.session_id, ended.body.epoch],
  );
});

test('nobody writes the name of another one into the record: a forged, a repeated or a stolen credential only claims', async () => {
  const forged = signJwt(
    { alg: 'ES256', typ: 'client-authentication+jwt' },
    { iss: 'report-writer', sub: 'report-writer', aud: TEST_ISSUER },
    newSessionKey().privateKey,
  );
  const session = newSessionKey();
  const assertion = agent.assertion();
  assert.equal((await agent.token(session, { client_assertion: assertion })).status, 200);
  for (const [reason, refused] of [
    ['assertion_signature', await agent.request(session, { client_assertion: forged })],
    ['assertion_replayed', await agent.request(session, { client_assertion: assertion })],
  ] as const) {
    const line = await lineOf(refused);
    assert.deepEqual(
      [line.action, line.reason, line.actor, line.details.claimed_client],
      ['login.failed', reason, null, 'report-writer'],
    );
    assert.deepEqual([line.details.agent, line.details.scope], [undefined, undefined]);
  }
  const stranger = await agent.request(session, {
    client_assertion: agent.assertion({ claims: { iss: 'x', sub: 'x' } }),
  });
  assert.deepEqual((await lineOf(stranger)).details.claimed_client, undefined, 'no declared client');
});

test('a refusal after an operator was let in names the operator, its session, its token and what it is about', async () => {
  const olivia = world.operator(broker, 'olivia');
  const killed = await olivia.post('/v1/kill-switch', 'mayfly:engage:kill-switch', {
    target: { kind: 'action', id: 'db:read:customers' },
    reason: 'a test',
  });
  assert.ok(killed.status < 300, killed.text);
  const path = `/v1/kill-switch/${killed.body.id}/release`;
  const refused = await olivia.post(path, 'mayfly:release:kill-switch', { reason: 'a test' });
  const { details, ...line } = await lineOf(refused);
  assert.deepEqual([line.action, line.reason, line.actor], ['request.refused', 'own_kill_switch', 'olivia']);
  assert.match(String(line.session_id), /^ses_/);
  assert.match(String(line.token_id), /^tok_/);
  const { proof: _proof, jkt: _jkt, ...rest } = details;
  assert.deepEqual(rest, {
    route: '/v1/kill-switch/:id/release',
    source: '127.0.0.1',
    agent: await agentId('olivia'),
    catalogue: 1,
    scope: 'mayfly:release:kill-switch',
    resource: TEST_ISSUER,
    target: killed.body.id,
  });
  const omar = world.operator(broker, 'omar');
  assert.ok((await omar.post(path, 'mayfly:release:kill-switch', { reason: 'a test' })).status < 300);
  const secret = `secret-${randomUUID()}`;
  const missing = await olivia.get(`/v1/sessions/${secret}`, 'mayfly:read:sessions');
  const { target, target_sha256: hashed } = (await lineOf(missing)).details;
  assert.deepEqual([target, hashed], [undefined, sha256(secret)]);
});

test('resource servers leave their address and whom it is about with what they ask', async () => {
  const { body } = await agent.token(newSessionKey());
  const server = world.resourceServer(broker, CUSTOMERS);
  const asked = await server.post('/oauth/introspect', server.authenticated({ token: body.access_token }));
  assert.equal(asked.body.active, true);
  const lost = await agent.post('/oauth/revoke', agent.authenticated({ token: 'what is no token' }));
  const lines = await world.query<{ action: string; details: object }>(
    'select action, details from audit_entries where request_id = any ($1) order by action',
    [[asked, lost].map(({ headers }) => headers.get('request-id'))],
  );
  assert.deepEqual(lines, [
    {
      action: 'token.introspected',
      details: { active: true, source: '127.0.0.1', agent: await agentId('report-writer') },
    },
    { action: 'token.revoked', details: { effect: 'none', source: '127.0.0.1' } },
  ]);
});

test('a token for one call has a digest of that call in its entry, and nothing else of it', async () => {
  const call = {
    type: 'mayfly_call',
    action: 'db:read:customers',
    method: 'GET',
    url: `${CUSTOMERS}/customers?key=${randomUUID()}`,
    arguments_digest: createHash('sha256').update('{}').digest('base64url'),
  };
  const minted = await agent.token(newSessionKey(), { authorization_details: JSON.stringify([call]) });
  assert.equal(minted.status, 200, minted.text);
  const [line] = await world.query<{ details: Record<string, unknown> }>(
    'select details from audit_entries where request_id = $1',
    [minted.headers.get('request-id')],
  );
  assert.equal(line?.details.call, createHash('sha256').update(canonicalJson(call)).digest('base64url'));
  assert.ok(!JSON.stringify(line).includes(call.url));
});

test('a proof without a nonce is challenged, which is no failed login and no refused token', async () => {
  const strict = await world.startBroker({ settings: { MAYFLY_DPOP_NONCE: 'required' } });
  const writer = world.agent(strict, 'report-writer');
  const challenged = await writer.request(newSessionKey());
  assert.equal(challenged.body.error, 'use_dpop_nonce');
  assert.equal((await writer.token(newSessionKey())).status, 200);
  await strict.stop();
  const lines = await world.query<Line & { repetitions: number }>(
    `select action, actor, repetitions from audit_entries where reason = 'proof_nonce_missing'`,
  );
  assert.deepEqual(lines, [{ action: 'proof.challenged', actor: 'report-writer', repetitions: 1 }]);
});
