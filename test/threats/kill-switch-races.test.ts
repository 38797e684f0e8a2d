/** KIL, RAC: the switch between two people, two brokers and a restart. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createVerifier, type VerifierOptions } from '../../src/verifier/index.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';

const world = await createTestWorld();
const CUSTOMERS = 'https://customers.example.com';
const PATH = '/v1/kill-switch';
const WHY = { reason: 'an attack' };
const kill = (target: object) => ({ target, wait_seconds: 0, ...WHY });

test('RAC: two people who kill and release the same at once leave one truth, and an answer for each', async () => {
  const [one, other] = [await world.startBroker(), await world.startBroker()];
  const [olivia, omar] = [world.operator(one, 'olivia'), world.operator(other, 'omar')];
  const people = [olivia, omar];
  const seen = new Set<string>();
  for (let round = 0; round < 6; round += 1) {
    const asked = Array.from({ length: 8 }, (_, n) => {
      const person = people[n % 2] ?? olivia;
      const known = [...seen].at(-1);
      return n < 4 || known === undefined
        ? person.post(PATH, 'mayfly:engage:kill-switch', kill({ kind: 'zone', id: 'analytics' }))
        : person.post(`${PATH}/${known}/release`, 'mayfly:release:kill-switch', WHY);
    });
    for (const { status, body } of await Promise.all(asked)) {
      assert.ok([200, 202, 403].includes(status), JSON.stringify(body));
      if (status === 403) assert.equal(body.code, 'another_person_needed');
      else if (body.effect === 'engaged') seen.add(body.id);
    }
  }
  const entries = await world.query<{
    epoch: number;
    standing: boolean;
    actor: string;
    releaser: string | null;
  }>(
    `select r.epoch::float8 as epoch, r.standing, r.actor, l.actor as releaser
       from revocations r left join revocations l on l.releases = r.epoch order by r.epoch`,
  );
  assert.deepEqual(
    entries.map(({ epoch }) => epoch),
    entries.map((_, index) => index + 1),
    'no epoch is missing',
  );
  const kills = entries.filter(({ standing }) => standing);
  assert.equal(kills.length, seen.size, 'as many as were said to be engaged');
  assert.ok(kills.filter(({ releaser }) => releaser === null).length <= 1, 'one target stands once');
  for (const { actor, releaser } of kills) assert.notEqual(actor, releaser);
});

test('KIL: what is stopped stays stopped for brokers and enforcement points that begin afterwards', async () => {
  const before = await world.startBroker();
  const session = newSessionKey();
  const minted = await world
    .agent(before, 'support-assistant')
    .token(session, { scope: 'db:read:customers' });
  assert.equal(minted.status, 200, minted.text);
  const { body: killed } = await world
    .operator(before, 'olivia')
    .post(PATH, 'mayfly:engage:kill-switch', kill({ kind: 'all' }));
  await before.stop();

  const since = await world.startBroker();
  const agent = world.agent(since, 'support-assistant');
  for (const key of [session, newSessionKey()])
    assert.equal((await agent.token(key, { scope: 'db:read:customers' })).body.code, 'agent_stopped');
  const server = world.resourceServer(since, CUSTOMERS);
  const { body } = await server.post(
    '/oauth/introspect',
    server.authenticated({ token: minted.body.access_token }),
  );
  assert.deepEqual(body, { active: false });
  const verifier = createVerifier({
    issuer: TEST_ISSUER,
    brokers: [since.url],
    resource: CUSTOMERS,
    key: world.scopes.keys.get('customers') as VerifierOptions['key'],
    timeoutMilliseconds: 10_000,
  });
  after(() => verifier.close());
  await verifier.ready();
  assert.ok(verifier.status().epoch >= killed.epoch, 'it serves only with the kill applied');

  const released = await world
    .operator(since, 'omar')
    .post(`${PATH}/${killed.id}/release`, 'mayfly:release:kill-switch', WHY);
  assert.equal(released.body.effect, 'released');
  const again = await server.post(
    '/oauth/introspect',
    server.authenticated({ token: minted.body.access_token }),
  );
  assert.deepEqual(again.body, { active: false }, 'old tokens stay dead');
});
