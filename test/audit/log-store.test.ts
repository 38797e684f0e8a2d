import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { createLogStateStore } from '../../src/audit/log-state-store.ts';
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

type Unplaced = Awaited<ReturnType<LogStore['readUnplaced']>>;

/** With hashes of nothing in particular. @returns false when another one was quicker */
async function tryPlacing({ rows, progress }: Unplaced): Promise<boolean> {
  const { size } = await store.readHead();
  const entries = rows.map(({ id, day }) => ({ id, day, hash: createHash('sha256').update(id).digest() }));
  return store.append({ expectedSize: size, entries, frontier: [], nodes: [], progress });
}

/** Gives places to those without one of at most `limit` lines. @returns their ids */
async function place(log: LogStore, limit = 100): Promise<string[]> {
  const read = await log.readUnplaced(limit);
  assert.ok(await tryPlacing(read));
  return read.rows.map(({ id }) => id);
}

async function placeAll(log: LogStore): Promise<string[]> {
  const placed: string[] = [];
  for (;;) {
    const read = await log.readUnplaced(100);
    assert.ok(await tryPlacing(read));
    placed.push(...read.rows.map(({ id }) => id));
    if (read.progress.isAll) return placed;
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

/** As a dump that was loaded into another cluster. */
const moveElsewhere = () => owner.query('update audit_log_head set cluster = cluster - 1');

/** Each with the other cluster's number of its transaction, which means nothing here. @returns their ids */
async function addForeignLines(count: number, xid: string): Promise<string[]> {
  const ids = Array.from({ length: count }, () => newIdentifier('aud', systemClock));
  await owner.query(
    `insert into audit_entries (id, xid, action, outcome)
     select id, ${xid}, 'request.refused', 'refused' from unnest($1::text[]) as id`,
    [ids],
  );
  return ids;
}

test('in a copy of the database under another cluster every line is found, and none twice', async () => {
  await placeAll(store);
  const ids = await addLines(pool, 12);
  await moveElsewhere();
  // Some of the numbers are still to come here.
  const foreign = await addForeignLines(2, '9007199254740991');
  const placed = [...(await place(store, 5)), ...(await placeAll(store))];
  assert.deepEqual(placed.toSorted(), [...ids, ...foreign].toSorted());
  const later = await addLines(pool, 2);
  assert.deepEqual(await placeAll(store), later);
});

test('what moved to another cluster is looked through page by page, by whoever comes next, while lines are written', async () => {
  await placeAll(store);
  // A third has places; the numbers of all are of transactions that this cluster is going to have in a moment.
  const near = 'pg_current_xact_id()::text::bigint + 1 + (random() * 20)::bigint';
  await addForeignLines(1_000, 'pg_current_xact_id()::text::bigint');
  await placeAll(store);
  const waiting = await addForeignLines(2_000, near);
  await moveElsewhere();
  const late = await pool.connect();
  await late.query('begin');
  const written = await addLines(late, 1);
  const placed: string[] = [];
  for (let page = 0; (await progressOfMove()) !== 'done'; page += 1) {
    assert.ok(page < 1_000, 'it ends');
    // Another one read the same page and stopped, or comes too late with it.
    const abandoned = await store.readUnplaced(40);
    assert.ok(abandoned.rows.length <= 40);
    placed.push(...(await place(store, 40)));
    assert.equal(await tryPlacing(abandoned), false, 'the slower one changes nothing');
    if (page % 5 === 0) written.push(...(await addLines(pool, 1)));
    if (page === 20) {
      await late.query('commit');
      late.release();
    }
  }
  for (;;) {
    const { rows, progress } = await store.readUnplaced(40);
    assert.ok(rows.length <= 40);
    if (rows.length === 0 && progress.isAll) break;
    placed.push(...(await place(store, 40)));
  }
  assert.equal(new Set(placed).size, placed.length, 'none twice');
  assert.deepEqual(placed.toSorted(), [...waiting, ...written].toSorted());
});

test('a page without anything new is remembered too, also when the record moves again half-way', async () => {
  await placeAll(store);
  await moveElsewhere();
  const { rows, progress } = await store.readUnplaced(10);
  assert.deepEqual(
    [rows.length, progress.isNews, progress.isAll, progress.target !== null],
    [0, true, false, true],
  );
  assert.ok(await tryPlacing({ rows, progress }));
  const second = await store.readUnplaced(10);
  assert.equal(second.progress.target, progress.target);
  assert.ok(
    `${second.progress.afterDay}${second.progress.afterId}` > `${progress.afterDay}${progress.afterId}`,
  );
  await owner.query('update audit_log_head set target_cluster = target_cluster - 2, after_day = 2147483647');
  const again = await store.readUnplaced(10);
  assert.deepEqual(again.progress.afterId, progress.afterId, 'from the beginning');
  await placeAll(store);
  await endMove();
});

test('a log that moved does not say that lines wait which have their places', async () => {
  const state = createLogStateStore(pool);
  await placeAll(store);
  await addForeignLines(3, '9007199254740991');
  await moveElsewhere();
  await endMove();
  const { size } = await store.readHead();
  assert.ok(await store.keepCheckpoint({ size, root: Buffer.alloc(32, 1), note: 'a note', kid: 'k' }));
  const { entries, waitingSeconds, doubt, fault } = await state.read();
  assert.deepEqual([entries, waitingSeconds, doubt, fault], [size, 0, null, null]);
  await addLines(pool, 1);
  assert.ok((await state.read()).waitingSeconds > 0);
  await moveElsewhere();
  assert.ok((await state.read()).waitingSeconds > 0, 'nobody knows before all was looked through');
});

test('of a log that moved nothing is dropped before all lines were looked through, and old days then', async () => {
  const day = Math.floor(Date.now() / 86_400_000) - 40;
  const drop = async () => (await pool.query('select drop_audit_partition(30) as name')).rows[0].name;
  await owner.query(
    `create table audit_entries_${day} partition of audit_entries for values from (${day}) to (${day + 1})`,
  );
  await owner.query(
    `insert into audit_entries (day, id, xid, action, outcome)
     select ${day}, 'aud_moved_' || n, 9007199254740991, 'request.refused', 'refused' from generate_series(1, 9) as n`,
  );
  await moveElsewhere();
  await place(store, 40);
  assert.equal(await drop(), null);
  await endMove();
  assert.equal(await drop(), `audit_entries_${day}`);
  const { rows } = await pool.query(`select from audit_leaves where entry_id like 'aud_moved_%'`);
  assert.equal(rows.length, 9);
});

test('days that were meant to be kept are kept, whatever a broker is made to say afterwards', async () => {
  const day = Math.floor(Date.now() / 86_400_000) - 50;
  const drop = async () => (await pool.query('select drop_audit_partition(30) as name')).rows[0].name;
  await owner.query(
    `create table audit_entries_${day} partition of audit_entries for values from (${day}) to (${day + 1})`,
  );
  await placeAll(store);
  const keep = async (days: number) =>
    (await pool.query('select keep_audit_days($1) as days', [days])).rows[0].days;
  assert.deepEqual([await keep(60), await keep(30), await keep(-1)], [60, 60, 60]);
  await assert.rejects(keep(4_000), { code: '23514' });
  await assert.rejects(pool.query('update audit_retention set days = 30'), { code: '42501' });
  await assert.rejects(pool.query('delete from audit_retention'), { code: '42501' });
  assert.equal(await drop(), null);
  await owner.query('update audit_retention set days = 45');
  assert.equal(await drop(), `audit_entries_${day}`);
});

async function endMove(): Promise<void> {
  for (let page = 0; (await progressOfMove()) !== 'done'; page += 1) {
    assert.ok(page < 100, 'it ends');
    await place(store, 1_000);
  }
}

async function progressOfMove(): Promise<string> {
  const { rows } = await owner.query(
    `select case when h.cluster = audit_cluster() then 'done' else 'under way' end as state from audit_log_head h`,
  );
  return rows[0].state;
}

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
  await addLines(pool, 1);
  await placeAll(store);
  const { size } = await store.readHead();
  const checkpoint = { size, root: Buffer.alloc(32, 1), note: 'a note', kid: 'k' };
  await assert.rejects(store.keepCheckpoint({ ...checkpoint, size: size + 1 }), /leaves only/);
  assert.equal(await store.keepCheckpoint(checkpoint), true);
  assert.equal(await store.keepCheckpoint({ ...checkpoint, root: Buffer.alloc(32, 2) }), false);
  assert.equal(await store.keepCheckpoint({ ...checkpoint, size: size - 1 }), false);
  assert.deepEqual(await store.newestCheckpoint(), checkpoint);
});
