import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER, type TestWorld } from '../test-broker.ts';

let world: TestWorld;
let broker: { url: string };
before(async () => {
  world = await createTestWorld();
  broker = await world.startBroker();
});

test('an agent gets a token that is bound to its key and names what it may do', async () => {
  const agent = world.agent(broker, 'report-writer');
  const session = newSessionKey();
  const { status, headers, body } = await agent.token(session);
  assert.equal(status, 200, JSON.stringify(body));
  assert.equal(body.token_type, 'DPoP');
  assert.equal(body.expires_in, 300);
  assert.equal(body.scope, 'db:read:customers');
  assert.match(body.session_id, /^ses_/);
  assert.equal(headers.get('cache-control'), 'no-store');
  assert.ok(headers.get('dpop-nonce'));
  const { alg, typ, kid } = decodeProtectedHeader(body.access_token);
  assert.deepEqual({ alg, typ }, { alg: 'EdDSA', typ: 'at+jwt' });
  const keys = (await (await fetch(`${broker.url}/.well-known/jwks.json`)).json()) as {
    keys: { kid: string }[];
  };
  assert.ok(keys.keys.some((key) => key.kid === kid));
  const claims = decodeJwt(body.access_token);
  assert.equal(claims.iss, TEST_ISSUER);
  assert.equal(claims.client_id, 'report-writer');
  assert.match(claims.sub ?? '', /^agt_/);
  assert.equal(claims.aud, 'https://customers.example.com');
  assert.deepEqual(claims.cnf, { jkt: session.jkt });
  assert.equal(claims.sid, body.session_id);
  assert.equal(claims.zone, 'analytics');
  assert.equal(claims.epoch, 0);
  assert.equal((claims.exp ?? 0) - (claims.iat ?? 0), 300);
});

test('the same key continues its session, a new key opens another', async () => {
  const agent = world.agent(broker, 'report-writer');
  const session = newSessionKey('ed25519');
  const first = await agent.token(session);
  const second = await agent.token(session);
  const other = await agent.token(newSessionKey());
  assert.equal(first.body.session_id, second.body.session_id);
  assert.notEqual(first.body.session_id, other.body.session_id);
});
