/** Signing keys, revoked by operators. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';
import { CUSTOMERS, WHY } from './management-stage.ts';

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
