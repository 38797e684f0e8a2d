/* What one resource's key asks for keeps no other resource waiting. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refusal } from '../../src/errors/refusal.ts';
import type { LedgerPage } from '../../src/revocations/ledger-entry.ts';
import type { Question } from '../../src/revocations/ledger-message.ts';
import type { PageQuestion } from '../../src/revocations/ledger-store.ts';
import type { ObservedHead } from '../../src/revocations/ledger-trust.ts';
import type { ReceivedQuestion } from '../../src/verifiers/question.ts';
import { createLeaseRenewals } from '../../src/verifiers/renew-leases.ts';

const HEAD: ObservedHead = {
  epoch: 100_000,
  generation: 3,
  digest: 'd',
  floor: 50_000,
  same: true,
  movedAt: null,
};
const MAX_LONG_PAGES = 8;

/** Counts what is asked of the ledger, and who is registered; answers every question. */
function createRenewals(head: ObservedHead | null = HEAD) {
  const read: (readonly PageQuestion[])[] = [];
  const registered: string[] = [];
  const renewals = createLeaseRenewals({
    store: {
      register: async (attendances) =>
        attendances.map(({ instance }) => {
          registered.push(instance);
          return { own: true, open: true, doubt: null };
        }),
    },
    readPages: async (questions) => {
      read.push(questions);
      return questions.map(({ since, generation }) => ({ since, generation }) as unknown as LedgerPage);
    },
    trust: { require() {}, hear() {} },
    head: () => head,
  });
  return { renewals, read, registered };
}

let instances = 0;
function asked(resource: string, epoch: number, generation = HEAD.generation): ReceivedQuestion {
  instances += 1;
  const question = {
    instance: `ver_${instances}`,
    applied_epoch: epoch,
    generation,
    sensitivities: ['HIGH'],
  };
  return { question: question as Partial<Question> as Question, resource: { audience: resource } as never };
}

const upTo = <Item>(count: number, make: (n: number) => Item) =>
  Array.from({ length: count }, (_, n) => make(n));

test('however many parts of the ledger one resource asks for, few are read, and others get theirs', async () => {
  const { renewals, read, registered } = createRenewals();
  const flood = upTo(500, (n) => asked('https://greedy.example.com', 60_000 + n));
  const others = upTo(12, (n) => asked(`https://other-${n}.example.com`, 70_000 + n));
  const outcomes = await Promise.allSettled([...flood, ...others].map((each) => renewals.renew(each)));
  assert.equal(read.length, 1);
  assert.equal(read[0]?.length, MAX_LONG_PAGES + others.length);
  outcomes.forEach((outcome, n) => {
    const isServed = n < MAX_LONG_PAGES || n >= flood.length;
    assert.equal(outcome.status, isServed ? 'fulfilled' : 'rejected', `${n}`);
    if (outcome.status === 'fulfilled') {
      assert.equal(outcome.value.page.since, outcome.value.question.applied_epoch);
      return;
    }
    assert.ok(outcome.reason instanceof Refusal && outcome.reason.status === 429);
    assert.equal(outcome.reason.headers['Retry-After'], '1');
  });
  assert.equal(registered.length, MAX_LONG_PAGES + others.length, 'who is put off holds no lease');
});

test('generations that are not this one, and copies from before the floor, begin anew with one page', async () => {
  const { renewals, read } = createRenewals();
  const flood = [
    ...upTo(250, (n) => asked('https://greedy.example.com', 99_000, 1_000 + n)),
    ...upTo(250, (n) => asked('https://greedy.example.com', 1 + n)),
    asked('https://greedy.example.com', 0),
  ];
  const leases = await Promise.all(flood.map((each) => renewals.renew(each)));
  assert.deepEqual(read, [[{ since: 0, generation: null, goOn: false }]]);
  assert.ok(leases.every(({ page }) => page.since === 0));
});

test('a fleet that keeps up is never put off, wherever each of it is', async () => {
  const { renewals } = createRenewals();
  const fleet = upTo(300, (n) => asked('https://busy.example.com', HEAD.epoch + 20 - (n % 140)));
  const leases = await Promise.all(fleet.map((each) => renewals.renew(each)));
  for (const { page, question } of leases) assert.equal(page.since, question.applied_epoch);
});

test('a broker that has not read the ledger yet puts off the same', async () => {
  const { renewals, read } = createRenewals(null);
  const flood = upTo(100, (n) => asked('https://greedy.example.com', 1 + n, n));
  const outcomes = await Promise.allSettled(flood.map((each) => renewals.renew(each)));
  assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, MAX_LONG_PAGES);
  assert.equal(read[0]?.length, MAX_LONG_PAGES);
});
