import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Broker } from '../../src/broker.ts';
import { createRevocationStore } from '../../src/revocations/revocation-store.ts';
import { systemClock } from '../../src/time/clock.ts';
import { createTestWorld, type TestWorld } from '../test-broker.ts';
import type { TestOperator } from '../test-operator.ts';

const CUSTOMERS = 'https://customers.example.com';
const STORAGE = 'https://storage.example.com';

let world: TestWorld;
let broker: Broker;
let olivia: TestOperator;
before(async () => {
  world = await createTestWorld();
  broker = await world.startBroker();
  olivia = world.operator(broker, 'olivia');
});

async function list(query = '') {
  const { status, body } = await olivia.get(`/v1/verifiers${query}`, 'mayfly:read:verifiers');
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

const revoke = () =>
  createRevocationStore(world.owner, systemClock).append({
    target: { kind: 'session', id: 'ses_x' },
    standing: false,
    reason: 'test',
    actor: 'test',
    requestId: undefined,
  });

test('operators see who has applied what, how far behind, and until when it may decide', async () => {
  const first = await revoke();
  const current = world.verifier(broker, CUSTOMERS);
  await current.renew({ sensitivities: ['MED', 'HIGH'] });
  await current.renew({ sensitivities: ['MED', 'HIGH'] });
  await revoke();
  await revoke();
  const { data } = await list();
  const [seen] = data;
  assert.deepEqual(
    { ...seen, started_at: 0, renewed_at: 0, lease_ends_at: 0, lag_seconds: 0 },
    {
      instance: current.instance,
      resource: CUSTOMERS,
      state: 'live',
      started_at: 0,
      renewed_at: 0,
      generation: 1,
      applied_epoch: first.epoch,
      lag_epochs: 2,
      lag_seconds: 0,
      lease_seconds: 30,
      lease_ends_at: 0,
    },
  );
  assert.ok(seen.lag_seconds > 0 && seen.lag_seconds < 60);
  assert.ok(Date.parse(seen.lease_ends_at) - Date.parse(seen.renewed_at) === 30_000);
  await current.renew();
  await current.renew();
  const [caughtUp] = (await list()).data;
  assert.deepEqual([caughtUp.lag_epochs, caughtUp.lag_seconds], [0, 0]);
  await current.renew({ leaving: true });
});

test('they are filtered by resource and state, and come page by page', async () => {
  const live = [world.verifier(broker, STORAGE), world.verifier(broker, STORAGE)];
  for (const each of live) await each.renew();
  const closed = world.verifier(broker, STORAGE);
  await closed.renew({ leaving: true });
  const ended = world.verifier(broker, STORAGE);
  await ended.renew();
  await world.query('update verifiers set lease_ends_at = now() where instance = $1', [ended.instance]);

  const namesOf = (body: { data: { instance: string }[] }) => body.data.map(({ instance }) => instance);
  const of = `?resource=${encodeURIComponent(STORAGE)}`;
  assert.deepEqual(
    namesOf(await list(`${of}&state=live`)),
    live
      .map(({ instance }) => instance)
      .sort()
      .reverse(),
  );
  assert.deepEqual(namesOf(await list(`${of}&state=closed`)), [closed.instance]);
  assert.deepEqual(namesOf(await list(`${of}&state=ended`)), [ended.instance]);

  const all = namesOf(await list(of));
  assert.equal(all.length, 4);
  const paged: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page = await list(`${of}&limit=1${cursor === '' ? '' : `&cursor=${cursor}`}`);
    paged.push(...namesOf(page));
    cursor = page.next_cursor;
  }
  assert.deepEqual(paged, all);
});

test('metrics say how many are live and how far the last of them is behind', async () => {
  await world.query('update verifiers set closed_at = now() where closed_at is null');
  const one = world.verifier(broker, CUSTOMERS);
  await one.renew({ sensitivities: ['LOW'] });
  await one.renew({ sensitivities: ['LOW'] });
  await revoke();
  const other = await world.startBroker(); // whose metrics nobody has asked for lately
  const text = await (await fetch(`${other.metricsUrl}/metrics`)).text();
  const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  assert.equal(value('mayfly_verifiers_live'), 1);
  assert.equal(value('mayfly_verifiers_lag_epochs'), 1);
  assert.ok(value('mayfly_verifiers_lag_seconds') > 0);
});

test('whoever is closed lags behind nothing, however far the ledger goes on', async () => {
  const gone = world.verifier(broker, CUSTOMERS);
  await gone.renew({ leaving: true });
  await revoke();
  const { data } = await list('?state=closed');
  const row = data.find(({ instance }: { instance: string }) => instance === gone.instance);
  assert.deepEqual([row.lag_epochs, row.lag_seconds], [null, null]);
});
