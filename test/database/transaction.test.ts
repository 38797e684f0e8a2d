import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { databaseUnavailable } from '../../src/database/database-error.ts';
import { createPool, openKysely, type PoolClient } from '../../src/database/pool.ts';
import { runStatement, transaction } from '../../src/database/transaction.ts';
import { silentLog } from '../../src/errors/log.ts';
import { beforeDrop, createTestDatabase } from '../test-database.ts';
import { ask } from './embedded-fixture.ts';

const { ownerUrl, superuserUrl } = await createTestDatabase();
await ask(ownerUrl, 'create table notes (word text primary key)');
const pool = createPool({ url: ownerUrl, size: 2, applicationName: 'transactions', log: silentLog });
beforeDrop(() => pool.end());

const note = (word: string) => ({ text: 'insert into notes values ($1)', values: [word] });
const isNoted = async (word: string) =>
  (await runStatement(pool, { text: 'select from notes where word = $1', values: [word] })).rowCount === 1;

async function swallowAnError(client: PoolClient): Promise<void> {
  await client.query('select 1 / 0').catch(() => {});
}

test('what a transaction did is there when it resolves', async () => {
  const word = await transaction(pool, async (client) => {
    await client.query(note('kept'));
    return 'its result';
  });
  assert.equal(word, 'its result');
  assert.ok(await isNoted('kept'));
});

test('an error in a transaction undoes it and comes out as it is', async () => {
  const problem = new Error('on purpose');
  await assert.rejects(
    transaction(pool, async (client) => {
      await client.query(note('undone'));
      throw problem;
    }),
    problem,
  );
  assert.equal(await isNoted('undone'), false);
});

test('REV-12: a COMMIT that was answered by ROLLBACK is a failure, though the driver calls it a success', async () => {
  await assert.rejects(
    transaction(pool, async (client) => {
      await client.query(note('lost'));
      await swallowAnError(client);
    }),
    (error: Error) => error.name === 'RolledBackError' && databaseUnavailable(error),
  );
  assert.equal(await isNoted('lost'), false);
});

test('the driver alone would not have noticed', async () => {
  const client = await pool.connect();
  await client.query('begin');
  await client.query(note('lost'));
  await swallowAnError(client);
  assert.equal((await client.query('commit')).command, 'ROLLBACK');
  client.release();
});

test('kysely notices it, too', async () => {
  const failed = openKysely(pool)
    .transaction()
    .execute(async (kysely) => {
      await sql`insert into notes values ('lost')`.execute(kysely);
      await sql`select 1 / 0`.execute(kysely).catch(() => {});
    });
  await assert.rejects(failed, (error: Error) => databaseUnavailable(error));
  assert.equal(await isNoted('lost'), false);
});

test('after an error the connection is used again, with no transaction open on it', async () => {
  const pidOf = async (client: PoolClient) =>
    (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid;
  const single = createPool({ url: ownerUrl, size: 1, applicationName: 'single', log: silentLog });
  try {
    const before = await transaction(single, pidOf);
    await assert.rejects(transaction(single, (client) => client.query('select 1 / 0')));
    await assert.rejects(runStatement(single, note('kept')), { code: '23505' });
    const after = await transaction(single, async (client) => {
      const { rows } = await client.query('select pg_current_xact_id_if_assigned() as id');
      assert.deepEqual(rows, [{ id: null }]);
      return pidOf(client);
    });
    assert.equal(after, before);
  } finally {
    await single.end();
  }
});

test('a connection that is cut inside a transaction is thrown away, and the broker lives', async () => {
  const failed = transaction(pool, async (client) => {
    await client.query(note('cut'));
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    await ask(superuserUrl, `select pg_terminate_backend(${rows[0]?.pid})`);
    await client.query('select 1');
  });
  await assert.rejects(failed, (error: Error) => databaseUnavailable(error));
  assert.equal(await isNoted('cut'), false);
});

test('a connection whose answer got lost is thrown away: its transaction may still be open', async () => {
  const single = createPool({
    url: ownerUrl,
    size: 1,
    applicationName: 'single',
    log: silentLog,
    statementTimeoutMilliseconds: 1_000,
  });
  let pid = 0;
  try {
    const failed = transaction(single, async (client) => {
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      pid = rows[0]?.pid ?? 0;
      process.kill(pid, 'SIGSTOP');
      await client.query('select 1');
    });
    await assert.rejects(failed, (error: Error) => databaseUnavailable(error));
    assert.equal(single.totalCount, 0);
  } finally {
    if (pid !== 0) process.kill(pid, 'SIGCONT');
    await single.end();
  }
});

test('the same connection serves named statements', async () => {
  const named = { name: 'plus', text: 'select $1::int + 1 as sum', values: [1] };
  assert.deepEqual((await runStatement<{ sum: number }>(pool, named)).rows, [{ sum: 2 }]);
  assert.deepEqual((await runStatement<{ sum: number }>(pool, { ...named, values: [2] })).rows, [{ sum: 3 }]);
});
