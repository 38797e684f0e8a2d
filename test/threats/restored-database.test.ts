/**
 * FLT-26: a database that was restored has forgotten which proofs and assertions were used. Whoever recorded one cannot
 * use it again, and whoever makes new ones is served at once.
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Broker } from '../../src/broker.ts';
import { moveHead } from '../../src/revocations/head-store.ts';
import { systemClock } from '../../src/time/clock.ts';
import { until } from '../broker-process.ts';
import { newSessionKey, nowSeconds } from '../test-agent.ts';
import { createTestWorld, type TestWorld } from '../test-broker.ts';

let world: TestWorld;
let broker: Broker;
before(async () => {
  world = await createTestWorld();
  broker = await world.startBroker({ settings: { MAYFLY_DPOP_NONCE: 'optional' } });
});

/** Nothing that was used is known any more; then somebody says that the ledger goes on here. */
async function restore(): Promise<void> {
  await world.query('delete from spent_jti');
  const { epoch } = await moveHead({
    owner: world.owner,
    above: 0,
    reason: 'a test',
    actor: 'test',
    clock: systemClock,
  });
  await until(async () => (await ledgerDetail()) === `epoch ${epoch}`, 'the broker has seen it');
}

async function ledgerDetail(): Promise<string> {
  const { checks } = (await (await fetch(`${broker.url}/readyz`)).json()) as {
    checks: { ledger: { detail: string } };
  };
  return checks.ledger.detail;
}

/** As if the head had been moved some time ago. */
async function later(seconds: number): Promise<void> {
  await world.query(`update revocation_head set moved_at = moved_at - make_interval(secs => ${seconds})`);
}

async function reasonOf({ request_id: id }: { request_id: string }): Promise<string | undefined> {
  const [row] = await world.query<{ reason: string }>(
    'select reason from audit_entries where request_id = $1',
    [id],
  );
  return row?.reason;
}

test('FLT-26: a proof that was used before is challenged for a nonce of now, and one with that is served', async () => {
  const agent = world.agent(broker, 'report-writer');
  await agent.request(newSessionKey()); // knows a nonce from now on
  const withoutNonce = { claims: { nonce: undefined } };
  const ahead = { claims: { nonce: undefined, iat: nowSeconds() + 14 } };
  const used = [{}, withoutNonce, ahead].map((bend) => {
    const session = newSessionKey();
    return { session, proof: agent.proof(session, bend) };
  });
  for (const { session, proof } of used) {
    assert.equal((await agent.request(session, {}, proof)).status, 200);
    assert.equal((await agent.request(session, {}, proof)).body.code, 'invalid_dpop_proof', 'it is spent');
  }
  await restore();
  for (const { session, proof } of used) {
    const { status, headers, body, text } = await agent.request(session, {}, proof);
    assert.deepEqual([status, body.error], [400, 'use_dpop_nonce'], text);
    assert.match(body.hint, /nonce/);
    assert.ok(headers.get('dpop-nonce'));
  }
  assert.equal(
    (await agent.request(newSessionKey())).status,
    200,
    'with the nonce of the challenge, at once',
  );
});

test('FLT-26: whoever sends no nonces is served without one again as soon as its proofs cannot be from before', async () => {
  const agent = world.agent(broker, 'report-writer');
  const withoutNonce = () => {
    const session = newSessionKey();
    return agent.request(session, {}, agent.proof(session, { claims: { nonce: undefined } }));
  };
  assert.equal((await withoutNonce()).body.error, 'use_dpop_nonce');
  await later(16);
  await until(async () => (await withoutNonce()).status === 200, 'the broker has looked');
});

test('FLT-26: an assertion from before is refused, wherever it is used, and a new one is good', async () => {
  const agent = world.agent(broker, 'report-writer');
  const server = world.resourceServer(broker, 'https://customers.example.com');
  const now = nowSeconds();
  const stolen = [
    agent.assertion({ claims: { iat: now - 2 } }),
    agent.assertion({ claims: { iat: undefined, exp: now + 290 } }),
  ];
  const { body } = await agent.token(newSessionKey());
  const introspection = server.authenticated({
    token: body.access_token,
    client_assertion: server.assertion({ claims: { iat: now - 2 } }),
  });
  await restore();
  const reasons = [];
  for (const assertion of stolen) {
    const thief = newSessionKey();
    const { status, headers, body, text } = await agent.token(thief, { client_assertion: assertion });
    assert.deepEqual([status, body.error], [401, 'invalid_client'], text);
    assert.equal(headers.get('www-authenticate'), null);
    assert.match(text, /restored/);
    reasons.push(await reasonOf(body));
  }
  assert.equal(reasons[0], 'assertion_forgotten'); // the next one of the same caller is folded into it
  assert.equal((await server.post('/oauth/introspect', introspection)).status, 401);
  assert.equal((await agent.token(newSessionKey())).status, 200);
  assert.equal((await server.post('/oauth/introspect', server.authenticated({ token: 'x' }))).status, 200);
  await later(300);
  await until(async () => {
    const client_assertion = agent.assertion({ claims: { iat: undefined } });
    return (await agent.token(newSessionKey(), { client_assertion })).status === 200;
  }, 'an assertion that says nothing of its beginning is good again');
});

test('FLT-26: an operator, whom no wide revocation reaches, cannot be impersonated by what was recorded', async () => {
  const olivia = world.operator(broker, 'olivia');
  const request = { method: 'GET', path: '/v1/sessions' } as const;
  const token = await olivia.token('mayfly:read:sessions');
  const proof = olivia.proof({ ...request, token });
  assert.equal((await olivia.send({ ...request, token, proof })).status, 200);
  await restore();
  const replayed = await olivia.send({ ...request, token, proof });
  assert.deepEqual([replayed.status, replayed.body.code], [401, 'use_dpop_nonce'], replayed.text);
  const nonce = replayed.headers.get('dpop-nonce');
  const fresh = olivia.proof({ ...request, token }, { claims: { nonce } });
  assert.equal((await olivia.send({ ...request, token, proof: fresh })).status, 200);
});
