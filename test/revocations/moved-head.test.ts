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

/** The database as it was before the head was ever moved. */
async function restore(): Promise<void> {
  await owner.query('update revocation_head set generation = 1, epoch = 0, moved_at = null');
  await owner.query('delete from revocations');
  await owner.query('delete from ledger_claims');
}

/** Seconds since 2026 began. */
const now = () => Math.floor((Date.now() - Date.UTC(2026, 0, 1)) / 1_000);

test('a head that is moved again after a backup forgot the first move is above all that was made since, though nobody says so', async () => {
  const first = await move();
  await owner.query(
    `select from generate_series(1, 50) n cross join lateral
       append_revocation('rev_' || n, 'session', 'ses', false, null, 'a test', 'test', 'aud_' || n, null)`,
  );
  await restore();
  await owner.query('select pg_sleep_until($1)', [new Date(Date.now() + 1_000 - (Date.now() % 1_000))]);
  const second = await move();
  assert.ok(second.generation > first.generation);
  assert.ok(second.epoch > first.epoch + 50, 'a token of then is older than it');
});

test('what verifiers claim to have seen counts besides, where it can be believed', async () => {
  await restore();
  const seen = { epoch: now() * 10_000 + 80_000_000, generation: now() + 500 };
  await claim('https://one.example.com', seen.epoch, seen.generation);
  const { epoch, generation } = await move();
  assert.equal(generation, seen.generation + 1);
  assert.ok(epoch > seen.epoch);
});

test('a clock that went back does not take the head back', async () => {
  const [before] = (
    await owner.query(
      'update revocation_head set epoch = epoch + 900000000000, generation = generation + 100000 returning epoch::float8 as epoch, generation',
    )
  ).rows;
  const { epoch, generation } = await move();
  assert.ok(epoch >= before.epoch + 1_000_000);
  assert.equal(generation, before.generation + 1);
});

test('nobody moves it out of reach by claiming what cannot be', async () => {
  await restore();
  await claim('https://liar.example.com', 4_000_000_000_000_000, 2_000_000_000);
  const { epoch, generation } = await move();
  assert.ok(generation <= now() + 1);
  assert.ok(epoch < now() * 10_000 + 10_000_000);
});
