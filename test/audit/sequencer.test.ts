import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogStore, type LogStore } from '../../src/audit/log-store.ts';
import { verifyInclusion } from '../../src/audit/merkle-proof.ts';
import { LogDisagreesError } from '../../src/audit/sequencer.ts';
import { createStoredTree, MissingHashError } from '../../src/audit/tree-store.ts';
import { addLines, createLogWorld, expectOneHistory, runAll } from './log-world.ts';

/** Once at the named step, and afterwards as if nothing had happened. */
function breakOnce(store: LogStore, step: 'append' | 'keepCheckpoint', when: 'before' | 'after'): LogStore {
  let isBroken = false;
  return {
    ...store,
    async [step](...given: never) {
      if (!isBroken && when === 'before') {
        isBroken = true;
        throw new Error(`stopped before ${step}`);
      }
      const done = await (store[step] as (...given: unknown[]) => Promise<boolean>)(...(given as unknown[]));
      if (!isBroken) {
        isBroken = true;
        throw new Error(`stopped after ${step}`);
      }
      return done;
    },
  };
}

test('lines get places, and the signed head is the root over what anybody reads in the table', async (t) => {
  const world = await createLogWorld(t);
  await addLines(world.pool, 620);
  await runAll(world.sequencer());
  await addLines(world.pool, 7);
  await runAll(world.sequencer());
  const { size, root } = await expectOneHistory(world, [world.key]);
  const { rows } = await world.pool.query(
    'select leaf_index::float8 as index, hash from audit_leaves order by leaf_index',
  );
  for (const { index, hash } of rows.filter((_, at) => at % 37 === 0)) {
    const proof = await world.tree.inclusion({ index, size });
    assert.ok(verifyInclusion({ index, size, leaf: hash, proof, root }));
  }
});

for (const step of ['append', 'keepCheckpoint'] as const) {
  for (const when of ['before', 'after'] as const) {
    test(`a sequencer that stops right ${when} ${step} is continued by another one, without gap, double or fork`, async (t) => {
      const world = await createLogWorld(t);
      await addLines(world.pool, 20);
      await runAll(world.sequencer());
      await addLines(world.pool, 300);
      const broken = world.sequencer({ store: breakOnce(world.store, step, when) });
      await assert.rejects(runAll(broken), /^Error: stopped/);
      await addLines(world.pool, 5);
      await runAll(world.sequencer());
      await expectOneHistory(world, [world.key]);
    });
  }
}

for (const when of ['before', 'after'] as const) {
  test(`a sequencer that stops right ${when} a page of a record that moved to another cluster is continued by another one`, async (t) => {
    const world = await createLogWorld(t);
    await addLines(world.pool, 260);
    await runAll(world.sequencer());
    await addLines(world.pool, 90);
    await world.owner.query('update audit_log_head set cluster = cluster - 1');
    for (let page = 0; page < 3; page += 1) {
      await world.sequencer().run();
      await addLines(world.pool, 2);
      const broken = world.sequencer({ store: breakOnce(world.store, 'append', when) });
      await assert.rejects(broken.run(), /^Error: stopped/);
    }
    await runAll(world.sequencer());
    await expectOneHistory(world, [world.key]);
  });
}

test('four sequencers at once, none of which knows of the others, while lines are written: one history', async (t) => {
  const world = await createLogWorld(t);
  const writers = Array.from({ length: 3 }, async () => {
    for (let times = 0; times < 30; times += 1) await addLines(world.pool, 7);
  });
  let isWriting = true;
  const sequencers = Array.from({ length: 4 }, async () => {
    const sequencer = world.sequencer();
    while (isWriting) await sequencer.run();
  });
  await Promise.all(writers);
  isWriting = false;
  await Promise.all(sequencers);
  await runAll(world.sequencer());
  await expectOneHistory(world, [world.key]);
});

test('a tree that is not the one that was signed last is not signed again', async (t) => {
  const world = await createLogWorld(t);
  await addLines(world.pool, 300);
  await runAll(world.sequencer());
  await addLines(world.pool, 1);
  for (const [change, error] of [
    ['update audit_log_head set frontier[1] = sha256(frontier[1])', LogDisagreesError],
    ['update audit_log_head set size = size - 1', RangeError],
  ] as const) {
    await world.owner.query('begin');
    await world.owner.query(change);
    const tampered = createLogStore(world.owner);
    await assert.rejects(world.sequencer({ store: tampered }).run(), error);
    await world.owner.query('rollback');
  }
  await runAll(world.sequencer());
  await expectOneHistory(world, [world.key]);
});

test('leaves that were removed or changed behind its back are found before the next head is signed', async (t) => {
  const world = await createLogWorld(t);
  await addLines(world.pool, 300);
  const keepsNothing = { ...world.store, keepCheckpoint: async () => false };
  await runAll(world.sequencer());
  await addLines(world.pool, 10);
  await runAll(world.sequencer({ store: keepsNothing }));
  for (const change of [
    'delete from audit_leaves where leaf_index = 290',
    "update audit_leaves set hash = sha256('') where leaf_index = 299",
    'delete from audit_nodes',
  ]) {
    await world.owner.query('begin');
    await world.owner.query('alter table audit_leaves disable trigger all');
    await world.owner.query('alter table audit_nodes disable trigger all');
    await world.owner.query(change);
    const tree = createStoredTree(world.owner);
    const run = world.sequencer({ tree, store: createLogStore(world.owner) }).run();
    await assert.rejects(
      run,
      (error) => error instanceof LogDisagreesError || error instanceof MissingHashError,
      change,
    );
    await world.owner.query('rollback');
  }
});
