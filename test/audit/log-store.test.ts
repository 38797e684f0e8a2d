import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { createLogStore, type LogStore } from '../../src/audit/log-store.ts';
import { createPool, type Pool } from '../../src/database/pool.ts';
import { silentLog } from '../../src/errors/log.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { beforeDrop, createTestDatabase } from '../test-database.ts';

const database = await createTestDatabase();
const options = { url: database.applicationUrl, applicationName: 'test', log: silentLog };
const pool = createPool({ ...options, size: 4 });
const owner = createPool({ ...options, url: database.ownerUrl, size: 1 });
beforeDrop(async () => {
  await Promise.all([pool.end(), owner.end()]);
});
const store = createLogStore(pool);

const insertLine = 'insert into audit_entries (id, action, outcome) values ($1, $2, $3)';

async function addLines(to: Pick<Pool, 'query'>, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => newIdentifier('aud', systemClock)).sort();
  for (const id of ids) await to.query(insertLine, [id, 'request.refused', 'refused']);
  return ids;
}

/** Gives places to at most `limit` lines, with hashes of nothing in particular. @returns their ids */
async function place(log: LogStore, limit = 100): Promise<string[]> {
  const { rows, progress } = await log.readUnplaced(limit);
  const { size } = await log.readHead();
  const entries = rows.map(({ id, day }) => ({ id, day, hash: createHash('sha256').update(id).digest() }));
  assert.ok(await log.append({ expectedSize: size, entries, frontier: [], nodes: [], progress }));
  return rows.map(({ id }) => id);
}

async function placeAll(log: LogStore): Promise<string[]> {
  const placed: string[] = [];
  for (;;) {
    const ids = await place(log);
    placed.push(...ids);
    if (ids.length < 100) return placed;
  }
}

test('every committed line gets a place once, in the order of transactions', async () => {
  await placeAll(store);
  const ids = await addLines(pool, 5);
  assert.deepEqual(await placeAll(store), ids);
  assert.deepEqual(await placeAll(store), []);
});

test('a line that commits late is found, whatever was placed meanwhile', async () => {
  const late = await pool.connect();
  await late.query('begin');
  const [lateId] = await addLines(late, 1);
  const early = await addLines(pool, 3);
  assert.deepEqual(await placeAll(store), early);
  assert.deepEqual(await placeAll(store), []);
  await late.query('commit');
  late.release();
  assert.deepEqual(await placeAll(store), [lateId]);
  assert.deepEqual(await placeAll(store), []);
});

test('a line that is rolled back never gets a place', async () => {
  const client = await pool.connect();
  await client.query('begin');
  await addLines(client, 2);
  await placeAll(store);
  await client.query('rollback');
  client.release();
  assert.deepEqual(await placeAll(store), []);
});

test('a backlog is worked off in parts, and what commits between the parts is not lost', async () => {
  const late = await pool.connect();
  await late.query('begin');
  const [lateId = ''] = await addLines(late, 1);
  const ids = await addLines(pool, 25);
  const placed = [...(await place(store, 10))];
  await late.query('commit');
  late.release();
  const more = await addLines(pool, 3);
  for (let round = 0; round < 5; round += 1) placed.push(...(await place(store, 10)));
  assert.deepEqual(placed.toSorted(), [...ids, ...more, lateId].toSorted());
  assert.equal(new Set(placed).size, placed.length);
});

test('of two sequencers that believe in the same size, one is refused and changes nothing', async () => {
  const [id = ''] = await addLines(pool, 1);
  const { rows, progress } = await store.readUnplaced(10);
  const { size } = await store.readHead();
  const leaves = {
    expectedSize: size,
    entries: rows.map((row) => ({ id: row.id, day: row.day, hash: Buffer.alloc(32) })),
    frontier: [],
    nodes: [],
    progress,
  };
  const done = await Promise.all([store.append(leaves), store.append(leaves)]);
  assert.deepEqual(done.toSorted(), [false, true]);
  const { rows: found } = await pool.query(
    'select leaf_index::int as at from audit_leaves where entry_id = $1',
    [id],
  );
  assert.deepEqual(found, [{ at: size }]);
});

test('in a copy of the database under another cluster every line is found, and none twice', async () => {
  await placeAll(store);
  const ids = await addLines(pool, 12);
  await owner.query('update audit_log_head set cluster = cluster - 1');
  // Lines of the other cluster bear numbers that mean nothing here, some of them still to come.
  const { rows } = await owner.query<{ id: string }>(
    `insert into audit_entries (id, xid, action, outcome)
     select left(id, 20) || '0123456789', 9007199254740991, action, outcome from audit_entries limit 2 returning id`,
  );
  const placed = [...(await place(store, 5)), ...(await placeAll(store))];
  assert.deepEqual(placed.toSorted(), [...ids, ...rows.map(({ id }) => id)].toSorted());
  const later = await addLines(pool, 2);
  assert.deepEqual(await placeAll(store), later);
});

test('the application changes and removes nothing, and cannot write places or heads by itself', async () => {
  for (const statement of [
    "update audit_entries set actor = 'nobody'",
    'delete from audit_entries',
    'truncate audit_entries',
    'alter table audit_entries disable trigger all',
    'drop table audit_entries',
    "insert into audit_entries (id, action, outcome, at) values ('aud_x', 'token.minted', 'allowed', '2020-01-01')",
    "insert into audit_entries (id, action, outcome, xid) values ('aud_x', 'token.minted', 'allowed', 1)",
    "insert into audit_leaves values (99999, 'aud_x', 1, sha256(''))",
    'update audit_leaves set leaf_index = leaf_index + 1',
    'delete from audit_leaves',
    'update audit_log_head set size = 0',
    "insert into audit_checkpoints (size, root, note, kid) values (1, sha256(''), '', '')",
    'delete from audit_checkpoints',
  ]) {
    await assert.rejects(pool.query(statement), { code: '42501' }, statement);
  }
});

test('not even its owner changes or removes lines, places or heads by an ordinary statement', async () => {
  for (const table of ['audit_entries', 'audit_leaves']) {
    await assert.rejects(owner.query(`delete from ${table}`), { code: '42501' }, table);
    await assert.rejects(owner.query(`truncate ${table} cascade`), { code: '42501' }, table);
  }
  await assert.rejects(owner.query("update audit_entries set actor = 'nobody'"), { code: '42501' });
});

test('a signed head is kept once, never a smaller one after it, never one beyond the log', async () => {
  const { size } = await store.readHead();
  const checkpoint = { size, root: Buffer.alloc(32, 1), note: 'a note', kid: 'k' };
  await assert.rejects(store.keepCheckpoint({ ...checkpoint, size: size + 1 }), /leaves only/);
  assert.equal(await store.keepCheckpoint(checkpoint), true);
  assert.equal(await store.keepCheckpoint({ ...checkpoint, root: Buffer.alloc(32, 2) }), false);
  assert.equal(await store.keepCheckpoint({ ...checkpoint, size: size - 1 }), false);
  assert.deepEqual(await store.newestCheckpoint(), checkpoint);
});
