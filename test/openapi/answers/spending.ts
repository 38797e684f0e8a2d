/** Tokens for one call are spent, and sessions end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ASSERTION_TYPE, newSessionKey } from '../../test-agent.ts';
import { TEST_ISSUER } from '../../test-broker.ts';
import { postForm, postJson } from '../exchange.ts';
import { BASIC, CONSUME, hold, management, NO_TOKEN, OWN_AGENT, OWN_END, stage, TOO_LONG } from './asked.ts';

test('a token for one call is spent as described, once', async () => {
  const { jti } = await stage.callToken();
  const spent = hold(CONSUME, '200', await stage.consume(jti, { fields: { nonce: 'abc' } }));
  assert.equal(spent.nonce, 'abc');
  hold(CONSUME, '409 token_spent', await stage.consume(jti));
  hold(CONSUME, '200', await stage.consume((await stage.callToken()).jti));
});

test('spending is refused as described', async () => {
  const dead = await stage.callToken();
  await postForm(stage.url('/oauth/revoke'), stage.agent().authenticated({ token: dead.text }));
  hold(CONSUME, '409 token_dead', await stage.consume(dead.jti));
  hold(CONSUME, '404 token_unknown', await stage.consume(NO_TOKEN));
  hold(CONSUME, '404 token_unknown', await stage.consume('anything'));
  hold(CONSUME, '400 invalid_request', await stage.consume(NO_TOKEN, { fields: { more: 1 } }));
  hold(CONSUME, '400 invalid_dpop_proof', await stage.consume(NO_TOKEN, { headers: { DPoP: ['a', 'b'] } }));
  const url = stage.url(`/v1/tokens/${NO_TOKEN}/consume`);
  hold(CONSUME, '400 unauthorized_client', await postJson(url, stage.agent().authenticated({})));
  const unsigned = { client_assertion_type: ASSERTION_TYPE, client_assertion: 'a.b.c' };
  hold(CONSUME, '401 invalid_client', await postJson(url, unsigned));
  hold(CONSUME, '401 invalid_client', await postJson(url, {}, BASIC));
  hold(CONSUME, '413 content_too_large', await postJson(url, { client_assertion: TOO_LONG }));
  hold(CONSUME, '415 unsupported_media_type', await postForm(url, { nonce: 'a' }));
});

test('a session is ended by its own client as described', async () => {
  const session = newSessionKey();
  await stage.mint({}, { session });
  hold(OWN_END, '404 not_found', await stage.endOwn());
  await management.addVerifier();
  const first = await stage.endOwn({ session, fields: { reason: 'the run is over' } });
  hold(OWN_END, '202', first);
  await management.leaveVerifiers();
  const again = hold(OWN_END, '200', await stage.endOwn({ session }));
  assert.deepEqual([again.effect, again.reason], ['none', 'the run is over']);
  hold(OWN_END, '400 invalid_request', await stage.endOwn({ fields: { more: 1 } }));
  hold(OWN_END, '400 invalid_dpop_proof', await stage.endOwn({ dpop: null }));
  hold(OWN_END, '400 invalid_dpop_proof', await stage.endOwn({ dpop: ['a', 'b'] }));
  const stale = { claims: { htu: ownEndUrl(), nonce: 'AAAAAAAAAAAAAAAAAAAAAA' } };
  hold(OWN_END, '400 use_dpop_nonce', await stage.endOwn({ dpop: stage.agent().proof(session, stale) }));
  const url = stage.url(OWN_END.slice('POST '.length));
  hold(OWN_END, '400 unauthorized_client', await postJson(url, stage.customers().authenticated({})));
  hold(OWN_END, '401 invalid_client', await postJson(url, {}, BASIC));
  hold(OWN_END, '413 content_too_large', await postJson(url, { client_assertion: TOO_LONG }));
  hold(OWN_END, '415 unsupported_media_type', await postForm(url, { nonce: 'a' }));
});

test('who asks who it is is answered as described', async () => {
  const me = hold(OWN_AGENT, '200', await stage.whoAmI());
  assert.deepEqual([me.name, me.kind, me.stopped_by], ['report-writer', 'agent', []]);
  hold(OWN_AGENT, '400 invalid_request', await stage.whoAmI({ fields: { more: 1 } }));
  hold(OWN_AGENT, '400 invalid_dpop_proof', await stage.whoAmI({ dpop: null }));
  hold(OWN_AGENT, '400 invalid_dpop_proof', await stage.whoAmI({ dpop: ['a', 'b'] }));
  const url = stage.url(OWN_AGENT.slice('POST '.length));
  const claims = { htu: `${TEST_ISSUER}/v1/agents/current`, nonce: 'AAAAAAAAAAAAAAAAAAAAAA' };
  const stale = stage.agent().proof(newSessionKey(), { claims });
  hold(OWN_AGENT, '400 use_dpop_nonce', await stage.whoAmI({ dpop: stale }));
  hold(OWN_AGENT, '400 unauthorized_client', await postJson(url, stage.customers().authenticated({})));
  hold(OWN_AGENT, '401 invalid_client', await postJson(url, {}, BASIC));
  hold(OWN_AGENT, '413 content_too_large', await postJson(url, { client_assertion: TOO_LONG }));
  hold(OWN_AGENT, '415 unsupported_media_type', await postForm(url, { nonce: 'a' }));
});

function ownEndUrl(): string {
  return `${TEST_ISSUER}${OWN_END.slice('POST '.length)}`;
}
