/** The kill switch. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answer, decoded, schema, violations } from '../contract.ts';
import { exchange } from '../exchange.ts';
import { MANAGED } from '../managed.ts';
import { broker, hold, management, stage, TOO_LONG, WHY, world } from './asked.ts';

const ENGAGE = 'POST /v1/kill-switch';
const PREVIEW = 'POST /v1/kill-switch/preview';
const DRILL = 'POST /v1/kill-switch/drill';
const RELEASE_SWITCH = 'POST /v1/kill-switch/{id}/release';

test('the kill switch is engaged, previewed and released as described', async () => {
  const ask = (name: string, sent: Parameters<typeof management.ask>[1]) => {
    const operation = MANAGED.find((each) => each.name === name);
    assert.ok(operation, name);
    return management.ask(operation, sent);
  };
  const target = { kind: 'zone', id: 'support' };
  const body = { target, ...WHY, wait_seconds: 0 };
  hold(PREVIEW, '200', await ask(PREVIEW, { body: { target } }));
  hold(DRILL, '200', await ask(DRILL, { body: {} }));
  await management.addVerifier();
  const headers = { 'Idempotency-Key': 'a-kill' };
  await omar(await management.stoppedZone());
  const partial = hold(ENGAGE, '202', await ask(ENGAGE, { body, headers }));
  await management.leaveVerifiers();
  const { id, receipt } = hold(ENGAGE, '200', await ask(ENGAGE, { body, headers }));
  assert.equal(id, partial.id);
  const { header, claims } = decoded(String(receipt));
  assert.deepEqual(violations(schema('ReceiptHeader'), header, 'header'), []);
  assert.deepEqual(violations(schema('ReceiptClaims'), claims, 'claims'), []);
  hold(
    ENGAGE,
    '422 idempotency_key_reused',
    await ask(ENGAGE, { body: { ...body, wait_seconds: 1 }, headers }),
  );

  const path = `/v1/kill-switch/${id}/release`;
  hold(RELEASE_SWITCH, '403 another_person_needed', await ask(RELEASE_SWITCH, { path, body: WHY }));
  await management.addVerifier();
  hold(RELEASE_SWITCH, '202', await omar(String(id)));
  await management.leaveVerifiers();
  hold(RELEASE_SWITCH, '200', await omar(String(id)));
  hold(RELEASE_SWITCH, '422 idempotency_key_reused', await ask(RELEASE_SWITCH, { path, body: WHY, headers }));

  for (const [name, good] of [
    [ENGAGE, body],
    [PREVIEW, { target }],
    [DRILL, {}],
    [RELEASE_SWITCH, WHY],
  ] as const) {
    const at = name === RELEASE_SWITCH ? { path } : {};
    hold(name, '400 invalid_request', await ask(name, { ...at, body: { ...good, more: 1 } }));
    hold(name, '413 content_too_large', await ask(name, { ...at, body: { a: TOO_LONG } }));
    const text = { 'Content-Type': 'text/plain' };
    hold(name, '415 unsupported_media_type', await ask(name, { ...at, headers: text, body: good }));
  }
});

/** Whoever may release what olivia engaged. */
async function omar(id: string): Promise<Answer> {
  const operator = world.operator(broker, 'omar');
  const path = `/v1/kill-switch/${id}/release`;
  const token = await operator.token('mayfly:release:kill-switch');
  const headers = {
    Authorization: `DPoP ${token}`,
    DPoP: operator.proof({ method: 'POST', path, token }),
    'Content-Type': 'application/json',
  };
  return exchange(stage.url(path), { method: 'POST', headers, body: JSON.stringify(WHY) });
}
