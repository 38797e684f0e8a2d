/** AUD-20: from one key of the log to the next, whoever is slow, stale or gone meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openHandOver } from '../../src/audit/hand-over.ts';
import { judgeCheckpoint } from '../../src/audit/judge-checkpoint.ts';
import { logKeyOf, type RingKey } from '../../src/audit/log-key.ts';
import { pinLog } from '../../src/audit/trusted-log.ts';
import { silentLog } from '../../src/errors/log.ts';
import {
  addLines,
  createLogWorld,
  expectOneHistory,
  type LogWorld,
  newRingKey,
  ORIGIN,
  runAll,
  vkeyOf,
} from './log-world.ts';

test('AUD-20: a new key takes over by a note that both sign, at the last head of the old one', async (t) => {
  const world = await createLogWorld(t);
  await addLines(world.pool, 10);
  await runAll(world.sequencer());
  const next = newRingKey('second');
  await addLines(world.pool, 10);
  await runAll(world.sequencer({ key: () => logKeyOf(ORIGIN, { current: next, earlier: [world.key] }) }));
  await expectOneHistory(world, [world.key, next]);
  const [handOver] = await world.store.handOvers();
  assert.deepEqual([handOver?.fromKid, handOver?.toKid, handOver?.size], ['first', 'second', 10]);
  const opened = openHandOver(handOver?.note ?? '', { origin: ORIGIN, oldKey: vkeyOf(world.key) });
  assert.equal(opened.outcome, 'verified');
});

test('AUD-20: when the old key is gone there is no hand-over, and that is said', async (t) => {
  const world = await createLogWorld(t);
  await addLines(world.pool, 10);
  await runAll(world.sequencer());
  const said: string[] = [];
  const log = { ...silentLog, error: (_: unknown, text: string) => said.push(text) };
  const lone = () => logKeyOf(ORIGIN, { current: newRingKey('second'), earlier: [] });
  await addLines(world.pool, 1);
  await runAll(world.sequencer({ key: lone, log: log as typeof silentLog }));
  assert.deepEqual(await world.store.handOvers(), []);
  assert.deepEqual(said, ['the key of the audit log changed without a hand-over']);
});

const signingWith = (current: RingKey, ...earlier: RingKey[]) => ({
  key: () => logKeyOf(ORIGIN, { current, earlier }),
});

/** Somebody who pinned the first key, and reads the newest head with all hand-overs. */
async function expectFollowed({ store, tree }: LogWorld, pinned: RingKey): Promise<void> {
  const newest = await store.newestCheckpoint();
  assert.ok(newest !== null);
  const handOvers = await Promise.all(
    (await store.handOvers()).map(async ({ note, size }) => ({
      note,
      consistency: await tree.consistency({ first: size, second: newest.size }),
    })),
  );
  const judgement = judgeCheckpoint(pinLog(vkeyOf(pinned).vkey), { checkpoint: newest.note, handOvers });
  assert.equal(judgement.outcome, 'accepted', JSON.stringify(judgement));
}

test('the hand-over does not wait for anything to sign', async (t) => {
  const world = await createLogWorld(t);
  await addLines(world.pool, 10);
  await runAll(world.sequencer());
  const [second, third] = [newRingKey('second'), newRingKey('third')];
  await runAll(world.sequencer(signingWith(second, world.key)));
  await runAll(world.sequencer(signingWith(third, second)));
  assert.deepEqual(
    (await world.store.handOvers()).map(({ fromKid, toKid, size }) => [fromKid, toKid, size]),
    [
      ['first', 'second', 10],
      ['second', 'third', 10],
    ],
  );
  await addLines(world.pool, 1);
  await runAll(world.sequencer(signingWith(third, second)));
  await expectOneHistory(world, [world.key, third]);
  await expectFollowed(world, world.key);
});

test('a broker that has not heard of the next key signs nothing past the hand-over', async (t) => {
  const world = await createLogWorld(t);
  await addLines(world.pool, 10);
  await runAll(world.sequencer());
  const next = newRingKey('second');
  await runAll(world.sequencer(signingWith(next, world.key)));
  await addLines(world.pool, 1);
  await assert.rejects(runAll(world.sequencer()), /has handed over/);
  assert.equal((await world.store.newestCheckpoint())?.size, 10);
  await runAll(world.sequencer(signingWith(next, world.key)));
  await expectOneHistory(world, [world.key, next]);
  await expectFollowed(world, world.key);
});

test('a hand-over stands only at the newest head, from the key that speaks, to one that never did', async (t) => {
  const world = await createLogWorld(t);
  await addLines(world.pool, 5);
  await runAll(world.sequencer());
  await addLines(world.pool, 5);
  await runAll(world.sequencer());
  const keep = (fromKid: string, toKid: string, size: number) =>
    world.store.keepHandOver({ fromKid, toKid, size, note: 'a note' });
  assert.equal(await keep('first', 'second', 5), false);
  assert.equal(await keep('first', 'second', 11), false);
  assert.equal(await keep('other', 'second', 10), false);
  assert.equal(await keep('first', 'first', 10), false);
  assert.equal(await keep('first', 'second', 10), true);
  assert.equal(await keep('first', 'third', 10), false);
  assert.equal(await keep('second', 'first', 10), false);
});

test('two brokers, one of which has not heard of the next key: whoever is quicker, every reader can follow', async (t) => {
  const world = await createLogWorld(t);
  await addLines(world.pool, 3);
  await runAll(world.sequencer());
  let current = world.key;
  const keys = [current];
  for (let turn = 0; turn < 8; turn += 1) {
    const next = newRingKey(`key-${turn}`);
    await addLines(world.pool, 2);
    const rounds = [world.sequencer(signingWith(current)), world.sequencer(signingWith(next, current))];
    await Promise.allSettled(rounds.map((each) => each.run()));
    await runAll(world.sequencer(signingWith(next, current)));
    keys.push(next);
    current = next;
  }
  await expectFollowed(world, world.key);
  await expectOneHistory(world, keys);
  assert.equal((await world.store.handOvers()).length, 8);
});

test('a key that still could hand over is not passed by', async (t) => {
  const world = await createLogWorld(t);
  const kid = '0'.repeat(43);
  await addLines(world.pool, 3);
  await runAll(world.sequencer(signingWith(newRingKey(kid))));
  await world.owner.query(
    `insert into signing_keys (kid, purpose, algorithm, generation, public_key, sealed_secret, sealed_by, active_from)
     values ($1, 'log', 'Ed25519', 1, decode(repeat('00', 32), 'hex'), '\\x00', 'x', now())`,
    [kid],
  );
  await addLines(world.pool, 1);
  await assert.rejects(runAll(world.sequencer(signingWith(newRingKey('second')))), /has not handed over/);
});
