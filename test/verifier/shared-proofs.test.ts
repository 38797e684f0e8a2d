import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import {
  createProofMemory,
  createRedisProofs,
  createVerifier,
  type SharedProofs,
} from '../../src/verifier/index.ts';
import { ACTION, createFixture, type Fixture, outcomeOf, SETTLED_SECONDS } from './fixture.ts';

/** What Redis does with `SET … NX PX`, and nothing else of it. */
function createStandIn() {
  const keys = new Map<string, string[]>();
  const command = async (...[name, key = '', ...rest]: string[]): Promise<unknown> => {
    assert.equal(name, 'SET');
    await new Promise(setImmediate); // two instances are never quite at once
    if (keys.has(key)) return null;
    keys.set(key, rest);
    return 'OK';
  };
  return { keys, command };
}

/** Two instances of one server: each has a memory of its own, and both have what they share. */
async function withTwo(
  work: (
    world: Fixture,
    verify: (instance: 0 | 1, asked?: ReturnType<Fixture['request']>) => Promise<string>,
  ) => Promise<void>,
  sharedProofs: SharedProofs,
  timeoutMilliseconds = 2_000,
): Promise<void> {
  const world = await createFixture();
  const nonceSecret = randomBytes(32);
  const instances = [0, 1].map(() => {
    const proofs = createProofMemory({ clock: world.clock, nonceSecret });
    return createVerifier({ ...world.options, proofs, sharedProofs, timeoutMilliseconds });
  });
  world.clock.advanceSeconds(SETTLED_SECONDS);
  try {
    await Promise.all(instances.map((verifier) => verifier.ready()));
    await work(world, async (index, asked = world.request()) => {
      const verification = await (instances[index] ?? assert.fail()).verify(asked, { action: ACTION });
      return outcomeOf(verification);
    });
  } finally {
    await Promise.all(instances.map((verifier) => verifier.close()));
    await world.stop();
  }
}

test('A proof that one instance has seen is used up for the other one, also when both get it at once', async () => {
  const { keys, command } = createStandIn();
  await withTwo(async ({ request }, verify) => {
    const asked = request();
    assert.equal(await verify(0, asked), 'ok');
    assert.equal(await verify(1, asked), 'invalid_dpop_proof proof_replayed');
    const again = request();
    const outcomes = await Promise.all([verify(0, again), verify(1, again)]);
    assert.deepEqual(outcomes.toSorted(), ['invalid_dpop_proof proof_replayed', 'ok']);
    assert.equal(await verify(1), 'ok');
    for (const [key, rest] of keys) {
      assert.match(key, /^mayfly:proof:[0-9a-f]{32}$/, 'neither the key nor the jti of a client');
      assert.deepEqual(rest, ['1', 'NX', 'PX', '180000']);
    }
  }, createRedisProofs({ command }));
});

test('FLT-28: A store that fails, that answers with anything else, or that does not answer is 503, never a yes', async () => {
  const commands: (() => Promise<unknown>)[] = [
    () => Promise.reject(new Error('OOM command not allowed')),
    async () => 'QUEUED',
    async () => 1,
    () => new Promise(() => undefined),
  ];
  for (const command of commands) {
    await withTwo(
      async (_world, verify) => {
        assert.equal(await verify(0), 'temporarily_unavailable proof_store_unreachable');
      },
      createRedisProofs({ command }),
      500,
    );
  }
});

test('What is revoked while the store thinks is refused (L16)', async () => {
  let meanwhile = async (): Promise<void> => undefined;
  const spend = async () => {
    await meanwhile();
    return true;
  };
  await withTwo(
    async (world, verify) => {
      meanwhile = async () => world.clock.advanceSeconds(301);
      assert.equal(await verify(0), 'temporarily_unavailable lease_expired');
    },
    { spend },
  );
});

test('Instances with one secret take the nonces of each other, and a short secret is refused', async () => {
  const nonceSecret = randomBytes(32);
  const world = await createFixture({ noncePolicy: 'required', proofs: createProofMemory({ nonceSecret }) });
  const other = createProofMemory({ nonceSecret });
  const token = world.token();
  const proof = world.proof(token, { claims: { nonce: other.nonce() } });
  assert.equal(outcomeOf(await world.verify(world.request(token, proof))), 'ok');
  await world.stop();
  assert.throws(() => createProofMemory({ nonceSecret: randomBytes(31) }), TypeError);
});
