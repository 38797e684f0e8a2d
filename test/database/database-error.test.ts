import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  databaseUnavailable,
  isCallersFault,
  isConnectionLost,
  isRetryable,
  RolledBackError,
  sqlState,
  UnfitDatabaseError,
} from '../../src/database/database-error.ts';
import { createTestDatabase } from '../test-database.ts';
import { ask } from './embedded-fixture.ts';

const { superuserUrl } = await createTestDatabase();

/** As Postgres itself reports it. */
async function raised(state: string): Promise<unknown> {
  return ask(superuserUrl, `do $$ begin raise exception using errcode = '${state}'; end $$`).then(
    () => assert.fail('was not raised'),
    (error: unknown) => error,
  );
}

test('each SQLSTATE has one meaning', async () => {
  const meanings = {
    unavailable: [
      '08000 08003 08006 08P01 25006 25P03 25P04 28000 28P01 3D000 53000 53100 53200 53300 53400',
      '55P03 57014 57P01 57P02 57P03 57P05 58000 58030 58P01',
    ],
    callersFault: ['22000 22001 22003 22021 22P02 22P05 54000 54023'],
    retryable: ['40001 40P01'],
    defect: ['21000 23502 23503 23505 23514 0A000 42501 42601 42703 42P01 P0001 XX000 XX001 57000 25001'],
  };
  for (const [meaning, lists] of Object.entries(meanings)) {
    for (const state of lists.join(' ').split(' ')) {
      const error = await raised(state);
      assert.equal(sqlState(error), state);
      const found = {
        unavailable: databaseUnavailable(error),
        callersFault: isCallersFault(error),
        retryable: isRetryable(error),
      };
      const none = { unavailable: false, callersFault: false, retryable: false };
      assert.deepEqual(found, meaning === 'defect' ? none : { ...none, [meaning]: true }, state);
    }
  }
});

test('real statements of callers are their fault, and a broken query of ours is not', async () => {
  const faults = ['select chr(0)', "select '\\xff'::text::int", 'select 1 / 0', "select '10:99'::time"];
  for (const statement of faults) {
    await assert.rejects(ask(superuserUrl, statement), (error) => isCallersFault(error), statement);
  }
  await assert.rejects(ask(superuserUrl, 'selekt'), (error: unknown) => {
    return !isCallersFault(error) && !databaseUnavailable(error) && !isRetryable(error);
  });
});

test('a row without a partition is an outage, a row against a rule is a defect', async () => {
  const parted = `create temporary table parted (hour integer) partition by range (hour)`;
  await assert.rejects(ask(superuserUrl, `${parted}; insert into parted values (1)`), (error) => {
    return sqlState(error) === '23514' && databaseUnavailable(error);
  });
  const ruled = `create temporary table ruled (hour integer check (hour > 1))`;
  await assert.rejects(ask(superuserUrl, `${ruled}; insert into ruled values (1)`), (error) => {
    return sqlState(error) === '23514' && !databaseUnavailable(error);
  });
});

test('errors of the socket and the driver are outages; errors of our own code are not', () => {
  for (const error of [
    Object.assign(new Error('x'), { code: 'ECONNREFUSED' }),
    Object.assign(new Error('x'), { code: 'ENOENT', syscall: 'connect' }),
    Object.assign(new AggregateError([], 'x'), { code: 'ECONNREFUSED' }),
    new Error('Connection terminated unexpectedly'),
    new Error('timeout exceeded when trying to connect'),
    new Error('Query read timeout'),
    new Error('outer', { cause: new Error('Connection terminated due to connection timeout') }),
    new UnfitDatabaseError('x'),
    new RolledBackError(),
  ]) {
    assert.ok(databaseUnavailable(error), error.message);
  }
  for (const error of [
    new TypeError('x is not a function'),
    Object.assign(new Error('x'), { code: 'ENOENT', syscall: 'open' }),
    Object.assign(new Error('x'), { code: '57P01' }), // nobody says that Postgres said it
    'Connection terminated',
    null,
    undefined,
  ]) {
    assert.equal(databaseUnavailable(error), false);
    assert.equal(isConnectionLost(error), false);
  }
});

test('an error that causes itself ends the search', () => {
  const error = new Error('x');
  error.cause = error;
  assert.equal(databaseUnavailable(error), false);
});

test('a connection survives the error of a statement, not its own', async () => {
  for (const state of ['22P02', '23505', '40P01', '42601', '55P03', '57014']) {
    assert.equal(isConnectionLost(await raised(state)), false, state);
  }
  for (const state of ['08006', '25006', '25P03', '57P01', '57P02', '57P05']) {
    assert.equal(isConnectionLost(await raised(state)), true, state);
  }
});
