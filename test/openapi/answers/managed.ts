/** What operators see and change. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MANAGED } from '../managed.ts';
import { hold, management, TOO_LONG, WHY } from './asked.ts';

const RELEASE = 'POST /v1/agents/{id}/release';
const QUARANTINE = 'POST /v1/agents/{id}/quarantine';

for (const operation of MANAGED) {
  const { name, path: template, method } = operation;

  test(`${name} lets in whom the document says`, async () => {
    hold(name, '401 credentials_missing', await management.ask(operation, { action: null }));
    const bearer = { Authorization: 'Bearer abc' };
    hold(name, '401 invalid_token', await management.ask(operation, { action: null, headers: bearer }));
    const [other] = MANAGED.filter(({ action }) => action !== operation.action);
    const answer = await management.ask(operation, { action: other?.action ?? '' });
    hold(name, '403 insufficient_scope', answer);
    hold(name, '400 invalid_dpop_proof', await management.ask(operation, { headers: { DPoP: ['a', 'b'] } }));
    if (!template.includes('{')) return;
    hold(
      name,
      '404 not_found',
      await management.ask(operation, { body: method === 'POST' ? WHY : undefined }),
    );
  });

  if (method === 'GET') {
    test(`${name} answers as described`, async () => {
      const path = await management.existing(operation);
      hold(name, '200', await management.ask(operation, { path }));
      const withBody = { path, headers: { 'Content-Type': 'application/json' }, body: {} };
      hold(name, '400 invalid_request', await management.ask(operation, withBody));
      if (template.includes('{') || template.endsWith('/drill')) return;
      hold(name, '400 invalid_request', await management.ask(operation, { path, query: '?agnt=x' }));
      hold(name, '200', await management.ask(operation, { path, query: '?limit=1' }));
    });
  } else if (!name.startsWith('POST /v1/kill-switch')) {
    test(`${name} changes as described`, async () => {
      const path = await management.existing(operation);
      hold(name, '200', await management.ask(operation, { path, body: { dry_run: true } }));
      if (name === RELEASE) {
        hold(name, '409 nothing_to_release', await management.ask(operation, { path, body: WHY }));
        const quarantine = MANAGED.find((each) => each.name === QUARANTINE);
        assert.ok(quarantine);
        const stop = { path: await management.existing(quarantine), body: WHY };
        hold(QUARANTINE, '200', await management.ask(quarantine, stop));
      }
      const headers = { 'Idempotency-Key': `key-of-${name.replaceAll(' ', '-')}` };
      await management.addVerifier();
      const done = hold(name, '202', await management.ask(operation, { path, body: WHY, headers }));
      await management.leaveVerifiers();
      const again = hold(name, '200', await management.ask(operation, { path, body: WHY, headers }));
      assert.deepEqual([again.id, again.epoch, again.effect], [done.id, done.epoch, done.effect]);
      const whole = await management.ask(operation, { path, body: WHY, headers });
      assert.deepEqual(hold(name, '200', whole), again);
      const another = { path, body: { reason: 'another' }, headers };
      hold(name, '422 idempotency_key_reused', await management.ask(operation, another));
      hold(name, '400 invalid_request', await management.ask(operation, { path, body: {} }));
      hold(name, '400 invalid_request', await management.ask(operation, { path, body: { ...WHY, more: 1 } }));
      hold(name, '413 content_too_large', await management.ask(operation, { path, body: { a: TOO_LONG } }));
      const text = { path, headers: { 'Content-Type': 'text/plain' }, body: WHY };
      hold(name, '415 unsupported_media_type', await management.ask(operation, text));
      if (name === QUARANTINE) await released(path);
    });
  }
}

/** The agent of this quarantine is needed by other cases. */
async function released(quarantinePath: string): Promise<void> {
  const release = MANAGED.find(({ name }) => name === RELEASE);
  assert.ok(release);
  const path = quarantinePath.replace('quarantine', 'release');
  hold(RELEASE, '200', await management.ask(release, { path, body: WHY }));
}
