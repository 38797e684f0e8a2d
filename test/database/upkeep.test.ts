import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { createPool, openKysely } from '../../src/database/pool.ts';
import { askDatabase, dropPartitions, makePartitions, pruneSessions } from '../../src/database/upkeep.ts';
import { silentLog } from '../../src/errors/log.ts';
import { beforeDrop, createTestDatabase } from '../test-database.ts';

const database = await createTestDatabase();
const kysely = openKysely<unknown>(
  createPool({ url: database.applicationUrl, size: 8, applicationName: 'test', log: silentLog }),
);
const owner = new pg.Client(database.ownerUrl);
await owner.connect();
beforeDrop(async () => {
  await owner.end();
  await kysely.destroy();
});

const thisHour = () => Math.floor(Date.now() / 3_600_000);

async function hoursOf(parent: string): Promise<number[]> {
  const { rows } = await owner.query(
    `select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = $1::regclass`,
    [parent],
  );
  return rows.map(({ relname }) => Number(relname.split('_').at(-1))).sort((a, b) => a - b);
}

async function makePartition(parent: string, hour: number): Promise<void> {
  await owner.query(
    `create table ${parent}_${hour} partition of ${parent} for values from (${hour}) to (${hour + 1})`,
  );
}

test('partitions reach 48 hours ahead, without a gap', async () => {
  await makePartitions(kysely);
  for (const parent of ['tokens', 'spent_jti']) {
    const hours = await hoursOf(parent);
    assert.ok((hours.at(-1) ?? 0) >= thisHour() + 48);
    hours.forEach((hour, index) => {
      assert.equal(hour, (hours[0] ?? 0) + index);
    });
  }
  assert.ok((await askDatabase(kysely)).partitionHoursAhead >= 47);
});

test('a partition that is missing is made again', async () => {
  await owner.query(`drop table tokens_${thisHour() + 20}`);
  assert.equal(await makePartitions(kysely), 1);
});

test('tokens are dropped past their retention, spent identifiers after hours, and nothing younger is', async () => {
  const now = thisHour();
  for (const back of [200, 170, 167, 10]) await makePartition('tokens', now - back);
  for (const back of [30, 5]) await makePartition('spent_jti', now - back);
  const dropped = await dropPartitions(kysely, { tokenHoursKept: 168 });
  // The template's oldest hour may have gone by since it was made.
  const old = dropped.filter((name) => Number(name.split('_').at(-1)) <= now - 5);
  assert.deepEqual(
    old.toSorted(),
    [
      `spent_jti_${now - 30}`,
      `spent_jti_${now - 5}`,
      `tokens_${now - 170}`,
      `tokens_${now - 200}`,
    ].toSorted(),
  );
  const left = await hoursOf('tokens');
  assert.ok(left.includes(now - 167) && left.includes(now - 10));
});

test('of many brokers that do it at once each partition is dropped by one, and none fails', async () => {
  const now = thisHour();
  for (let back = 300; back < 310; back += 1) await makePartition('tokens', now - back);
  const results = await Promise.all(
    Array.from({ length: 8 }, () => dropPartitions(kysely, { tokenHoursKept: 168 })),
  );
  const dropped = results.flat();
  assert.equal(new Set(dropped).size, dropped.length);
  await dropPartitions(kysely, { tokenHoursKept: 168 });
  assert.ok((await hoursOf('tokens')).every((hour) => hour >= now - 168));
});

test('upkeep gives way to a reader instead of making mints wait behind it', async () => {
  const hour = thisHour() - 400;
  await makePartition('tokens', hour);
  const reader = new pg.Client(database.applicationUrl);
  await reader.connect();
  await reader.query('begin');
  await reader.query('select count(*) from tokens');
  await assert.rejects(dropPartitions(kysely, { tokenHoursKept: 168 }), { code: '55P03' });
  await reader.query('commit');
  await reader.end();
  const dropped = await dropPartitions(kysely, { tokenHoursKept: 168 });
  assert.ok(dropped.includes(`tokens_${hour}`));
});

test('a session is remembered for more than a year after its end', async () => {
  await owner.query(`insert into agents (id, name) values ('agt_1', 'a')`);
  await owner.query(
    `insert into sessions (id, agent_id, client_id, jkt, zone, opened_epoch, opened_at, expires_at)
     select 'ses_' || days, 'agt_1', 'a', days::text, 'z', 0, now() - make_interval(days => days), now() - make_interval(days => days)
       from unnest(array[0, 100, 399, 401, 800]) as days`,
  );
  assert.equal(await pruneSessions(kysely), 2);
  const { rows } = await owner.query('select id from sessions order by id');
  assert.deepEqual(
    rows.map(({ id }) => id),
    ['ses_0', 'ses_100', 'ses_399'],
  );
});

test('the application role cannot shorten what is kept', async () => {
  const application = new pg.Client(database.applicationUrl);
  await application.connect();
  await assert.rejects(application.query('select drop_partition(0, 0)'), /at least two hours/);
  await assert.rejects(application.query('select prune_sessions(0, 100)'), /at least 30 days/);
  await assert.rejects(application.query('select make_partitions(100000)'), /1 to 168/);
  await application.end();
});
