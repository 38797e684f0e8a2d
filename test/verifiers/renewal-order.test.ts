/**
 * L14, in every order of steps: once whoever revoked knows of each enforcement point that it has applied the entry,
 * or that its lease is over, none of them decides without it. The renewals are the broker's own; only the database
 * under them is made of paper, so that its snapshots, commits and answers can be put in any order.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Question } from '../../src/revocations/ledger-message.ts';
import { createLeaseRenewals, type LeaseRenewals } from '../../src/verifiers/renew-leases.ts';
import { fc } from '../properties.ts';
import { soakFactor } from '../soak.ts';
import { createFakeDatabase, type FakeDatabase, type Fault, LEASE_TICKS } from './fake-ledger-database.ts';

const RESOURCE = { audience: 'https://customers.example.com' } as never;

/** What one instance holds: a copy up to an epoch, and a lease on it that runs from the moment of asking (L15). */
type Verifier = { name: string; appliedEpoch: number; leaseEndsAt: number };

async function keepRenewing(
  verifier: Verifier,
  renewals: LeaseRenewals,
  database: FakeDatabase,
  times: number,
) {
  for (let time = 0; time < times; time += 1) {
    await database.step(); // until it asks
    const askedAt = database.now();
    const question = {
      instance: verifier.name,
      generation: 1,
      applied_epoch: verifier.appliedEpoch,
      digest: null,
      sensitivities: ['HIGH'],
    } as Partial<Question> as Question;
    const answer = renewals.renew({ question, resource: RESOURCE }).then(async ({ page }) => {
      await database.step(); // until the answer is there
      verifier.appliedEpoch = Math.max(verifier.appliedEpoch, page.through);
      verifier.leaseEndsAt = Math.max(verifier.leaseEndsAt, askedAt + LEASE_TICKS);
    });
    if (time % 2 === 0) await answer; // now and then the next question does not wait for it
  }
}

/**
 * Those who may act without it are listed once, after the commit; each is waited for until it has applied it, or until
 * the lease is over that it had then (L20).
 * @returns the epoch, once a receipt may say that everybody has applied it or stopped
 */
async function revokeAndWait(database: FakeDatabase): Promise<number> {
  await database.step();
  const epoch = await database.revoke();
  const listed = await database.outstanding(epoch);
  for (;;) {
    const now = database.now();
    const current = await database.outstanding(epoch);
    if ([...listed].every(([name, { leaseEndsAt }]) => now >= leaseEndsAt || !current.has(name)))
      return epoch;
  }
}

const mayDecide = ({ leaseEndsAt }: Verifier, database: FakeDatabase) => leaseEndsAt > database.now();

/** Plays one schedule to its end. @throws when a verifier decides without what it is said to have applied */
async function play(picks: readonly number[], fault: Fault): Promise<void> {
  const database = createFakeDatabase(fault);
  const trust = { require() {}, hear() {} };
  const { store, readPages } = database;
  const renewals = createLeaseRenewals({ store, readPages, trust, head: () => null });
  const verifiers = ['ver_a', 'ver_b'].map((name): Verifier => ({ name, appliedEpoch: 0, leaseEndsAt: 0 }));
  let proved = 0;
  const actors = [
    ...verifiers.map((verifier) => keepRenewing(verifier, renewals, database, 4)),
    ...Array.from({ length: 2 }, async () => {
      proved = Math.max(proved, await revokeAndWait(database));
    }),
  ];
  let left = actors.length;
  for (const actor of actors) actor.finally(() => (left -= 1)).catch(() => {});

  for (let taken = 0; left > 0; taken += 1) {
    await settled();
    if (database.steps() > 0) database.take(picks[taken % picks.length] ?? 0);
    for (const verifier of verifiers) {
      const isLate = mayDecide(verifier, database) && verifier.appliedEpoch < proved;
      assert.ok(!isLate, `${verifier.name} decides at ${database.now()} without ${proved}`);
    }
    assert.ok(taken < 2_000, 'the schedule comes to an end');
  }
  await Promise.all(actors);
}

/** Until everybody waits for a step: the batches form in turns of the event loop. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 4; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

const schedule = fc.array(fc.nat(7), { minLength: 40, maxLength: 120 });
const holds = (fault: Fault) => fc.asyncProperty(schedule, (picks) => play(picks, fault));

test('whatever the order of steps, nobody decides without what everybody is said to have applied', async () => {
  await fc.assert(holds('none'), { numRuns: soakFactor() === 1 ? 200 : 100_000 });
});

for (const fault of [
  'reads before its rows are committed',
  'answers from a reading of another batch',
] as const) {
  test(`a broker that ${fault} is found out`, async () => {
    const { failed } = await fc.check(holds(fault), { numRuns: 2_000, endOnFailure: true });
    assert.ok(failed, 'no schedule shows it');
  });
}
