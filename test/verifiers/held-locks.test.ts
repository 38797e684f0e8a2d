/**
 * While somebody who revokes holds the head of the ledger, nobody waits who does not write there: mints and leases go
 * on from what is committed (L9, L14), and what commits behind the lock kills what was minted meanwhile.
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import pg from 'pg';
import type { Broker } from '../../src/broker.ts';
import { until } from '../broker-process.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, type TestWorld } from '../test-broker.ts';

const CUSTOMERS = 'https://customers.example.com';
const REVOKE_AGENT = `select epoch::float8 as epoch from append_revocation(
  'rev_' || gen_random_uuid(), 'agent', 'report-writer', false, null, 'r', 'a', 'aud_' || gen_random_uuid(), null)`;

let world: TestWorld;
let broker: Broker;
before(async () => {
  world = await createTestWorld();
  broker = await world.startBroker();
});

/** Somebody who holds the head's lock until told otherwise. */
async function holdHead(t: { after: (done: () => Promise<void>) => void }) {
  const [holder, revoker] = [new pg.Client(world.database.ownerUrl), new pg.Client(world.database.ownerUrl)];
  await Promise.all([holder.connect(), revoker.connect()]);
  t.after(async () => {
    await Promise.all([holder.end(), revoker.end()]);
  });
  await revoker.query("set lock_timeout = '60s'"); // this test decides how long it waits
  await holder.query('begin');
  await holder.query('select from revocation_head for update');
  return {
    /** Waits behind the lock. */
    async revoke() {
      const revoked = revoker.query<{ epoch: number }>(REVOKE_AGENT);
      await until(async () => {
        // Not in the transaction of the holder, which would be shown again what it was shown first.
        const waiting = await world.query(
          `select pid from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock' and query like '%append_revocation%'`,
        );
        return waiting.length > 0;
      }, 'the revocation waits for the head');
      return { committed: revoked.then(({ rows }) => rows[0]?.epoch ?? 0) };
    },
    letGo: () => holder.query('commit'),
    /** Begun after the commit (L20). */
    live: async () =>
      (
        await revoker.query<{ instance: string }>(
          'select instance from verifiers where closed_at is null and lease_ends_at > now()',
        )
      ).rows.map(({ instance }) => instance),
  };
}

test('a mint does not wait for who holds the head; what commits there then kills its token', async (t) => {
  const head = await holdHead(t);
  const { committed } = await head.revoke();
  const { status, body } = await world.agent(broker, 'report-writer').token(newSessionKey());
  assert.equal(status, 200, JSON.stringify(body));
  const { epoch: mintedAt } = JSON.parse(
    Buffer.from(String(body.access_token).split('.')[1] ?? '', 'base64url').toString('utf8'),
  );
  await head.letGo();
  assert.ok((await committed) > mintedAt);
  const server = world.resourceServer(broker, CUSTOMERS);
  const answer = await server.post('/oauth/introspect', server.authenticated({ token: body.access_token }));
  assert.equal(answer.body.active, false);
});

test('a lease that is granted while a revocation waits is found by whoever revoked, and the next one brings it', async (t) => {
  const head = await holdHead(t);
  const { committed } = await head.revoke();
  const verifier = world.verifier(broker, CUSTOMERS);
  const before = await verifier.renew();
  await head.letGo();
  const epoch = await committed;
  assert.ok(before.page.head.epoch < epoch);
  assert.ok((await head.live()).includes(verifier.instance), 'it has to be waited for');
  const next = await verifier.renew();
  assert.equal(next.page.head.epoch, epoch);
  assert.equal(next.page.entries.at(-1)?.target, 'report-writer');
});

test('a lock on the register stops no mint, and leases are granted again when it is gone', async () => {
  const holder = new pg.Client(world.database.ownerUrl);
  await holder.connect();
  await holder.query('begin');
  await holder.query('lock table verifiers in access exclusive mode');
  const verifier = world.verifier(broker, CUSTOMERS);
  const answer = await verifier.send(verifier.question());
  assert.equal(answer.status, 503, 'in time, and without a lease');
  assert.equal((await world.agent(broker, 'report-writer').token(newSessionKey())).status, 200);
  await holder.query('rollback');
  await holder.end();
  await verifier.renew();
});
