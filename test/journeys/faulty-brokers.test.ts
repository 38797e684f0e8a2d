/* Brokers that stand still in the middle of their work, and brokers that have the wrong time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import { until } from '../broker-process.ts';
import { soakFactor } from '../soak.ts';
import { newSessionKey } from '../test-agent.ts';
import { CUSTOMERS, createFleet, type Minted, READ_CUSTOMERS } from './fleet.ts';

const fleet = await createFleet({ verifiers: [{ resource: CUSTOMERS }, { resource: CUSTOMERS }] });
const [first] = fleet.brokers;
const [olivia, omar] = [fleet.operator('olivia', 1), fleet.operator('omar', 1)];
/** After the first request: when the broker is stopped. */
const MOMENTS_MILLISECONDS = soakFactor() === 1 ? [0, 20, 60] : [0, 3, 10, 20, 30, 60, 100, 300];

async function killAgent() {
  const target = { kind: 'agent', id: 'report-writer' };
  const order = { target, reason: 'a journey', wait_seconds: 25 };
  const killed = await olivia.post('/v1/kill-switch', 'mayfly:engage:kill-switch', order);
  assert.equal(killed.status, 200, killed.text);
  return killed.body;
}

async function release(id: string): Promise<void> {
  const path = `/v1/kill-switch/${id}/release`;
  const { status, text } = await omar.post(path, 'mayfly:release:kill-switch', { reason: 'a journey' });
  assert.ok(status < 300, text);
}

async function passesEverywhere(): Promise<void> {
  const minted = await fleet.mint({ at: 1 });
  await until(async () => (await fleet.everywhere(minted)).every((each) => each === 'granted'), 'it works');
}

test('a broker that stood still while a kill went through mints nothing that lives when it goes on', async () => {
  let raced = 0;
  for (const milliseconds of MOMENTS_MILLISECONDS) {
    await passesEverywhere();
    const agent = fleet.world.agent({ url: fleet.urls[0] ?? '' }, 'report-writer');
    const sessions = Array.from({ length: 20 }, () => newSessionKey());
    const asking = sessions.map((session) => agent.token(session, { scope: READ_CUSTOMERS.action }));
    const from = performance.now();
    await until(() => performance.now() - from >= milliseconds, 'in the middle of its work');
    first?.child.kill('SIGSTOP');
    const killed = await killAgent();
    first?.child.kill('SIGCONT');
    const answers = await Promise.all(asking);
    const minted = answers.flatMap(({ status, body }, index): Minted[] => {
      const session = sessions[index];
      if (status !== 200 || session === undefined) return [];
      return [{ session, token: body.access_token, use: READ_CUSTOMERS }];
    });
    await release(killed.id);
    raced += minted.length;
    for (const each of minted) {
      assert.ok(Number(decodeJwt(each.token).epoch) < killed.epoch);
      assert.deepEqual([...new Set(await fleet.everywhere(each))], ['token_revoked']);
    }
    for (const { status, body } of answers) {
      assert.ok(status === 200 || body.code === 'agent_stopped', JSON.stringify(body));
    }
  }
  assert.ok(raced > 0, 'some of them were in the middle of it');
});

test('verifiers go on with the other broker while theirs stands still, and hear what is revoked there', async () => {
  const minted = await fleet.mint({ at: 1 });
  first?.child.kill('SIGSTOP');
  await killAgent().then(({ id }) => release(id));
  assert.deepEqual([...new Set(await fleet.everywhere(minted))], ['token_revoked']);
  first?.child.kill('SIGCONT');
  await passesEverywhere();
});

/** Of the process: its `Date` is so far off, and with it whatever asks for the time of day. */
function clockOff(milliseconds: number): Readonly<Record<string, string>> {
  const program = `const now = Date.now; Date.now = () => now() + ${milliseconds};`;
  return { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(program)}` };
}

for (const minutes of [10, -10]) {
  test(`FLT-18: a broker whose clock is ${minutes} minutes off serves no verifier, and those who have another one go on`, async () => {
    const wrong = await fleet.startBroker(clockOff(minutes * 60_000));
    const url = await wrong.url;
    const misled = fleet.startVerifiers({ resource: CUSTOMERS, brokers: [url] });
    const lucky = fleet.startVerifiers({ resource: CUSTOMERS, brokers: [url, ...fleet.urls] });
    await assert.rejects(misled.ready());
    await lucky.ready();
    const minted = await fleet.mint({ at: 1 });
    assert.deepEqual(await fleet.everywhere(minted, [misled]), ['lease_missing']);
    assert.deepEqual(await fleet.everywhere(minted, [lucky]), ['granted']);
    await misled.close();
    await killAgent().then(({ id }) => release(id));
    assert.deepEqual([...new Set(await fleet.everywhere(minted))], ['token_revoked']);
    await lucky.close();
    wrong.child.kill('SIGTERM');
    await wrong.exited;
    await passesEverywhere();
  });
}

for (const minutes of [10, -10]) {
  test(`FLT-18: a verifier whose clock is ${minutes} minutes off serves nothing, from its start or from when it is set`, async () => {
    const milliseconds = minutes * 60_000;
    const wrong = fleet.startVerifiers({
      resource: CUSTOMERS,
      brokers: fleet.urls,
      environment: clockOff(milliseconds),
    });
    await assert.rejects(wrong.ready());
    const right = fleet.startVerifiers({ resource: CUSTOMERS, brokers: fleet.urls });
    await right.ready();
    const minted = await fleet.mint({ at: 1 });
    assert.notDeepEqual(await fleet.everywhere(minted, [wrong]), ['granted']);
    assert.ok(Object.values((await wrong.status())[0]?.serving ?? {}).every((each) => each !== 'granted'));
    assert.deepEqual(await fleet.everywhere(minted, [right]), ['granted']);
    const high = async () => (await right.status())[0]?.serving.HIGH;

    await right.setClock(milliseconds);
    await until(async () => (await high()) !== 'granted', 'its lease is not renewed');
    assert.notDeepEqual(await fleet.everywhere(await fleet.mint({ at: 1 }), [right]), ['granted']);
    await right.setClock(-milliseconds);
    await until(async () => (await high()) === 'granted', 'it is renewed when the clock is right', 60_000);
    assert.deepEqual(await fleet.everywhere(await fleet.mint({ at: 1 }), [right]), ['granted']);
    await Promise.all([wrong.close(), right.close()]);
  });
}

/** Its event loop stands still so long each time that it gets the signal, as under a loop that does not end. */
function blockedFor(milliseconds: number): Readonly<Record<string, string>> {
  const program = `process.on('SIGUSR2', () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${milliseconds});
  });`;
  return { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(program)}` };
}

const isAlive = (url: string) =>
  fetch(`${url}/livez`, { signal: AbortSignal.timeout(500) }).then(
    ({ ok }) => ok,
    () => false,
  );

for (const seconds of soakFactor() === 1 ? [5] : [1, 5, 30]) {
  test(`FLT-16: an event loop that is blocked for ${seconds} s: health fails, leases end, and nothing is done twice`, async () => {
    const blocked = await fleet.startBroker(blockedFor(seconds * 1_000));
    const url = await blocked.url;
    const lonely = fleet.startVerifiers({ resource: CUSTOMERS, brokers: [url] });
    await lonely.ready();
    const before = await fleet.mint({ at: 1 });
    assert.deepEqual(await fleet.everywhere(before, [lonely]), ['granted']);

    const agent = fleet.world.agent({ url }, 'report-writer');
    const sessions = Array.from({ length: 10 }, () => newSessionKey());
    blocked.child.kill('SIGUSR2');
    await until(async () => !(await isAlive(url)), 'health checks fail');
    const asking = sessions.map((session) => agent.token(session, { scope: READ_CUSTOMERS.action }));
    const killed = await olivia.post('/v1/kill-switch', 'mayfly:engage:kill-switch', {
      target: { kind: 'agent', id: 'report-writer' },
      reason: 'a journey',
      wait_seconds: 0,
    });
    assert.ok(killed.status < 300, killed.text);
    if (seconds > 3) {
      await until(async () => (await lonely.status())[0]?.serving.HIGH === 'lease_expired', 'its lease ends');
    }
    await release(killed.body.id);
    const answers = await Promise.all(asking);
    const minted = answers.filter(({ status }) => status === 200);
    for (const { status, body } of answers) {
      // Its own waits may be over when it wakes: then it says that it does not know.
      assert.ok([200, 503].includes(status) || body.code === 'agent_stopped', JSON.stringify(body));
    }
    const [row] = await fleet.world.query<{ n: number }>(
      'select count(*)::integer as n from tokens t where t.session_id = any ($1)',
      [minted.map(({ body }) => body.session_id)],
    );
    assert.equal(row?.n, minted.length, 'each was minted once');
    await until(async () => (await lonely.status())[0]?.serving.HIGH === 'granted', 'leases again', 60_000);
    assert.deepEqual(await fleet.everywhere(before, [lonely]), ['token_revoked'], 'with what it missed');
    const mayMint = () => agent.token(newSessionKey(), { scope: READ_CUSTOMERS.action });
    await until(async () => (await mayMint()).status === 200, 'it mints again by itself');
    await lonely.close();
    blocked.child.kill('SIGTERM');
    await blocked.exited;
  });
}
