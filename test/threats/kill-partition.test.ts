/** KIL-10: a broker that is cut off from the database knows of no kill, so it decides nothing, and says nothing new. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createVerifier, type VerifierOptions } from '../../src/verifier/index.ts';
import { until } from '../broker-process.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';
import { createDatabaseProxy } from './database-proxy.ts';

const world = await createTestWorld();
const proxy = await createDatabaseProxy(world.database);
const cutOff = await world.startBroker({ settings: { DATABASE_URL: proxy.applicationUrl } });
const other = await world.startBroker();
const olivia = world.operator(other, 'olivia');
const omar = world.operator(other, 'omar');
const BILLING = 'https://billing.example.com';
const LEASE_MILLISECONDS = 3_000;
/** A statement whose answer is lost is given up after seven seconds. */
const PATIENCE_MILLISECONDS = 15_000;

const verifier = createVerifier({
  issuer: TEST_ISSUER,
  brokers: [cutOff.url],
  resource: BILLING,
  key: world.scopes.keys.get('billing') as VerifierOptions['key'],
});
after(() => verifier.close());
const agent = world.agent(cutOff, 'report-writer');
const customers = world.resourceServer(cutOff, 'https://customers.example.com');

for (const mode of ['cut', 'silent'] as const) {
  test(`KIL-10: a broker whose database is ${mode} decides nothing, and lets no verifier go on beyond its lease`, async () => {
    await verifier.ready();
    const { body: minted } = await agent.token(newSessionKey());
    const cutAt = performance.now();
    proxy.become(mode);
    const order = { target: { kind: 'all' }, reason: 'a partition', wait_seconds: 0 };
    const killed = await olivia.post('/v1/kill-switch', 'mayfly:engage:kill-switch', order);
    assert.equal(killed.status, 202, killed.text);
    const [told] = killed.body.verifiers;
    assert.equal(told.resource, BILLING);

    const asked = await Promise.all([
      agent.request(newSessionKey()),
      customers.post('/oauth/introspect', customers.authenticated({ token: minted.access_token })),
      agent.post('/oauth/revoke', agent.authenticated({ token: minted.access_token })),
    ]);
    assert.deepEqual(
      asked.map(({ status }) => status),
      [503, 503, 503],
    );
    const isServing = () => verifier.status().serving.HIGH === 'granted';
    await until(() => performance.now() - cutAt > LEASE_MILLISECONDS, 'every lease from before has ended');
    assert.equal(isServing(), false, 'nobody renewed it');
    assert.ok(Date.parse(told.stops_at) > Date.parse(killed.body.committed_at), 'what is LOW ends by then');

    proxy.become('open');
    await until(isServing, 'it goes on once the database is back', PATIENCE_MILLISECONDS);
    assert.ok(verifier.status().epoch >= killed.body.epoch, 'knowing of the kill');
    const path = `/v1/kill-switch/${killed.body.id}`;
    const isComplete = async () => (await olivia.get(path, 'mayfly:read:kill-switch')).body.complete === true;
    await until(isComplete, 'it says that it has applied it');
    await omar.post(`${path}/release`, 'mayfly:release:kill-switch', { reason: 'it is over' });
  });
}
