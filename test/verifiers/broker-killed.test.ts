/**
 * L14 with a real Postgres and a broker that dies between two steps of a renewal: whatever it leaves behind, a lease
 * that somebody may hold is in the register, and another broker goes on from there.
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Broker } from '../../src/broker.ts';
import { createRevocationStore } from '../../src/revocations/revocation-store.ts';
import { systemClock } from '../../src/time/clock.ts';
import { freePort, startBrokerProcess } from '../broker-process.ts';
import { createTestWorld, type TestWorld } from '../test-broker.ts';
import { createStatementProxy, type Stop } from './statement-proxy.ts';

const CUSTOMERS = 'https://customers.example.com';

let world: TestWorld;
let survivor: Broker;
before(async () => {
  world = await createTestWorld();
  survivor = await world.startBroker();
});

const CASES: [what: string, stop: Stop, isRegistered: boolean][] = [
  ['before the rows reach the database', { statement: 'verifiers_register', at: 'request' }, false],
  ['when they are committed and it has not heard', { statement: 'verifiers_register', at: 'answer' }, true],
  ['when they are committed and nothing is read', { statement: 'ledger_pages', at: 'request' }, true],
  ['when it has read and not signed', { statement: 'ledger_pages', at: 'answer' }, true],
];

for (const [what, stop, isRegistered] of CASES) {
  test(`a broker is killed ${what}`, async (t) => {
    const proxy = await createStatementProxy(world.database);
    const dying = startBrokerProcess({
      settings: {
        ...world.environment(),
        DATABASE_URL: proxy.applicationUrl,
        MAYFLY_PORT: String(await freePort()),
        MAYFLY_LOG_LEVEL: 'warn',
      },
    });
    t.after(() => dying.child.kill('SIGKILL'));
    const url = await dying.url;
    const verifier = world.verifier(survivor, CUSTOMERS);
    await verifier.renew({ sensitivities: ['HIGH'] });
    const before = await rowOf(verifier.instance);

    const stopped = proxy.stopAt(stop);
    const lost = verifier.send(verifier.question({ sensitivities: ['LOW'] }), url).catch(() => null);
    await stopped;
    dying.child.kill('SIGKILL');
    assert.equal(await lost, null, 'no answer, no lease');
    await dying.exited;

    const after = await rowOf(verifier.instance);
    assert.equal(
      after.lease_seconds,
      isRegistered ? 300 : 3,
      'what may have been granted is in the register',
    );
    assert.ok(after.lease_left >= before.lease_left - 60);
    assert.equal(after.lease_left > 200, isRegistered);

    const { epoch } = await createRevocationStore(world.owner, systemClock).append({
      target: { kind: 'agent', id: 'nobody' },
      standing: true,
      reason: 'test',
      actor: 'test',
      requestId: undefined,
    });
    const lease = await verifier.renew({ sensitivities: ['HIGH'] });
    assert.equal(lease.page.head.epoch, epoch, 'another broker tells what was revoked since');
    await verifier.renew();
    const last = await rowOf(verifier.instance);
    assert.equal(Number(last.applied_epoch), epoch);
    assert.equal(last.lease_left > 200, isRegistered, 'and does not take back what another may have granted');
  });
}

type Row = { applied_epoch: string; lease_seconds: number; lease_left: number };

async function rowOf(instance: string): Promise<Row> {
  const [row] = await world.query<Row>(
    `select applied_epoch, lease_seconds, extract(epoch from lease_ends_at - now())::float8 as lease_left
       from verifiers where instance = $1`,
    [instance],
  );
  assert.ok(row);
  return row;
}
