/* Postgres stands still, answers nobody, or is gone, while verifiers go on with what they know. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { until } from '../broker-process.ts';
import { asSuperuser } from '../test-cluster.ts';
import { createDatabaseProxy } from '../threats/database-proxy.ts';
import { CUSTOMERS, createFleet } from './fleet.ts';

let proxy: Awaited<ReturnType<typeof createDatabaseProxy>> | undefined;
const fleet = await createFleet({
  verifiers: [{ resource: CUSTOMERS }, { resource: CUSTOMERS }],
  async reachDatabase(database) {
    proxy = await createDatabaseProxy(database);
    return proxy.applicationUrl;
  },
});
const olivia = fleet.operator('olivia', 0);
const omar = fleet.operator('omar', 1);
const target = { kind: 'agent', id: 'report-writer' };
const ENGAGE = 'mayfly:engage:kill-switch';

const serving = async () =>
  (await Promise.all(fleet.verifiers.map((each) => each.status()))).flat().map((status) => status.serving);

async function engage() {
  const body = { target, reason: 'a journey', wait_seconds: 25 };
  const path = '/v1/kill-switch';
  const token = await olivia.token(ENGAGE);
  return () =>
    olivia.send({ method: 'POST', path, body, token, proof: olivia.proof({ method: 'POST', path, token }) });
}

async function passesEverywhere() {
  let minted = await fleet.mint({ at: 1 }).catch(() => null);
  await until(
    async () => {
      minted ??= await fleet.mint({ at: 1 }).catch(() => null);
      return minted !== null && (await fleet.everywhere(minted)).every((each) => each === 'granted');
    },
    'everything works',
    60_000,
  );
  if (minted === null) throw new Error('nothing was minted');
  return minted;
}

for (const mode of ['silent', 'cut', 'deaf'] as const) {
  test(`while Postgres is ${mode} no kill is answered with 200, leases run out, and afterwards everything goes on`, async () => {
    const minted = await passesEverywhere();
    const send = await engage();
    proxy?.become(mode);
    const answer = await send();
    assert.ok(answer.status >= 500, `${answer.status} ${answer.text}`);
    await until(async () => (await serving()).every(({ HIGH }) => HIGH !== 'granted'), 'short leases end');
    assert.ok(
      (await serving()).every(({ LOW }) => LOW === 'granted'),
      'long ones do not',
    );
    assert.deepEqual(
      [...new Set(await fleet.everywhere(minted))],
      ['granted'],
      'nobody can have heard of it',
    );

    proxy?.become('open');
    await until(
      async () => (await serving()).every(({ HIGH }) => HIGH === 'granted'),
      'leases again',
      60_000,
    );
    const killed = await olivia.post('/v1/kill-switch', ENGAGE, {
      target,
      reason: 'again',
      wait_seconds: 25,
    });
    assert.equal(killed.status, 200, killed.text);
    assert.deepEqual([...new Set(await fleet.everywhere(minted))], ['token_revoked']);
    const path = `/v1/kill-switch/${killed.body.id}/release`;
    const released = await omar.post(path, 'mayfly:release:kill-switch', { reason: 'a journey' });
    assert.ok(released.status < 300, released.text);
  });
}

test('a ledger that lost its end behind the backs of all brokers stops every verifier, until the head is moved', async () => {
  const before = await passesEverywhere();
  for (const { child, exited } of fleet.brokers) {
    child.kill('SIGKILL');
    await exited;
  }
  await loseTheEnd();
  const port = new URL(fleet.urls[0] ?? '').port;
  await fleet.startBroker({ MAYFLY_PORT: port }); // it has seen nothing else
  const alarms = async () =>
    (await Promise.all(fleet.verifiers.map((each) => each.status()))).flat().map(({ alarm }) => alarm);
  await until(
    async () => (await alarms()).every((alarm) => alarm === 'ledger_rolled_back'),
    'an alarm',
    60_000,
  );
  assert.deepEqual([...new Set(await fleet.everywhere(before))], ['ledger_rolled_back']);

  await fleet.world.query('select move_revocation_head(0, $1, $2, $3, $4)', [
    newIdentifier('rev', systemClock),
    'a journey',
    'test',
    newIdentifier('aud', systemClock),
  ]);
  await until(async () => (await alarms()).every((alarm) => alarm === null), 'a new generation', 60_000);
  const after = await fleet.mint({ at: 0 });
  await until(
    async () => (await fleet.everywhere(after)).every((each) => each === 'granted'),
    'it works again',
  );
  assert.deepEqual(
    [...new Set(await fleet.everywhere(before))],
    ['token_revoked'],
    'nobody knows what was lost',
  );
});

/** The newest entry is gone, as if the database had been restored to a moment before it. */
async function loseTheEnd(): Promise<void> {
  const { socketDirectory, name } = fleet.world.database;
  await asSuperuser(
    socketDirectory,
    async (client) => {
      await client.query(`
        delete from revocations where epoch = (select epoch from revocation_head);
        update revocation_head h set epoch = r.epoch, digest = r.digest
          from revocations r where r.epoch = h.epoch - 1`);
    },
    name,
  );
}
