/** While the keys of tokens rotate no canary is lost: each goes out under the key that it was minted under. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeProtectedHeader } from 'jose';
import { silentLog } from '../../src/errors/log.ts';
import { createDrillStore } from '../../src/kill-switch/drill-store.ts';
import { watchDrills } from '../../src/kill-switch/drill-watch.ts';
import { systemClock } from '../../src/time/clock.ts';
import type { AccessTokenClaims } from '../../src/tokens/access-token.ts';
import { openStage } from '../signing-keys/ring-stage.ts';

const RESOURCE = 'https://customers.example.com';

test('a canary of before the rotation is handed out by brokers that have rotated, and not once its key is retired', async (t) => {
  const stage = await openStage(t);
  const ring = await stage.ring();
  const { kid } = ring.tokenSigner();
  const store = createDrillStore(stage.pool);
  const begin = async (id: string) => {
    await store.start({ id, by: 'a test', pauseSeconds: 0 });
    const claims = { jti: 'tok_1', aud: RESOURCE } as AccessTokenClaims;
    await store.addCanaries(id, [{ id: `cnr_${id}`, resource: RESOURCE, kid, claims }]);
    await store.publish(id, 'ses_1');
  };
  const newWatch = () => {
    const signerOf = ring.tokenSignerOf;
    const watch = watchDrills({ store, everySeconds: 0, signerOf, log: silentLog, clock: systemClock });
    t.after(watch.close);
    return watch;
  };

  await ring.rotate({ purpose: 'token', immediately: true, actor: 'a test' });
  await stage.letPass(30);
  await ring.refresh();
  assert.notEqual(ring.tokenSigner().kid, kid, 'it has rotated');
  await begin('drl_1');
  const watch = newWatch();
  await watch.look();
  assert.deepEqual(
    watch.drillsFor(RESOURCE).map(({ token }) => decodeProtectedHeader(token).kid),
    [kid],
  );

  await stage.letPass(3_600);
  await ring.refresh();
  assert.equal(ring.tokenSignerOf(kid), null);
  const late = newWatch();
  await late.look();
  assert.deepEqual(late.drillsFor(RESOURCE), []);
});
