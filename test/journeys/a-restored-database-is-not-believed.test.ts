/** L25: the ledger in a database that was replaced, or went back in time, and what it takes to go on. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Broker } from '../../src/broker.ts';
import { connectDatabase } from '../../src/database/connections.ts';
import { silentLog } from '../../src/errors/log.ts';
import { createIdentityCheck } from '../../src/revocations/identity-store.ts';
import { createLedgerTrust } from '../../src/revocations/ledger-trust.ts';
import { createRevocationStore } from '../../src/revocations/revocation-store.ts';
import { systemClock } from '../../src/time/clock.ts';
import { cleanEnvironment, until } from '../broker-process.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, type TestWorld } from '../test-broker.ts';
import { asSuperuser } from '../test-cluster.ts';

const CUSTOMERS = 'https://customers.example.com';
const LAUNCHER = fileURLToPath(new URL('../../src/launch.js', import.meta.url));

let world: TestWorld;
let broker: Broker;
before(async () => {
  world = await createTestWorld();
  broker = await world.startBroker();
});

async function revoke(id: string): Promise<number> {
  const ledger = createRevocationStore(world.owner, systemClock);
  const target = { kind: 'session', id } as const;
  return (
    await ledger.append({ target, standing: false, reason: 'test', actor: 'test', requestId: undefined })
  ).epoch;
}

async function readiness(): Promise<{ status: number; ledger: { ok: boolean; detail: string } | undefined }> {
  const response = await fetch(`${broker.url}/readyz`);
  const { checks } = (await response.json()) as { checks: { ledger?: { ok: boolean; detail: string } } };
  return { status: response.status, ledger: checks.ledger };
}

const mint = () => world.agent(broker, 'report-writer').token(newSessionKey());

async function isActive(token: string): Promise<boolean> {
  const server = world.resourceServer(broker, CUSTOMERS);
  const { body } = await server.post('/oauth/introspect', server.authenticated({ token }));
  return body.active;
}

async function moveHead(...more: string[]): Promise<{ stdout: string; code: number }> {
  const given = ['--database-url', world.database.ownerUrl, '--reason', 'a test', ...more];
  const run = promisify(execFile)(process.execPath, [LAUNCHER, 'ledger', 'move-head', ...given], {
    env: cleanEnvironment({}),
  });
  return run.then(({ stdout }) => ({ stdout, code: 0 })).catch(({ stdout, code }) => ({ stdout, code }));
}

async function head(): Promise<{ epoch: number; generation: number }> {
  const [row] = await world.query<{ epoch: number; generation: number }>(
    'select epoch::float8 as epoch, generation from revocation_head',
  );
  assert.ok(row);
  return row;
}

const believed = () => until(async () => (await readiness()).status === 200, 'the ledger is believed again');
const doubted = () =>
  until(async () => (await readiness()).ledger?.ok === false, 'the ledger is not believed');

test('nothing is served from another timeline until the owner says so, and then everything from before is dead', async () => {
  const epoch = await revoke('ses_before');
  const verifier = world.verifier(broker, CUSTOMERS);
  await verifier.renew();
  const session = newSessionKey();
  const agent = world.agent(broker, 'report-writer');
  const { body } = await agent.token(session);
  assert.equal(await isActive(body.access_token), true);

  await world.query('update revocation_head set timeline = timeline + 1'); // as if this were a standby, promoted
  await doubted();
  assert.match((await readiness()).ledger?.detail ?? '', /move-head/);
  assert.equal((await mint()).status, 503);
  assert.equal((await verifier.send(verifier.question())).status, 503);

  assert.equal((await moveHead()).code, 1, 'not without --yes');
  const { stdout, code } = await moveHead('--yes');
  assert.equal(code, 0);
  const moved = await head();
  assert.match(stdout, new RegExp(`epoch ${moved.epoch}, generation ${moved.generation}`));
  assert.ok(moved.generation > 1);
  assert.ok(moved.epoch >= epoch + 1_000_000);
  await believed();

  assert.equal(await isActive(body.access_token), false);
  assert.equal((await agent.token(session)).body.code, 'session_ended');
  assert.equal((await mint()).status, 200);
  const lease = await verifier.renew();
  assert.ok(lease.page.snapshot, 'a copy of another generation is of no use');
  assert.deepEqual([lease.page.generation, lease.page.head.epoch], [moved.generation, moved.epoch]);
  assert.equal(lease.page.entries.at(-1)?.kind, 'all');
});

test('a ledger that went back in time is noticed, and the next head lies above what anybody has seen of it', async () => {
  const verifier = world.verifier(broker, CUSTOMERS);
  await verifier.renew();
  const kept = await head();
  const lost = await revoke('ses_lost');
  await verifier.renew(); // it has seen what is going to be lost
  await until(
    async () => (await readiness()).ledger?.detail === `epoch ${lost}`,
    'the broker has seen it too',
  );

  const { rows } = await asSuperuser(
    world.database.socketDirectory,
    async (client) => {
      await client.query('delete from revocations where epoch = $1', [lost]);
      return client.query(
        `update revocation_head h set epoch = $1, digest = r.digest from revocations r where r.epoch = $1 returning 1`,
        [kept.epoch],
      );
    },
    world.database.name,
  );
  assert.equal(rows.length, 1);
  await doubted();
  assert.match((await readiness()).ledger?.detail ?? '', /shorter/);
  for (let more = 0; more < 3; more += 1) await revoke(`ses_after_${more}`); // it grows again
  assert.equal((await mint()).status, 503, 'what was lost does not come back by that');

  const above = lost + 5_000_000;
  assert.equal((await moveHead('--yes', '--above', String(above))).code, 0);
  await believed();
  assert.ok((await head()).epoch >= above + 1_000_000);
  assert.equal((await mint()).status, 200);
});

test('a broker does not start on a database that is not its own, and says what to do', async () => {
  await world.query(`update revocation_head set system_identifier = 'another'`);
  await assert.rejects(world.startBroker(), /move-head/);
  await doubted();
  await world.query(
    'update revocation_head set system_identifier = i.system_identifier from database_identity() i',
  );
  await believed();
});

test('every new connection is asked where it leads, before anything is decided on it', async (t) => {
  const trust = createLedgerTrust({ log: silentLog, onAlarm() {}, clock: systemClock });
  const admit = createIdentityCheck(trust);
  const database = connectDatabase({ url: world.database.applicationUrl, log: silentLog, admit });
  t.after(database.close);
  const pools = [database.mintPool, database.operatorMintPool, database.ledgerPool, database.pool];
  await Promise.all(pools.map((pool) => pool.query('select 1')));

  await world.query('update revocation_head set timeline = timeline + 1');
  await endConnections();
  for (const pool of pools) {
    await assert.rejects(
      async () => {
        // A connection that is found to be dead says so once.
        await pool.query('select 1').catch(() => pool.query('select 1'));
      },
      { name: 'UnfitDatabaseError' },
    );
  }
  assert.equal(trust.distrusted(), 'replaced');
  await world.query('update revocation_head set timeline = timeline - 1');
  await believed();
});

async function endConnections(): Promise<void> {
  await asSuperuser(world.database.socketDirectory, async (client) => {
    await client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and application_name like 'mayfly%'`,
      [world.database.name],
    );
  });
}
