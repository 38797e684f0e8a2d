import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTestWorld } from '../test-broker.ts';

const world = await createTestWorld();
const broker = await world.startBroker();

test('an operator gets a token for the actions of its roles, for the issuer, at the token endpoint', async () => {
  const olivia = world.operator(broker, 'olivia');
  const text = await olivia.token('mayfly:revoke:sessions mayfly:read:sessions');
  const claims = JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString());
  assert.equal(claims.aud, 'https://broker.example.com');
  assert.equal(claims.zone, 'mayfly');
  assert.match(claims.sub, /^opr_/);
  assert.equal(claims.scope, 'mayfly:read:sessions mayfly:revoke:sessions');
  assert.equal(claims.exp - claims.iat, 120);
});
