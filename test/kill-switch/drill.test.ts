/** The self-test of the kill switch (L26), with verifiers as resource servers embed them, at two brokers. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createVerifier, type Verifier, type VerifierOptions } from '../../src/verifier/index.ts';
import { until } from '../broker-process.ts';
import { callOf } from '../openapi/stage.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';
import { createVerifierRows } from './verifier-rows.ts';

const world = await createTestWorld();
const [broker, other] = [await world.startBroker(), await world.startBroker()];
const olivia = world.operator(broker, 'olivia');
const omar = world.operator(other, 'omar');
const verifiers: Verifier[] = [];
after(() => Promise.all(verifiers.map((verifier) => verifier.close())));

const CUSTOMERS = 'https://customers.example.com';
const BILLING = 'https://billing.example.com';
const RUN = 'mayfly:run:drills';
const READ = 'mayfly:read:kill-switch';
const PATH = '/v1/kill-switch/drill';

async function startVerifier(resource: string, file: string, url: string): Promise<Verifier> {
  const key = world.scopes.keys.get(file) as VerifierOptions['key'];
  const verifier = createVerifier({
    issuer: TEST_ISSUER,
    brokers: [url],
    resource,
    key,
    timeoutMilliseconds: 10_000,
    renewMilliseconds: 100,
  });
  verifiers.push(verifier);
  await verifier.ready();
  return verifier;
}

const run = async () => {
  await until(async () => (await world.query<{ old: boolean }>(OLD_ENOUGH))[0]?.old !== false, 'a pause');
  return olivia.post(PATH, RUN, {});
};
const OLD_ENOUGH = `select max(started_at) < clock_timestamp() - interval '1 second' as old from drills`;

test('without any verifier a drill shows that the database obeys', async () => {
  const { status, body } = await run();
  assert.equal(status, 200);
  assert.deepEqual([body.last.result, body.last.started_by, body.last.verifiers], ['passed', 'olivia', []]);
  assert.deepEqual([body.every_seconds, body.missed], [0, false]);
});

test('a canary is accepted and then refused by every verifier, whichever broker it asks', async () => {
  await startVerifier('https://customers.example.com', 'customers', broker.url);
  await startVerifier('https://customers.example.com', 'customers', other.url);
  await startVerifier('https://storage.example.com', 'storage', other.url);
  const { status, body } = await run();
  assert.equal(status, 200, JSON.stringify(body));
  assert.deepEqual([body.last.result, body.last.because], ['passed', null]);
  assert.equal(body.last.verifiers.length, 3);
  for (const { accepted_at: accepted, refused_at: refused } of body.last.verifiers) {
    assert.ok(accepted !== null && accepted < refused);
  }
  assert.ok(body.last.latency_milliseconds >= 0);
  const read = await omar.get(PATH, READ);
  assert.equal(read.body.last.id, body.last.id);
  const metrics = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
  assert.match(metrics, /^mayfly_drill_age_seconds \d/m);
  assert.match(metrics, /^mayfly_drill_latency_seconds \d/m);
  assert.match(metrics, /^mayfly_drill_missed 0$/m);
});

test('a canary is nobody, and its token is kept nowhere', async () => {
  const [row] = await world.query<{ client: string; jkt: string }>(
    `select s.client_id as client, s.jkt from sessions s join drills d on d.session_id = s.id limit 1`,
  );
  assert.equal(row?.client, 'mayfly:canary');
  const stored = JSON.stringify(await world.query('select * from canaries'));
  assert.doesNotMatch(stored, /eyJ/);
  const entries = await world.query(`select kind, standing from revocations where actor = 'mayfly:drill'`);
  assert.ok(entries.length > 0);
  for (const entry of entries) assert.deepEqual(entry, { kind: 'session', standing: false });
});

test('two who ask at once get one drill', async () => {
  await run();
  await until(async () => (await world.query<{ old: boolean }>(OLD_ENOUGH))[0]?.old === true, 'a pause');
  const before = await world.query('select id from drills');
  const both = await Promise.all([olivia.post(PATH, RUN, {}), omar.post(PATH, RUN, {})]);
  assert.deepEqual([...new Set(both.map(({ body }) => body.last.id))].length, 1);
  assert.equal((await world.query('select id from drills')).length, before.length + 1);
});

test('a verifier that renews its lease and says nothing fails the drill, and is named', async () => {
  const rows = createVerifierRows(world);
  const silent = await rows.add({ leaseSeconds: 300 });
  const stopRenewing = await rows.goesOnRenewing(silent);
  const watching = await world.startBroker({ settings: { MAYFLY_DRILL_SECONDS: '3600' } });
  const { body } = await run();
  assert.deepEqual([body.last.result, body.missed], ['failed', false], 'here they are not on schedule');
  assert.match(body.last.because, /^1 verifier did not accept/);
  const told = body.last.verifiers.find(({ instance }: { instance: string }) => instance === silent);
  const { instance: _, resource, ...rest } = told;
  const nothing = { accepted_at: null, refused_at: null, stops_at: null, stopped_at: null };
  assert.deepEqual([resource, rest], [CUSTOMERS, { absent: false, ...nothing }]);
  assert.ok(!body.last.untested.includes(CUSTOMERS));
  assert.equal(
    body.last.verifiers.filter((each: { refused_at: string | null }) => each.refused_at !== null).length,
    3,
  );
  const [row] = await world.query<{ missed: string[] }>('select missed from drills where id = $1', [
    body.last.id,
  ]);
  assert.deepEqual(row?.missed, [CUSTOMERS], 'the others are none of its business');
  await until(async () => /missed/.test(await (await fetch(`${watching.url}/readyz`)).text()), 'it shows');
  const ready = await fetch(`${watching.url}/readyz`);
  assert.equal(ready.status, 200, 'a missed drill is no reason to send nobody here');
  stopRenewing();
  await rows.isGone(silent);
  assert.equal((await run()).body.last.result, 'passed');
  await until(async () => !/missed/.test(await (await fetch(`${watching.url}/readyz`)).text()), 'it is over');
});

test('three misses in a row stop what is HIGH at the resource that was missed, until the next good one', async () => {
  const settings = { MAYFLY_DRILL_SECONDS: '3600', MAYFLY_MISSED_DRILL_STOPS_HIGH: 'true' };
  const strict = await world.startBroker({ settings });
  const billing = world.agent(strict, 'billing-runner');
  const hold = () => billing.token(newSessionKey(), callOf('billing:hold:payments', `${BILLING}/holds`));
  let ended = 0;
  const end = async (result: string, missed: string[] | null) => {
    ended += 1;
    await world.query(
      `insert into drills (id, started_by, finished_at, result, missed)
       values ($1, 'a test', clock_timestamp(), $2, $3)`,
      [`drl_${ended}`, result, missed],
    );
  };
  const doubtful = async () => (await world.operator(strict, 'olivia').get(PATH, READ)).body.doubtful;
  await end('passed', []);
  await end('failed', [BILLING]);
  await end('failed', [BILLING, CUSTOMERS]);
  assert.deepEqual(await doubtful(), { all: false, resources: [] });
  assert.equal((await hold()).status, 200, 'two are not enough');
  await end('held', []);
  await end('failed', [CUSTOMERS]);
  assert.deepEqual(await doubtful(), { all: false, resources: [] });
  assert.equal((await hold()).status, 200, 'another resource');
  for (const missed of [[BILLING], null, [BILLING]]) await end('failed', missed);
  assert.deepEqual(await doubtful(), { all: false, resources: [BILLING] });
  const refused = await hold();
  assert.deepEqual([refused.status, refused.body.error], [503, 'temporarily_unavailable']);
  assert.equal((await billing.token(newSessionKey(), { scope: 'billing:read:invoices' })).status, 200);
  assert.ok(await world.operator(strict, 'olivia').token('mayfly:engage:kill-switch'), 'operators go on');
  for (let n = 0; n < 3; n += 1) await end('failed', null);
  assert.deepEqual(await doubtful(), { all: true, resources: [] });
  assert.equal((await hold()).status, 503);
  assert.equal((await run()).body.last.result, 'passed', 'the canary is exempt from the stop');
  assert.deepEqual(await doubtful(), { all: false, resources: [] });
  assert.equal((await hold()).status, 200);
});

test('while something is stopped a drill is held, not failed', async () => {
  const { body: killed } = await olivia.post('/v1/kill-switch', 'mayfly:engage:kill-switch', {
    target: { kind: 'all' },
    reason: 'a test',
  });
  const { body } = await run();
  assert.deepEqual([body.last.result, body.missed], ['held', false]);
  await omar.post(`/v1/kill-switch/${killed.id}/release`, 'mayfly:release:kill-switch', { reason: 'a test' });
});

test('who does not refuse a canary fails the drill, whatever else is stopped', async () => {
  const { body: killed } = await olivia.post('/v1/kill-switch', 'mayfly:engage:kill-switch', {
    target: { kind: 'zone', id: 'support' },
    reason: 'a test',
  });
  const rows = createVerifierRows(world);
  const disobedient = await rows.add({ leaseSeconds: 300 });
  const stopRenewing = await rows.goesOnRenewing(disobedient);
  const running = run();
  await until(
    async () =>
      (
        await world.query(
          `update drill_verifiers set accepted_at = clock_timestamp()
            where instance = '${disobedient}' and accepted_at is null returning instance`,
        )
      ).length === 1,
    'it says that it accepts',
  );
  const { body } = await running;
  assert.equal(body.last.result, 'failed');
  assert.match(body.last.because, /^1 verifier did not refuse/);
  stopRenewing();
  await rows.isGone(disobedient);
  await omar.post(`/v1/kill-switch/${killed.id}/release`, 'mayfly:release:kill-switch', { reason: 'a test' });
});

test('what is on schedule runs by itself, at one broker', async () => {
  const before = await world.query('select id from drills');
  const settings = { MAYFLY_DRILL_SECONDS: '1' };
  const scheduled = [await world.startBroker({ settings }), await world.startBroker({ settings })];
  await until(
    async () => (await world.query('select id from drills')).length >= before.length + 2,
    'two drills',
  );
  await Promise.all(scheduled.map((each) => each.stop()));
  const times = await world.query<{ apart: number }>(
    `select extract(epoch from d.started_at - lag(d.finished_at) over (order by d.started_at))::float8 as apart
       from drills d where d.started_by = 'schedule'`,
  );
  for (const { apart } of times.slice(1)) assert.ok(apart > 0, 'never two at once');
});
