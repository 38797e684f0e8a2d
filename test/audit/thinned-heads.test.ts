/** Old heads are thinned, and nobody who kept one of them notices. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { verifyConsistency } from '../../src/audit/merkle-proof.ts';
import type { KeptCheckpoint } from '../../src/audit/signed-head-store.ts';
import { openKysely, type Pool } from '../../src/database/pool.ts';
import { thinCheckpoints } from '../../src/database/upkeep.ts';
import { addLines, createLogWorld, expectOneHistory, runAll } from './log-world.ts';

const DENIED = { code: '42501' };

/** As if they had been signed then: ten seconds apart, from so many minutes past an hour on, so many hours ago. */
async function age(owner: Pool, { hours, minutes = 0 }: { hours: number; minutes?: number }): Promise<void> {
  await owner.query('alter table audit_checkpoints disable trigger audit_checkpoints_append_only');
  await owner.query(
    `update audit_checkpoints c
        set at = date_trunc('hour', now(), 'UTC') - make_interval(hours => $1) + make_interval(mins => $2) + n.nth * interval '10 seconds'
       from (select size, row_number() over (order by size) as nth from audit_checkpoints) as n where n.size = c.size`,
    [hours, minutes],
  );
  await owner.query('alter table audit_checkpoints enable trigger audit_checkpoints_append_only');
}

async function signHeads(world: Awaited<ReturnType<typeof createLogWorld>>, count: number) {
  for (let head = 0; head < count; head += 1) {
    await addLines(world.pool, 3);
    await runAll(world.sequencer());
  }
  const { rows } = await world.pool.query<KeptCheckpoint>(
    'select size::float8 as size, root, note, kid from audit_checkpoints order by audit_checkpoints.size',
  );
  return rows;
}

const sizes = async (pool: Pool) =>
  (await pool.query('select size::int as size from audit_checkpoints order by size')).rows.map(
    ({ size }) => size,
  );
const cosign = (pool: Pool, size: number, witness: string) =>
  pool.query('select keep_cosignature($1, $2, $3)', [size, witness, `— ${witness} AAAA\n`]);

test('of heads that are older than two days the last of each hour stays, and the log continues all of them', async (t) => {
  const world = await createLogWorld(t);
  const kysely = openKysely<unknown>(world.pool);
  const heads = await signHeads(world, 12);
  await age(world.owner, { hours: 50, minutes: 59 }); // five of them in one hour, seven in the next
  assert.equal(await thinCheckpoints(kysely), 10);
  assert.deepEqual(await sizes(world.pool), [15, 36]);
  assert.equal(await thinCheckpoints(kysely), 0);
  await addLines(world.pool, 3);
  await runAll(world.sequencer());
  const newest = await expectOneHistory(world, [world.key]);
  for (const { size, root } of heads) {
    const proof = await world.tree.consistency({ first: size, second: newest.size });
    const trees = { first: size, second: newest.size, firstRoot: root, secondRoot: newest.root };
    assert.ok(verifyConsistency({ ...trees, proof }), `${size}`);
  }
});

test('hours that are not quite in the order of sizes are thinned all the same', async (t) => {
  const world = await createLogWorld(t);
  const kysely = openKysely<unknown>(world.pool);
  await signHeads(world, 8);
  await age(world.owner, { hours: 50, minutes: 59 });
  for (const size of [3, 15, 21]) await cosign(world.pool, size, 'w1');
  await world.owner.query('alter table audit_checkpoints disable trigger audit_checkpoints_append_only');
  await world.owner.query(`update audit_checkpoints set at = at + interval '1 hour' where size = 9`);
  await thinCheckpoints(kysely);
  assert.deepEqual(await sizes(world.pool), [3, 6, 9, 15, 21, 24]);
});

test('what is younger than two days, or was signed at a change of keys, stays', async (t) => {
  const world = await createLogWorld(t);
  const kysely = openKysely<unknown>(world.pool);
  await signHeads(world, 4);
  await world.pool.query(`select keep_hand_over('second', 'first', 12, 'a note')`);
  await age(world.owner, { hours: 47 });
  assert.equal(await thinCheckpoints(kysely), 0);
  await world.owner.query(
    `insert into audit_hand_overs (to_kid, from_kid, size, note) values ('x', 'y', 6, 'a note')`,
  );
  await age(world.owner, { hours: 60 });
  assert.equal(await thinCheckpoints(kysely), 2);
  assert.deepEqual(await sizes(world.pool), [6, 12]);
});

test('the last head of an hour that several witnesses signed together stays, with all of their signatures', async (t) => {
  const world = await createLogWorld(t);
  const kysely = openKysely<unknown>(world.pool);
  await signHeads(world, 6);
  for (const size of [3, 6, 9]) await cosign(world.pool, size, 'w1');
  for (const size of [3, 6]) await cosign(world.pool, size, 'w2');
  for (const size of [12, 15]) await cosign(world.pool, size, 'w3');
  await age(world.owner, { hours: 60 });
  assert.equal(await thinCheckpoints(kysely), 2);
  assert.deepEqual(await sizes(world.pool), [6, 9, 15, 18]);
  const { rows } = await world.pool.query(
    `select size::int as size, string_agg(witness, ' ' order by witness) as by from audit_cosignatures group by 1 order by 1`,
  );
  assert.deepEqual(rows, [
    { size: 6, by: 'w1 w2' },
    { size: 9, by: 'w1' },
    { size: 15, by: 'w3' },
  ]);
});

test('nobody removes by an ordinary statement what is to stay', async (t) => {
  const world = await createLogWorld(t);
  await signHeads(world, 3);
  await cosign(world.pool, 3, 'w1');
  await assert.rejects(world.owner.query('delete from audit_checkpoints where size = 3'), DENIED);
  await age(world.owner, { hours: 60 });
  for (const size of [3, 9]) {
    await assert.rejects(world.pool.query('delete from audit_checkpoints where size = $1', [size]), DENIED);
  }
  await assert.rejects(world.owner.query('delete from audit_checkpoints where size = 9'), DENIED);
  await assert.rejects(world.owner.query('delete from audit_cosignatures'), DENIED);
  await assert.rejects(world.owner.query(`update audit_checkpoints set note = ''`), DENIED);
  await assert.rejects(world.owner.query('delete from audit_checkpoints where size = 3'), { code: '23503' });
});
