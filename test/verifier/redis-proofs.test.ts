import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import {
  createProofMemory,
  createRedisProofs,
  createVerifier,
  type Verifier,
} from '../../src/verifier/index.ts';
import { ACTION, createFixture, type Fixture, outcomeOf, SETTLED_SECONDS } from './fixture.ts';
import { NO_REDIS, type RedisProcess, startRedis } from './redis-process.ts';

const REPLAYED = 'invalid_dpop_proof proof_replayed';
const UNDECIDED = 'temporarily_unavailable proof_store_unreachable';

/** Two instances of one server, and one Redis between them. */
describe('Proofs that are shared in a real Redis', { skip: NO_REDIS }, () => {
  let redis: RedisProcess;
  let world: Fixture;
  let instances: Verifier[];
  before(async () => {
    redis = await startRedis();
    world = await createFixture();
    const nonceSecret = randomBytes(32);
    instances = [0, 1].map(() =>
      createVerifier({
        ...world.options,
        proofs: createProofMemory({ clock: world.clock, nonceSecret }),
        sharedProofs: createRedisProofs({ command: redis.command }),
        timeoutMilliseconds: 1_000,
      }),
    );
    world.clock.advanceSeconds(SETTLED_SECONDS);
    await Promise.all(instances.map((verifier) => verifier.ready()));
  });
  after(async () => {
    await Promise.all(instances.map((verifier) => verifier.close()));
    await world.stop();
    await redis.remove();
  });

  async function verify(instance: 0 | 1, asked = world.request()): Promise<string> {
    return outcomeOf(await (instances[instance] ?? assert.fail()).verify(asked, { action: ACTION }));
  }

  test('one proof at both at once: exactly one lets it in, a hundred times over', async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, () => {
        const asked = world.request();
        return Promise.all([verify(0, asked), verify(1, asked)]);
      }),
    );
    for (const both of outcomes) assert.deepEqual(both.toSorted(), [REPLAYED, 'ok']);
  });

  test('FLT-28: killed, it lets nobody in; started again it still knows what was used', async () => {
    const used = world.request();
    assert.equal(await verify(0, used), 'ok');
    await redis.kill();
    const meanwhile = world.request();
    assert.equal(await verify(0, meanwhile), UNDECIDED);
    assert.equal(await verify(1), UNDECIDED);
    await redis.start();
    assert.equal(await verify(1, used), REPLAYED);
    assert.equal(
      await verify(0, meanwhile),
      REPLAYED,
      'what could not be decided is used up where it was shown',
    );
    assert.equal(await verify(1), 'ok');
  });

  test('FLT-28: one that answers too late is 503, and its late answer lets nobody in', async () => {
    redis.stop();
    const asked = world.request();
    assert.equal(await verify(0, asked), UNDECIDED);
    redis.resume();
    assert.equal(await verify(1, asked), REPLAYED, 'it was written down all the same');
    assert.equal(await verify(0), 'ok');
  });

  test('one that is full refuses and forgets nothing (L18)', async () => {
    const used = world.request();
    assert.equal(await verify(0, used), 'ok');
    await redis.command('CONFIG', 'SET', 'maxmemory', '1');
    assert.equal(await verify(0), UNDECIDED);
    assert.notEqual(await verify(1, used), 'ok');
    await redis.command('CONFIG', 'SET', 'maxmemory', '0');
    assert.equal(await verify(1), 'ok');
  });
});
