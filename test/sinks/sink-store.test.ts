import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompiledQuery } from 'kysely';
import pg from 'pg';
import { createPool, openKysely } from '../../src/database/pool.ts';
import { silentLog } from '../../src/errors/log.ts';
import { createSinkStore } from '../../src/sinks/sink-store.ts';
import { beforeDrop, createTestDatabase } from '../test-database.ts';

const database = await createTestDatabase();
const kysely = openKysely<unknown>(
  createPool({ url: database.applicationUrl, size: 4, applicationName: 'test', log: silentLog }),
);
const owner = new pg.Client(database.ownerUrl);
await owner.connect();
beforeDrop(async () => {
  await owner.end();
  await kysely.destroy();
});
const store = createSinkStore(kysely);

const stateOf = async (name: string) => (await store.list()).find((sink) => sink.name === name);

test('a new sink begins at the first leaf, and belongs to the broker that claimed it first', async () => {
  assert.equal(await store.claim('first', 'broker-a'), 0);
  assert.equal(await store.claim('first', 'broker-b'), null);
  assert.equal(await store.claim('first', 'broker-a'), 0);
  assert.equal((await stateOf('first'))?.holder, 'broker-a');
});

test('of brokers that claim at the same moment one gets the sink', async () => {
  const claims = await Promise.all(
    Array.from({ length: 8 }, (_, index) => store.claim('race', `broker-${index}`)),
  );
  assert.equal(claims.filter((cursor) => cursor !== null).length, 1);
});

test('a sink is another broker’s once it is released, or once its holder was silent for long enough', async () => {
  await store.claim('released', 'broker-a');
  await store.release('released', 'broker-b');
  assert.equal(await store.claim('released', 'broker-b'), null);
  await store.release('released', 'broker-a');
  assert.equal(await store.claim('released', 'broker-b'), 0);
  await owner.query(
    `update audit_sinks set held_until = clock_timestamp() - interval '1 ms' where name = 'released'`,
  );
  assert.equal(await store.claim('released', 'broker-a'), 0);
});

test('the cursor moves for its holder, from where it is, and forward only', async () => {
  await store.claim('cursor', 'broker-a');
  const move = { sink: 'cursor', holder: 'broker-a', expected: 0, next: 10 };
  assert.equal(await store.advance({ ...move, holder: 'broker-b' }), false);
  assert.equal(await store.advance({ ...move, expected: 5 }), false);
  assert.equal(await store.advance(move), true);
  assert.equal(await store.advance(move), false);
  await assert.rejects(store.advance({ ...move, expected: 10, next: 3 }), /only moves forward/);
  assert.equal(await store.claim('cursor', 'broker-a'), 10);
});

test('a cursor reaches beyond what 32 bits can count', async () => {
  await store.claim('far', 'broker-a');
  const far = 5_000_000_000;
  assert.equal(await store.advance({ sink: 'far', holder: 'broker-a', expected: 0, next: far }), true);
  assert.equal(await store.claim('far', 'broker-a'), far);
});

test('what is parked and the cursor that goes past it are one', async () => {
  await store.claim('parked', 'broker-a');
  const letter = {
    sink: 'parked',
    holder: 'broker-a',
    expected: 0,
    first: 0,
    last: 0,
    refused: 1,
    because: 'HTTP 400',
  };
  assert.equal(await store.park({ ...letter, holder: 'broker-b' }), false);
  assert.deepEqual(await store.deadLetters('parked', 10), []);
  assert.equal(await store.park(letter), true);
  assert.equal(await store.park(letter), false);
  const [first] = await store.deadLetters('parked', 10);
  assert.equal(first?.because, 'HTTP 400');
  assert.equal(first?.replayedAt, null);
  assert.equal((await stateOf('parked'))?.nextIndex, 1);
  assert.equal((await stateOf('parked'))?.parked, 1);
});

test('a dead letter is settled when all of its leaves were sent again', async () => {
  await store.claim('settled', 'broker-a');
  await store.park({
    sink: 'settled',
    holder: 'broker-a',
    expected: 0,
    first: 3,
    last: 9,
    refused: 2,
    because: 'x',
  });
  assert.equal(await store.settleDeadLetters('settled', 4, 100), 0);
  assert.equal(await store.settleDeadLetters('settled', 3, 9), 1);
  assert.equal((await stateOf('settled'))?.parked, 0);
});

test('a failure is on record until the cursor moves again', async () => {
  await store.claim('failing', 'broker-a');
  await store.noteFailure('failing', 'broker-a', 'HTTP 503');
  const since = (await stateOf('failing'))?.failingSince;
  await store.noteFailure('failing', 'broker-a', 'ECONNREFUSED');
  assert.deepEqual((await stateOf('failing'))?.failingSince, since);
  assert.equal((await stateOf('failing'))?.failure, 'ECONNREFUSED');
  await store.advance({ sink: 'failing', holder: 'broker-a', expected: 0, next: 1 });
  assert.equal((await stateOf('failing'))?.failure, null);
});

test('the application can neither turn a cursor back nor make a dead letter disappear', async () => {
  for (const statement of [
    `update audit_sinks set next_index = 0`,
    `delete from audit_sinks`,
    `insert into audit_sinks (name) values ('mine')`,
    `truncate audit_dead_letters cascade`,
    `delete from audit_dead_letters`,
    `update audit_dead_letters set replayed_at = now()`,
  ]) {
    await assert.rejects(kysely.executeQuery(CompiledQuery.raw(statement)), { code: '42501' }, statement);
  }
});
