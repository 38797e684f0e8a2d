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
  test(`a broker whose clock is ${minutes} minutes off serves no verifier, and those who have another one go on`, async () => {
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
