/**
 * L21 for whatever else writes into the ledger: while it is not known whether the synchronous standby has it, nobody is
 * told that it is done, and nobody is kept waiting for it either.
 */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { decodeJwt } from 'jose';
import { standby } from '../own-cluster.ts';
import { newSessionKey, type SessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';
import type { ManagementAnswer } from '../test-operator.ts';

const world = await createTestWorld();
const broker = await world.startBroker();
const olivia = world.operator(broker, 'olivia');
const omar = world.operator(broker, 'omar');
const agent = world.agent(broker, 'report-writer');
const WHY = { reason: 'a test' };
const OWN = '/v1/sessions/current/revoke';

afterEach(() => standby(''));

async function endOwn(session: SessionKey) {
  const proof = agent.proof(session, { claims: { htu: `${TEST_ISSUER}${OWN}` } });
  const response = await fetch(`${broker.url}${OWN}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', DPoP: proof },
    body: JSON.stringify(agent.authenticated({})),
  });
  const body: ManagementAnswer['body'] = await response.json();
  return { status: response.status, body };
}

async function isActive(token: string): Promise<boolean> {
  const server = world.resourceServer(broker, 'https://customers.example.com');
  return (await server.post('/oauth/introspect', server.authenticated({ token }))).body.active;
}

const soon = async <Answer>(asked: Promise<Answer>): Promise<Answer> => {
  const startedAt = performance.now();
  const answer = await asked;
  assert.ok(performance.now() - startedAt < 5_000, 'in bounded time');
  return answer;
};

test('a release is 202 until the standby has it', async () => {
  const order = { target: { kind: 'zone', id: 'analytics' }, ...WHY, wait_seconds: 0 };
  const { body } = await olivia.post('/v1/kill-switch', 'mayfly:engage:kill-switch', order);
  const release = () => omar.post(`/v1/kill-switch/${body.id}/release`, 'mayfly:release:kill-switch', WHY);
  await standby('nobody');
  const first = await soon(release());
  assert.equal(first.status, 202, first.text);
  assert.deepEqual(
    [first.body.effect, first.body.replicated, first.body.complete],
    ['released', false, false],
  );
  assert.equal(decodeJwt(first.body.receipt).replicated, false);
  await standby('');
  assert.equal((await agent.token(newSessionKey())).status, 200, 'it is released here');
  const again = await release();
  assert.deepEqual([again.status, again.body.effect, again.body.replicated], [200, 'none', true]);
  assert.equal(decodeJwt(again.body.receipt).epoch, first.body.released.epoch);
});

test('the release of a quarantine is 202 until the standby has it', async () => {
  await olivia.post('/v1/agents/report-writer/quarantine', 'mayfly:quarantine:agents', WHY);
  await standby('nobody');
  const headers = { 'Idempotency-Key': 'a-release' };
  const release = () =>
    olivia.post('/v1/agents/report-writer/release', 'mayfly:release:agents', WHY, headers);
  const first = await soon(release());
  assert.deepEqual([first.status, first.body.effect, first.body.replicated], [202, 'released', false]);
  await standby('');
  const again = await release();
  assert.deepEqual([again.status, again.body.effect, again.body.replicated], [200, 'released', true]);
});

test('an agent that ends its session is told 202 until the standby has it, and gets its receipt', async () => {
  const session = newSessionKey();
  const { body: minted } = await agent.token(session);
  await standby('nobody');
  const first = await soon(endOwn(session));
  assert.deepEqual([first.status, first.body.replicated, first.body.effect], [202, false, 'revoked']);
  assert.equal(decodeJwt(first.body.receipt).replicated, false);
  await standby('');
  assert.equal(await isActive(minted.access_token), false);
  const again = await endOwn(session);
  assert.deepEqual([again.status, again.body.replicated, again.body.complete], [200, true, true]);
  const receipt = decodeJwt(again.body.receipt);
  assert.deepEqual([receipt.id, receipt.replicated], [first.body.id, true]);
});

test('a revocation by RFC 7009 is 503 until the standby has it, for every token alike', async () => {
  const { body: minted } = await agent.token(newSessionKey());
  const revoke = (token: string) => agent.post('/oauth/revoke', agent.authenticated({ token }));
  await standby('nobody');
  for (const token of [minted.access_token, minted.access_token, 'made up']) {
    const answer = await soon(revoke(token));
    assert.deepEqual([answer.status, answer.body.error], [503, 'temporarily_unavailable']);
    assert.ok(Number(answer.headers.get('retry-after')) > 0);
  }
  await standby('');
  assert.equal(await isActive(minted.access_token), false, 'it is revoked here all the same');
  assert.equal((await revoke(minted.access_token)).status, 200);
});

test('a key that the ledger need not know is revoked by 202 until the standby has it', async () => {
  const { body } = await olivia.get('/v1/signing-keys', 'mayfly:read:signing-keys');
  const { kid } = body.data.find((key: { purpose: string }) => key.purpose === 'nonce');
  await standby('nobody');
  const revoke = () => olivia.post(`/v1/signing-keys/${kid}/revoke`, 'mayfly:revoke:signing-keys', WHY);
  const first = await soon(revoke());
  assert.deepEqual([first.status, first.body.epoch, first.body.replicated], [202, null, false]);
  await standby('');
  const again = await revoke();
  assert.deepEqual([again.status, again.body.replicated], [200, true]);
});
