/** The ledger, leases and proofs: what verifiers ask. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nowSeconds } from '../../test-agent.ts';
import { decoded, schema, violations } from '../contract.ts';
import { exchange, postForm, postJson } from '../exchange.ts';
import { broker, hold, LEASE, LEDGER, SPEND, stage, TOO_LONG, world } from './asked.ts';

test('the ledger is read as described, by resource servers and by operators', async () => {
  const page = hold(LEDGER, '200', await stage.readLedger());
  assert.deepEqual(violations(schema('LedgerPageClaims'), decoded(String(page.page)).claims, 'page'), []);
  hold(
    LEDGER,
    '200',
    await exchange(stage.url('/v1/revocations'), { method: 'HEAD', headers: stage.streaming() }),
  );
  const olivia = world.operator(broker, 'olivia');
  assert.equal((await olivia.get('/v1/revocations', 'mayfly:read:revocations')).status, 200);
  const scope = await olivia.token('mayfly:read:sessions');
  const asOlivia = (
    token: string,
    proof = olivia.proof({ method: 'GET', path: '/v1/revocations', token }),
  ) => ({
    Authorization: `DPoP ${token}`,
    DPoP: proof,
  });
  const ask = (headers: Record<string, string | string[]>, query = '') =>
    exchange(stage.url(`/v1/revocations${query}`), { headers });
  hold(LEDGER, '403 insufficient_scope', await ask(asOlivia(scope)));
  hold(LEDGER, '401 invalid_token', await ask(asOlivia('a.b.c', 'a.b.c')));
  hold(LEDGER, '401 invalid_dpop_proof', await ask(asOlivia(scope, 'a.b.c')));
  hold(LEDGER, '401 credentials_missing', await ask({}));
  hold(LEDGER, '401 invalid_client', await ask({ Authorization: 'Bearer a.b.c' }));
  hold(LEDGER, '400 invalid_request', await ask({}, '?since=x'));
  hold(LEDGER, '400 invalid_dpop_proof', await ask({ DPoP: ['a', 'b'] }));
  const agent = { Authorization: `Bearer ${stage.agent().assertion()}` };
  hold(LEDGER, '400 unauthorized_client', await ask(agent));
});

test('leases are granted and refused as described', async () => {
  const verifier = stage.verifier();
  const question = verifier.question();
  assert.deepEqual(violations(schema('QuestionClaims'), decoded(question).claims, 'question'), []);
  const { answer } = hold(LEASE, '200', await stage.renewLease(question));
  assert.deepEqual(violations(schema('LeaseClaims'), decoded(String(answer)).claims, 'answer'), []);
  hold(LEASE, '200', await stage.renewLease(verifier.question({ leaving: true })));
  hold(LEASE, '409 verifier_refused', await stage.renewLease(verifier.question()));
  hold(LEASE, '400 invalid_request', await stage.renewLease(verifier.question({ nonce: 'short' })));
  hold(LEASE, '401 invalid_client', await stage.renewLease('a.b.c'));
  const asAgent = stage.agent().assertion({ header: { typ: 'mayfly-question+jwt' } });
  hold(LEASE, '400 unauthorized_client', await stage.renewLease(asAgent));
  const url = stage.url('/v1/verifiers/current/lease');
  hold(LEASE, '400 invalid_request', await postJson(url, { question, more: 1 }));
  hold(LEASE, '400 invalid_dpop_proof', await postJson(url, { question }, { DPoP: ['a', 'b'] }));
  hold(LEASE, '413 content_too_large', await postJson(url, { question: TOO_LONG }));
  hold(LEASE, '415 unsupported_media_type', await postForm(url, { question }));
});

test('proofs are written down as described', async () => {
  const proofs = [{ name: 'a'.repeat(32), filed_at: nowSeconds() }];
  assert.deepEqual(hold(SPEND, '200', await stage.spendProofs({ proofs })).fresh, [true]);
  assert.deepEqual(hold(SPEND, '200', await stage.spendProofs({ proofs })).fresh, [false]);
  hold(SPEND, '400 invalid_request', await stage.spendProofs({ proofs: [] }));
  hold(SPEND, '400 unauthorized_client', await stage.spendProofs(stage.agent().authenticated({})));
  hold(SPEND, '401 invalid_client', await stage.spendProofs({ client_assertion: 'a.b.c' }));
  const url = stage.url('/v1/proofs/spend');
  hold(SPEND, '400 invalid_dpop_proof', await postJson(url, {}, { DPoP: ['a', 'b'] }));
  hold(SPEND, '413 content_too_large', await postJson(url, { client_assertion: TOO_LONG }));
  hold(SPEND, '415 unsupported_media_type', await postForm(url, { nonce: 'a' }));
});
