/* One verifier beside its brokers, and one behind a network that fails in every way that a network can. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import type { Receipt } from '../../src/revocations/receipt.ts';
import { createRevocationStore } from '../../src/revocations/revocation-store.ts';
import { systemClock } from '../../src/time/clock.ts';
import { until } from '../broker-process.ts';
import { type BrokerProxy, createBrokerProxy } from './broker-proxy.ts';
import { CUSTOMERS, createFleet, type Minted } from './fleet.ts';
import { createStepProxy } from './step-proxy.ts';

let database: Awaited<ReturnType<typeof createStepProxy>> | undefined;
const fleet = await createFleet({
  verifiers: [{ resource: CUSTOMERS }],
  async reachDatabase(name) {
    database = await createStepProxy(name);
    return database.applicationUrl;
  },
});
const proxies: BrokerProxy[] = await Promise.all(fleet.urls.map(createBrokerProxy));
const far = fleet.startVerifiers({ resource: CUSTOMERS, brokers: proxies.map(({ url }) => url) });
await far.ready();
const olivia = fleet.operator('olivia');
const omar = fleet.operator('omar', 1);

const everyProxy = (what: 'cut' | 'mend' | 'breakFeed' | 'muteFeed' | 'repeatAnswers' | 'holdAnswers') => {
  for (const proxy of proxies) proxy[what]();
};
const counted = (what: keyof BrokerProxy['count']) =>
  proxies.reduce((sum, { count }) => sum + count[what], 0);
const lowLease = async () => (await far.status())[0]?.leases.LOW ?? 0;

async function revokeSession({ token }: Minted): Promise<void> {
  const path = `/v1/sessions/${decodeJwt(token).sid}/revoke`;
  const { status, text } = await olivia.post(path, 'mayfly:revoke:sessions', { reason: 'a journey' });
  assert.ok(status < 300, text);
}

const saysOnly = async (outcome: string, minted: Minted) =>
  (await fleet.everywhere(minted)).every((each) => each === outcome);
const refusedEverywhere = (minted: Minted) =>
  until(() => saysOnly('token_revoked', minted), 'refused everywhere');

test('a revocation of which no NOTIFY tells is refused everywhere all the same', async () => {
  const minted = await fleet.mint();
  await createRevocationStore(fleet.world.owner, systemClock).append({
    target: { kind: 'session', id: String(decodeJwt(minted.token).sid) },
    standing: false,
    reason: 'a journey',
    actor: 'test',
    requestId: undefined,
  });
  await refusedEverywhere(minted);
});

test('while every NOTIFY is lost a kill at either broker is answered with 200, and refused everywhere', async () => {
  const lostBefore = database?.lostNotifications() ?? 0;
  database?.loseNotifications(true);
  for (const [engaging, releasing] of [
    [fleet.operator('olivia', 0), fleet.operator('omar', 1)],
    [fleet.operator('omar', 1), fleet.operator('olivia', 0)],
  ] as const) {
    const minted = await fleet.mint();
    await until(() => saysOnly('granted', minted), 'it works');
    const target = { kind: 'agent', id: 'report-writer' };
    const body = { target, reason: 'a journey', wait_seconds: 25 };
    const killed = await engaging.post('/v1/kill-switch', 'mayfly:engage:kill-switch', body);
    assert.equal(killed.status, 200, killed.text);
    assert.ok(await saysOnly('token_revoked', minted));
    const path = `/v1/kill-switch/${killed.body.id}/release`;
    const released = await releasing.post(path, 'mayfly:release:kill-switch', { reason: 'a journey' });
    assert.ok(released.status < 300, released.text);
  }
  database?.loseNotifications(false);
  assert.ok((database?.lostNotifications() ?? 0) > lostBefore + 1, 'they were sent, and nobody heard');
});

test('a feed that breaks after every message costs time and nothing else', async () => {
  everyProxy('breakFeed');
  const before = counted('feedBreaks');
  for (let round = 0; round < 3; round += 1) {
    const minted = await fleet.mint({ at: round % 2 });
    await until(() => saysOnly('granted', minted), 'it is good');
    await revokeSession(minted);
    await refusedEverywhere(minted);
  }
  await until(() => counted('feedBreaks') > before, 'the feed broke');
  everyProxy('mend');
});

test('a feed from which nothing comes is not needed: the answers to questions bring the same', async () => {
  everyProxy('muteFeed');
  const minted = await fleet.mint();
  await revokeSession(minted);
  await refusedEverywhere(minted);
  everyProxy('mend');
});

test('answers that are given again renew nothing', async () => {
  const started = counted('repeated');
  everyProxy('repeatAnswers');
  await until(() => counted('repeated') > started, 'no new answer is under way');
  const [before, from] = [await lowLease(), performance.now()];
  await until(() => counted('repeated') > started + 3, 'old answers are given again');
  const passed = performance.now() - from;
  assert.ok((await lowLease()) < before - 0.8 * passed, 'the lease grows shorter as time passes');
  const minted = await fleet.mint();
  await revokeSession(minted);
  await refusedEverywhere(minted);
  everyProxy('mend');
  await until(async () => (await lowLease()) > before - 1_000, 'it is renewed again');
});

test('an answer that comes seconds late renews from when it was asked for', async () => {
  const heldBefore = proxies.map(({ count }) => count.held);
  everyProxy('holdAnswers');
  let holding: BrokerProxy | undefined;
  await until(() => {
    holding = proxies.find(({ count }, index) => count.held > (heldBefore[index] ?? 0));
    return holding !== undefined;
  }, 'an answer is held back');
  const askedBefore = performance.now();
  await until(() => performance.now() > askedBefore + 1_500, 'it is late');
  const endsAt = async () => {
    const now = performance.now(); // before it is told, so that this is not later than it is
    return now + (await lowLease());
  };
  const before = await endsAt();
  holding?.giveOldestAnswer();
  await until(async () => (await endsAt()) > before + 100, 'it renews the lease');
  assert.ok((await endsAt()) <= askedBefore + 300_000, 'and no longer than from the question on');
  everyProxy('mend');
  const minted = await fleet.mint();
  await revokeSession(minted);
  await refusedEverywhere(minted);
});

test('a verifier that is cut off is named in the receipt, and has stopped when the receipt says so', async () => {
  const minted = await fleet.mint();
  const [instance] = await far.status();
  everyProxy('cut');
  const target = { kind: 'agent', id: 'report-writer' };
  const killed = await olivia.post('/v1/kill-switch', 'mayfly:engage:kill-switch', {
    target,
    reason: 'a journey',
    wait_seconds: 2,
  });
  assert.equal(killed.status, 202, killed.text);
  const { verifiers, committed_at: committedAt } = decodeJwt<Receipt>(killed.body.receipt);
  const outstanding = verifiers.filter(({ applied_at: at }) => at === undefined);
  assert.deepEqual(
    outstanding.map((each) => each.instance),
    [instance?.instance],
  );
  const stopsAt = Date.parse(outstanding[0]?.stops_at ?? '');
  assert.ok(stopsAt > Date.parse(committedAt));
  assert.deepEqual(
    (await fleet.everywhere(minted)).toSorted(),
    ['granted', 'token_revoked'],
    'it cannot know',
  );

  await far.skip(stopsAt - Date.now());
  const [stopped] = await far.status();
  assert.deepEqual(new Set(Object.values(stopped?.serving ?? {})), new Set(['lease_expired']));
  assert.notDeepEqual(await fleet.everywhere(minted, [far]), ['granted']);
  await omar.post(`/v1/kill-switch/${killed.body.id}/release`, 'mayfly:release:kill-switch', {
    reason: 'a journey',
  });
});
