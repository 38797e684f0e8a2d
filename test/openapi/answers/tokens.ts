/** Tokens are minted, looked at and revoked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRevocationStore } from '../../../src/revocations/revocation-store.ts';
import { systemClock } from '../../../src/time/clock.ts';
import { type FormFields, newSessionKey } from '../../test-agent.ts';
import { decoded, schema, violations } from '../contract.ts';
import { exchange, FORM, postForm, postJson } from '../exchange.ts';
import { REFUSED_MINTS } from '../refused-mints.ts';
import { CUSTOMERS, callOf, STORAGE } from '../stage.ts';
import { BASIC, hold, INTROSPECT, MINT, REVOKE, stage, TOO_LONG, world } from './asked.ts';

const EXPORTS = callOf('storage:write:exports', `${STORAGE}/exports?a=b`);

test('tokens are minted as described, for actions and for one call', async () => {
  const { access_token: text } = hold(MINT, '200', await stage.mint());
  const { header, claims } = decoded(String(text));
  assert.deepEqual(violations(schema('AccessTokenHeader'), header, 'header'), []);
  assert.deepEqual(violations(schema('AccessTokenClaims'), claims, 'claims'), []);
  const scope = 'db:read:customers db:read:orders';
  hold(MINT, '200', await stage.mint({ ttl_seconds: '60', resource: CUSTOMERS, scope }));
  hold(MINT, '200', await stage.mint(EXPORTS));
});

for (const [what, cases] of Object.entries(REFUSED_MINTS)) {
  test(`${what} is refused as described`, async () => {
    for (const [expected, ask] of cases) hold(MINT, expected, await ask(stage));
  });
}

test('a spent proof and a spent assertion are refused as described', async () => {
  const session = newSessionKey();
  const dpop = stage.agent().proof(session);
  hold(MINT, '200', await stage.mint({}, { session, dpop }));
  hold(MINT, '400 invalid_dpop_proof', await stage.mint({}, { session, dpop }));
  const fields = { client_assertion: stage.agent().assertion() };
  hold(MINT, '200', await stage.mint(fields));
  hold(MINT, '401 invalid_client', await stage.mint(fields));
});

test('an ended session and a stopped agent are refused as described', async () => {
  const session = newSessionKey();
  const { session_id: id } = hold(MINT, '200', await stage.mint({}, { session }));
  const ledger = createRevocationStore(world.owner, systemClock);
  const entry = { reason: 'test', actor: 'test', requestId: undefined };
  await ledger.append({ target: { kind: 'session', id: String(id) }, standing: false, ...entry });
  hold(MINT, '400 session_ended', await stage.mint({}, { session }));
  await ledger.append({ target: { kind: 'agent', id: 'billing-runner' }, standing: true, ...entry });
  const stopped = await stage.mint({ scope: 'billing:read:invoices' }, { agent: 'billing-runner' });
  hold(MINT, '400 agent_stopped', stopped);
});

test('introspection answers as described', async () => {
  const ask = (fields: FormFields) => postForm(stage.url('/oauth/introspect'), fields);
  const token = await stage.tokenFor();
  const active = hold(INTROSPECT, '200', await ask(stage.customers().authenticated({ token })));
  assert.equal(active.active, true);
  const { text } = await stage.callToken();
  hold(INTROSPECT, '200', await ask(stage.storage().authenticated({ token: text })));
  const foreign = hold(INTROSPECT, '200', await ask(stage.storage().authenticated({ token })));
  assert.deepEqual(foreign, { active: false });
  hold(INTROSPECT, '400 invalid_request', await ask(stage.customers().authenticated({})));
  hold(INTROSPECT, '400 unauthorized_client', await ask(stage.agent().authenticated({ token })));
});

test('revocation answers as described', async () => {
  const ask = (fields: FormFields) =>
    postForm(stage.url('/oauth/revoke'), stage.agent().authenticated(fields));
  hold(REVOKE, '200', await ask({ token: await stage.tokenFor() }));
  hold(REVOKE, '200', await ask({ token: 'made up' }));
  hold(REVOKE, '400 invalid_request', await ask({}));
});

for (const operation of [MINT, INTROSPECT, REVOKE]) {
  test(`${operation} refuses what is no form, and who does not authenticate, as described`, async () => {
    const url = stage.url(operation.slice('POST '.length));
    const known = { grant_type: 'client_credentials', scope: 'a', token: 'a' };
    hold(operation, '401 invalid_client', await postForm(url, known));
    hold(operation, '401 invalid_client', await postForm(url, known, BASIC));
    hold(operation, '413 content_too_large', await postForm(url, { token: TOO_LONG }));
    hold(operation, '415 unsupported_media_type', await postJson(url, {}));
    hold(operation, '400 invalid_dpop_proof', await postForm(url, {}, { DPoP: ['a', 'b'] }));
    for (const [name, code] of [
      ['scope', 'invalid_scope'],
      ['resource', 'invalid_target'],
      ['authorization_details', 'invalid_authorization_details'],
    ]) {
      const unreadable = { method: 'POST', headers: { 'Content-Type': FORM }, body: `${name}=%ZZ` };
      hold(operation, `400 ${code}`, await exchange(url, unreadable));
    }
  });
}
