/** Many who wait for the same entry cost the one connection that they share not much more than one of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createReceiptStore, type ReceiptStore } from '../../src/revocations/receipt-store.ts';
import { createReceipts } from '../../src/revocations/receipts.ts';
import { systemClock } from '../../src/time/clock.ts';
import { createLedgerFixture } from './ledger-fixture.ts';

const WAITING = 60;

test('sixty who wait for one entry look together, and all hear at once that it is applied', async () => {
  const { app, owner, engage } = await createLedgerFixture();
  await owner.query(
    `insert into verifiers (instance, resource, started_at, generation, applied_epoch, renewed_at, lease_seconds, lease_ends_at)
     values ('ver_1', 'https://customers.example.com', now(), 1, 0, now(), 300, now() + interval '5 minutes')`,
  );
  const stored = createReceiptStore(app, { longestLeaseSeconds: 300 });
  let [looks, atOnce, most] = [0, 0, 0];
  const store: ReceiptStore = {
    ...stored,
    async settle(...asked) {
      const [epoch, { replicated }] = asked;
      // Each has a first look of its own, as one who knows of the standby.
      if (replicated) return stored.settle(...asked);
      looks += 1;
      atOnce += 1;
      most = Math.max(most, atOnce);
      // When they have looked a while, it is applied.
      if (looks === 20) await owner.query('update verifiers set applied_epoch = $1', [epoch]);
      await stored.settle(...asked).finally(() => {
        atOnce -= 1;
      });
    },
  };
  const receipts = createReceipts({
    issuer: 'https://mayfly.example.com',
    store,
    signer: () => assert.fail('nothing is signed'),
    confirm: async () => true,
    clock: systemClock,
  });
  const epoch = Number((await engage('zone', 'analytics')).epoch);
  const wait = () => receipts.settle(epoch, { replicated: true, withinMilliseconds: 60_000 });
  const all = await Promise.all(Array.from({ length: WAITING }, wait));
  assert.ok(all.every(({ complete }) => complete));
  assert.equal(most, 1, 'one looks for all');
});
