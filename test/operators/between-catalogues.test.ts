/**
 * L24 between `scopes apply` and the restart of the last broker: agents get nothing from a broker of other files, and
 * operators whom both versions declare alike go on, or nobody could pull the kill switch during a rollout.
 */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { Broker } from '../../src/broker.ts';
import { until } from '../broker-process.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';
import { newDeclaredKey } from '../test-scopes.ts';
import { type Edits, editedCatalogue, without } from '../threats/edited-scopes.ts';

const ADA = 'operator: ada\ntitle: A third person\nroles: [admin]\ndevelopment_key: true\n';
const world = await createTestWorld({ files: { 'operators/ada.yaml': ADA } });
afterEach(() => world.apply(world.catalogue));

const OLIVIA = 'operators/olivia.yaml';
const takeOrders = { 'agents/report-writer.yaml': without('- db:read:orders') };
const apply = async (edits: Edits) => world.apply(await editedCatalogue(world, edits));

const untilSeen = (broker: Broker) =>
  until(
    async () => (await fetch(`${broker.url}/readyz`)).status === 503,
    'the broker sees other files applied',
  );

async function asks(broker: Broker, name: string): Promise<[status: number, code: unknown]> {
  const { agent } = world.operator(broker, name);
  const { status, body } = await agent.token(newSessionKey(), { scope: 'mayfly:engage:kill-switch' });
  return [status, body.code];
}

test('operators engage and release at a broker of the old files, before it has looked and after', async () => {
  const broker = await world.startBroker();
  const [olivia, omar] = [world.operator(broker, 'olivia'), world.operator(broker, 'omar')];
  const reporter = world.agent(broker, 'report-writer');
  await apply(takeOrders);
  for (const seen of [false, true]) {
    if (seen) await untilSeen(broker);
    const { body } = await reporter.token(newSessionKey(), { scope: 'db:read:customers' });
    assert.equal(body.code, 'catalogue_differs', 'no agent gets anything');
    const killed = await olivia.post('/v1/kill-switch', 'mayfly:engage:kill-switch', {
      target: { kind: 'zone', id: 'analytics' },
      reason: 'during a rollout',
    });
    assert.equal(killed.body.effect, 'engaged', killed.text);
    const path = `/v1/kill-switch/${killed.body.id}/release`;
    const released = await omar.post(path, 'mayfly:release:kill-switch', { reason: 'over' });
    assert.equal(released.body.effect, 'released', released.text);
  }
});

test('the first request after a change is let through, whatever that broker remembers', async () => {
  const broker = await world.startBroker();
  assert.deepEqual(await asks(broker, 'olivia'), [200, undefined]);
  await apply(takeOrders);
  assert.deepEqual(await asks(broker, 'olivia'), [200, undefined]);
  await world.apply(world.catalogue);
  assert.deepEqual(await asks(broker, 'olivia'), [200, undefined]);
});

test('an operator whose roles the applied version changes waits for the restart, and others do not', async () => {
  const broker = await world.startBroker();
  await apply({ [OLIVIA]: (text) => text.replace('roles: [security]', 'roles: [auditor]') });
  assert.deepEqual(await asks(broker, 'olivia'), [503, 'catalogue_differs']);
  assert.deepEqual(await asks(broker, 'omar'), [200, undefined]);
  await untilSeen(broker);
  assert.deepEqual(await asks(broker, 'olivia'), [503, 'catalogue_differs']);
});

test('an operator whose keys the applied version changes waits for the restart', async () => {
  const broker = await world.startBroker();
  const { declaration } = newDeclaredKey();
  await apply({ [OLIVIA]: (text) => text.replace(/^keys: .*$/m, `keys: [ ${declaration} ]`) });
  assert.deepEqual(await asks(broker, 'olivia'), [503, 'catalogue_differs']);
});

test('an operator whom the applied version does not declare waits too; a new title keeps nobody out', async () => {
  const broker = await world.startBroker();
  await apply({ [OLIVIA]: () => null });
  assert.deepEqual(await asks(broker, 'olivia'), [503, 'catalogue_differs']);
  await world.apply(world.catalogue);
  await apply({ [OLIVIA]: (text) => text.replace('Security on call', 'Security') });
  assert.deepEqual(await asks(broker, 'olivia'), [200, undefined]);
});

test('a broker of new files lets operators in before they are applied', async () => {
  const next = await world.startBroker({ catalogue: await editedCatalogue(world, takeOrders) });
  assert.deepEqual(await asks(next, 'olivia'), [200, undefined]);
});
