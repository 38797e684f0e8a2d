import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '../../src/errors/log.ts';
import { Refusal } from '../../src/errors/refusal.ts';
import {
  createLedgerTrust,
  type LedgerAlarm,
  type ObservedHead,
} from '../../src/revocations/ledger-trust.ts';
import { systemClock } from '../../src/time/clock.ts';

const HEAD: ObservedHead = { epoch: 10, generation: 1, digest: 'd10', floor: 0, same: true, movedAt: null };

function createTrust() {
  const alarms: LedgerAlarm[] = [];
  const trust = createLedgerTrust({
    log: silentLog,
    onAlarm: (alarm) => alarms.push(alarm),
    clock: systemClock,
  });
  return { trust, alarms };
}

const refuses = (require: () => void) =>
  assert.throws(require, (error) => error instanceof Refusal && error.reason === 'database_replaced');

test('a ledger that goes on is believed', () => {
  const { trust, alarms } = createTrust();
  for (const head of [
    HEAD,
    HEAD,
    { ...HEAD, epoch: 11, digest: 'd11' },
    { ...HEAD, epoch: 40, digest: 'd40', floor: 9 },
  ]) {
    assert.ok(trust.observe(head));
    trust.require();
  }
  assert.deepEqual(alarms, []);
});

const DOUBTFUL: [what: string, head: ObservedHead, because: string][] = [
  ['another cluster or timeline', { ...HEAD, epoch: 11, same: false }, 'replaced'],
  ['a shorter ledger', { ...HEAD, epoch: 9, digest: 'd9' }, 'rolled_back'],
  ['another digest at the same place', { ...HEAD, digest: 'other' }, 'forked'],
  ['an older generation', { ...HEAD, epoch: 900, generation: 0 }, 'rolled_back'],
];

for (const [what, head, because] of DOUBTFUL) {
  test(`${what} is not believed, and all is refused`, () => {
    const { trust, alarms } = createTrust();
    trust.observe(HEAD);
    assert.equal(trust.observe(head), false);
    refuses(trust.require);
    assert.equal(trust.distrusted(), because);
    trust.observe(head);
    assert.deepEqual(alarms, [because], 'one alarm');
  });
}

test('what was lost does not come back by growing again', () => {
  const { trust } = createTrust();
  trust.observe(HEAD);
  trust.observe({ ...HEAD, epoch: 9, digest: 'd9' });
  assert.equal(trust.observe({ ...HEAD, epoch: 50, digest: 'd50' }), false);
  refuses(trust.require);
});

test('the way back to the same database is enough when it was only another one', () => {
  const { trust } = createTrust();
  trust.observe(HEAD);
  trust.observe({ ...HEAD, same: false });
  assert.equal(trust.observe({ ...HEAD, epoch: 9, digest: 'd9' }), false, 'but not to an older state of it');
  trust.observe({ ...HEAD, same: false });
  assert.ok(trust.observe(HEAD));
});

test('a head that was moved is believed, wherever it was before', () => {
  for (const [, head] of DOUBTFUL) {
    const { trust } = createTrust();
    trust.observe(HEAD);
    trust.observe(head);
    assert.ok(trust.observe({ ...HEAD, epoch: 1_000_010, generation: 2, digest: 'new' }));
    trust.require();
  }
});

test('a connection that leads elsewhere is enough', () => {
  const { trust, alarms } = createTrust();
  trust.observe(HEAD);
  trust.distrust('replaced');
  refuses(trust.require);
  assert.ok(trust.observe(HEAD));
  assert.deepEqual(alarms, ['replaced']);
});

test('what somebody outside claims is an alarm and stops nothing', () => {
  const { trust, alarms } = createTrust();
  trust.observe(HEAD);
  trust.hear('ahead', { since: 99 });
  trust.require();
  assert.deepEqual(alarms, ['ahead']);
});
