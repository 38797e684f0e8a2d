/** Drills in large fleets, and where brokers' files differ. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '../../src/errors/log.ts';
import { createDrillStore } from '../../src/kill-switch/drill-store.ts';
import { watchDrills } from '../../src/kill-switch/drill-watch.ts';
import { systemClock } from '../../src/time/clock.ts';
import type { AccessTokenClaims } from '../../src/tokens/access-token.ts';
import { until } from '../broker-process.ts';
import { openStage } from '../signing-keys/ring-stage.ts';
import { createTestWorld } from '../test-broker.ts';
import { editedCatalogue, without } from '../threats/edited-scopes.ts';

const RESOURCE = 'https://customers.example.com';
const INSTANCES = 6_000;

test('six thousand verifiers at one broker are all heard', async (t) => {
  const stage = await openStage(t);
  const ring = await stage.ring();
  const store = createDrillStore(stage.pool);
  await stage.owner.query(
    `insert into verifiers (instance, resource, started_at, generation, applied_epoch, renewed_at, lease_seconds, lease_ends_at)
     select 'ver_' || n, $1, now(), 1, 0, now() + interval '1 minute', 300, now() + interval '6 minutes'
       from generate_series(1, ${INSTANCES}) n`,
    [RESOURCE],
  );
  const watch = watchDrills({
    store,
    everySeconds: 0,
    signerOf: ring.tokenSignerOf,
    log: silentLog,
    clock: systemClock,
  });
  t.after(watch.close);
  await store.start({ id: 'drl_1', by: 'a test', pauseSeconds: 0 });
  const claims = { jti: 'tok_1', aud: RESOURCE } as AccessTokenClaims;
  await store.addCanaries('drl_1', [
    { id: 'cnr_1', resource: RESOURCE, kid: ring.tokenSigner().kid, claims },
  ]);
  await store.publish('drl_1', 'ses_1');
  await watch.look();
  const say = (outcome: 'accepted' | 'refused') => {
    for (let n = 1; n <= INSTANCES; n += 1) {
      watch.noteDrillOutcomes({
        instance: `ver_${n}`,
        resource: RESOURCE,
        outcomes: [{ id: 'cnr_1', outcome }],
      });
    }
  };
  say('accepted');
  await until(async () => (await store.outstanding('drl_1')).accept === 0, 'all have accepted');
  await store.revoke('drl_1', { id: 'rev_1', auditId: 'aud_1' });
  say('refused');
  await until(async () => (await store.outstanding('drl_1')).refuse === 0, 'all have refused');
  assert.deepEqual(await store.tally('drl_1'), [{ resource: RESOURCE, deaf: 0, late: 0 }]);
});

test('a broker whose files are not the applied catalogue begins no drill, and leaves it to others', async () => {
  const world = await createTestWorld();
  const settings = { MAYFLY_DRILL_SECONDS: '1' };
  const catalogue = await editedCatalogue(world, {
    'agents/report-writer.yaml': without('- db:read:orders'),
  });
  const other = await world.startBroker({ catalogue, settings });
  const olivia = world.operator(other, 'olivia');
  const { status, body } = await olivia.post('/v1/kill-switch/drill', 'mayfly:run:drills', {});
  assert.deepEqual([status, body.code], [503, 'catalogue_differs']);
  assert.deepEqual(await world.query('select id from drills'), []);
  await world.startBroker({ settings });
  const ended = () =>
    world.query<{ result: string }>('select result from drills where finished_at is not null');
  await until(async () => (await ended()).length >= 3, 'three drills');
  for (const { result } of await ended()) assert.equal(result, 'passed');
});
