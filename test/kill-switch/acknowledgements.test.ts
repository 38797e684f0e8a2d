/** How soon a kill is answered: verifiers say at once what they applied, also right after the one before. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createVerifier, type VerifierOptions } from '../../src/verifier/index.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';

const world = await createTestWorld();
const [broker, other] = [await world.startBroker(), await world.startBroker()];
const olivia = world.operator(broker, 'olivia');
const omar = world.operator(broker, 'omar');
const PATH = '/v1/kill-switch';
const ROUNDS = 8;
/** Of the quicker ones, for a machine has other work to do; a second for each answer is what it must not be. */
const QUICK_MILLISECONDS = 700;

const verifiers = [broker, other].flatMap(({ url }) =>
  ['customers', 'storage'].map((name) =>
    createVerifier({
      issuer: TEST_ISSUER,
      brokers: [url],
      resource: `https://${name}.example.com`,
      key: world.scopes.keys.get(name) as VerifierOptions['key'],
    }),
  ),
);
after(() => Promise.all(verifiers.map((verifier) => verifier.close())));

test('kills and releases one after the other are each complete long before verifiers renew their leases', async () => {
  await Promise.all(verifiers.map((verifier) => verifier.ready()));
  const took: number[] = [];
  const timed = async (ask: () => ReturnType<typeof olivia.post>) => {
    const startedAt = performance.now();
    const answer = await ask();
    // A release is not waited for longer than a second.
    took.push(answer.body.complete ? performance.now() - startedAt : Number.POSITIVE_INFINITY);
    assert.ok(answer.status < 300, answer.text);
    assert.equal(answer.body.verifiers.length, verifiers.length);
    return answer;
  };
  const target = { kind: 'zone', id: 'analytics' };
  for (let round = 0; round < ROUNDS; round += 1) {
    const order = { target, reason: 'a test', wait_seconds: 10 };
    const { body } = await timed(() => olivia.post(PATH, 'mayfly:engage:kill-switch', order));
    assert.equal(body.complete, true);
    const path = `${PATH}/${body.id}/release`;
    await timed(() => omar.post(path, 'mayfly:release:kill-switch', { reason: 'a test' }));
  }
  const [quick = Number.NaN] = took.toSorted((one, other) => one - other).slice(ROUNDS / 2);
  assert.ok(quick < QUICK_MILLISECONDS, `${took.map(Math.round).join(' ')} ms`);
});
