/* Moving the head (L25): above everything that anybody says to have seen, in a generation that nobody has seen. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import pg from 'pg';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { beforeDrop, createTestDatabase } from '../test-database.ts';

const owner = new pg.Client({ connectionString: (await createTestDatabase()).ownerUrl, ssl: false });
before(async () => {
  await owner.connect();
  beforeDrop(() => owner.end());
});

async function claim(resource: string, epoch: number, generation: number): Promise<void> {
  await owner.query('insert into ledger_claims values ($1, $2, $3, now())', [resource, epoch, generation]);
}

async function move(): Promise<{ epoch: number; generation: number }> {
  const ids = [newIdentifier('rev', systemClock), newIdentifier('aud', systemClock)];
  const { rows } = await owner.query(
    `select epoch::float8 as epoch, generation from move_revocation_head(0, $1, 'a test', 'test', $2)`,
    ids,
  );
  return rows[0];
}

test('a head that is moved again after a backup forgot the first move is not taken for that one', async () => {
  const first = await move();
  assert.equal(first.generation, 2);
  await owner.query('update revocation_head set generation = 1, epoch = 0');
  await owner.query('delete from revocations');
  await claim('https://one.example.com', first.epoch + 5, 2); // who was there before the restore
  const second = await move();
  assert.equal(second.generation, 3);
  assert.ok(second.epoch > first.epoch + 5);
});

test('nobody moves it out of reach by claiming what cannot be', async () => {
  await claim('https://liar.example.com', 4_000_000_000_000_000, 2_000_000_000);
  const { epoch, generation } = await move();
  assert.equal(generation, 4);
  assert.ok(epoch < 10_000_000);
});
