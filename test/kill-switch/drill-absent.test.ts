/** Who is not there cannot fail a drill: an instance that does not renew is stopped by its lease, and the drill says when. */
import assert from 'node:assert/strict';
import { after, afterEach, test } from 'node:test';
import { createVerifier, type Verifier, type VerifierOptions } from '../../src/verifier/index.ts';
import { until } from '../broker-process.ts';
import { startVerifierProcess } from '../journeys/verifier-process.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';
import { createVerifierRows } from './verifier-rows.ts';

const world = await createTestWorld();
const broker = await world.startBroker({ settings: { MAYFLY_DRILL_SECONDS: '3600' } });
const olivia = world.operator(broker, 'olivia');
const rows = createVerifierRows(world);
const verifiers: Verifier[] = [];
const renewing: (() => void)[] = [];
afterEach(() => {
  for (const stop of renewing.splice(0)) stop();
});
after(() => Promise.all(verifiers.map((verifier) => verifier.close())));

const CUSTOMERS = 'https://customers.example.com';
const STORAGE = 'https://storage.example.com';
const BILLING = 'https://billing.example.com';

type Told = Record<'accepted_at' | 'refused_at' | 'stops_at' | 'stopped_at', string | null> & {
  instance: string;
  resource: string;
  absent: boolean;
};

const optionsFor = (resource: string, file: string): VerifierOptions => ({
  issuer: TEST_ISSUER,
  brokers: [broker.url],
  resource,
  key: world.scopes.keys.get(file) as VerifierOptions['key'],
  timeoutMilliseconds: 10_000,
  renewMilliseconds: 100,
});

const OLD_ENOUGH = `select max(started_at) < clock_timestamp() - interval '1 second' as old from drills`;

async function run() {
  await until(async () => (await world.query<{ old: boolean }>(OLD_ENOUGH))[0]?.old !== false, 'a pause');
  const { status, body, text } = await olivia.post('/v1/kill-switch/drill', 'mayfly:run:drills', {});
  assert.equal(status, 200, text);
  const of = (instance: string) =>
    (body.last.verifiers as Told[]).find((each) => each.instance === instance) as Told;
  return { ...body, last: body.last, of };
}

/** Asked in a drill, whatever it says then. */
const isAsked = (instance: string) => async () =>
  (await world.query('select from drill_verifiers where instance = $1', [instance])).length > 0;

test('servers that die without a word fail no drill: they are absent, and named with the end of their leases', async () => {
  const verifier = createVerifier(optionsFor(STORAGE, 'storage'));
  verifiers.push(verifier);
  await verifier.ready();
  const alone = startVerifierProcess(optionsFor(CUSTOMERS, 'customers'));
  await alone.ready();
  const good = await run();
  assert.deepEqual([good.last.result, good.last.verifiers.length], ['passed', 2], good.last.because);
  await alone.kill();
  const gone = `select from verifiers where resource = '${CUSTOMERS}' and renewed_at < now() - interval '3 seconds'`;
  await until(async () => (await world.query(gone)).length === 1, 'it has not renewed for a while');
  for (let drills = 0; drills < 3; drills += 1) {
    const { last, missed, doubtful } = await run();
    assert.deepEqual([last.result, missed, doubtful.resources], ['passed', false, []], last.because);
    const [dead, alive] = [CUSTOMERS, STORAGE].map((resource) =>
      (last.verifiers as Told[]).find((each) => each.resource === resource),
    );
    assert.deepEqual(
      [dead?.absent, dead?.accepted_at, dead?.refused_at, dead?.stopped_at],
      [true, null, null, null],
    );
    assert.ok(Date.parse(dead?.stops_at ?? '') > Date.now(), 'with the moment from which it decides nothing');
    assert.ok(alive?.absent === false && alive.refused_at !== null && alive.stops_at === null);
    assert.ok(last.untested.includes(CUSTOMERS) && !last.untested.includes(STORAGE));
    assert.ok(last.latency_milliseconds !== null, 'of those who were there');
  }
  assert.doesNotMatch(await (await fetch(`${broker.url}/readyz`)).text(), /missed/);
});

test('one that falls silent while it is asked is stopped by its lease, which is no miss', async () => {
  const [dying, ending] = [
    await rows.add({ leaseSeconds: 300, resource: BILLING }),
    await rows.add({ leaseSeconds: 2, resource: BILLING }),
  ] as const;
  for (const instance of [dying, ending]) {
    const stop = await rows.goesOnRenewing(instance);
    until(isAsked(instance), 'it is asked').then(stop, stop);
  }
  const { last, of } = await run();
  assert.deepEqual([last.result, last.because], ['passed', null]);
  assert.deepEqual([of(dying).absent, of(dying).stopped_at], [false, null]);
  assert.ok(Date.parse(of(dying).stops_at ?? '') > Date.now());
  assert.ok(Date.parse(of(ending).stopped_at ?? '') <= Date.now());
  assert.ok(last.untested.includes(BILLING), 'nobody has shown anything there');
  const left = await rows.add({ leaseSeconds: 300, resource: BILLING, closed: true });
  assert.equal((await run()).of(left), undefined, 'who left is not asked');
});

test('one that was absent, comes back and takes its canary has to refuse it like everybody', async () => {
  const instance = await rows.add({ leaseSeconds: 300, resource: BILLING });
  await rows.isGone(instance);
  // Keeps the drill waiting.
  renewing.push(await rows.goesOnRenewing(await rows.add({ leaseSeconds: 300, resource: BILLING })));
  const running = run();
  await until(isAsked(instance), 'the drill has begun');
  renewing.push(await rows.goesOnRenewing(instance));
  await world.query('update drill_verifiers set accepted_at = now() where instance = $1', [instance]);
  const { last, of } = await running;
  assert.deepEqual([last.result, last.because], ['failed', '1 verifier did not refuse the canary']);
  assert.deepEqual([of(instance).absent, of(instance).stops_at], [true, null], 'it goes on renewing');
});
