import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decodeJwt } from 'jose';
import { createRevocationStore } from '../../src/revocations/revocation-store.ts';
import { systemClock } from '../../src/time/clock.ts';
import { type BrokerProcess, freePort, startBrokerProcess } from '../broker-process.ts';
import { soakFactor } from '../soak.ts';
import { newSessionKey, type TestAgent } from '../test-agent.ts';
import { createTestWorld, type TestWorld } from '../test-broker.ts';

/* Two broker processes behind one issuer, on one Postgres: what one of them has seen, the other one knows. */

let world: TestWorld;
const processes: BrokerProcess[] = [];
const urls: string[] = [];

before(async () => {
  world = await createTestWorld();
  for (let count = 0; count < 2; count += 1) {
    const settings = {
      ...world.environment(),
      MAYFLY_PORT: String(await freePort()),
      MAYFLY_DPOP_NONCE: 'optional',
      MAYFLY_LOG_LEVEL: 'warn',
    };
    const broker = startBrokerProcess({ settings });
    processes.push(broker);
    urls.push(await broker.url);
  }
});

after(async () => {
  for (const broker of processes) broker.child.kill('SIGTERM');
  await Promise.all(processes.map((broker) => broker.exited));
});

function agentsOfBoth(name: string): TestAgent[] {
  return urls.map((url) => world.agent({ url }, name));
}

/** Sends the same thing many times at once, to both brokers in turn. */
function inParallel<Result>(
  times: number,
  agents: readonly TestAgent[],
  send: (agent: TestAgent) => Promise<Result>,
) {
  return Promise.all(
    Array.from({ length: times }, (_, index) => {
      const agent = agents[index % agents.length];
      if (agent === undefined) throw new Error('no agent');
      return send(agent);
    }),
  );
}

test('one proof a hundred times at once mints one token', async () => {
  const agents = agentsOfBoth('report-writer');
  for (let round = 0; round < 3 * soakFactor(); round += 1) {
    const session = newSessionKey();
    const proof = agents[0]?.proof(session) ?? '';
    const answers = await inParallel(100, agents, (agent) => agent.request(session, {}, proof));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    for (const { status, body } of answers) {
      if (status !== 200) assert.deepEqual([status, body.error], [400, 'invalid_dpop_proof']);
    }
  }
});

test('one assertion a hundred times at once mints one token', async () => {
  const agents = agentsOfBoth('report-writer');
  for (let round = 0; round < 3 * soakFactor(); round += 1) {
    const session = newSessionKey();
    const assertion = agents[0]?.assertion() ?? '';
    const answers = await inParallel(100, agents, (agent) =>
      agent.request(session, { client_assertion: assertion }),
    );
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    for (const { status, body } of answers) {
      if (status !== 200) assert.deepEqual([status, body.error], [401, 'invalid_client']);
    }
  }
});

test('one assertion with a hundred keys at once mints one token and opens one session', async () => {
  const agents = agentsOfBoth('report-writer');
  const assertion = agents[0]?.assertion() ?? '';
  const answers = await inParallel(100, agents, (agent) =>
    agent.request(newSessionKey(), { client_assertion: assertion }),
  );
  assert.equal(answers.filter(({ status }) => status === 200).length, 1);
  const [opened] = await world.query<{ count: string }>(
    `select count(*) from sessions where opened_at > now() - interval '1 hour' and id not in (select session_id from tokens)`,
  );
  assert.equal(opened?.count, '0', 'no session without a token');
});

test('one new session key in fifty requests at once is one session', async () => {
  const agents = agentsOfBoth('support-assistant');
  const session = newSessionKey();
  const answers = await inParallel(50, agents, (agent) =>
    agent.request(session, { scope: 'db:read:customers' }),
  );
  assert.deepEqual(
    [...new Set(answers.map(({ status }) => status))],
    [200],
    JSON.stringify(answers[0]?.body),
  );
  assert.equal(new Set(answers.map(({ body }) => body.session_id)).size, 1);
});

test('a revocation against mints: whatever carries an older epoch is dead, nothing of the session comes after', async () => {
  const agents = agentsOfBoth('report-writer');
  const customers = urls.map((url) => world.resourceServer({ url }, 'https://customers.example.com'));
  const revocations = createRevocationStore(world.owner, systemClock);
  for (let round = 0; round < 3 * soakFactor(); round += 1) {
    const session = newSessionKey();
    const opened = await agents[0]?.request(session);
    const sessionId: string = opened?.body.session_id;
    const minting = inParallel(60, agents, (agent) => agent.request(session));
    const { epoch } = await revocations.append({
      target: { kind: 'session', id: sessionId },
      standing: false,
      reason: 'race',
      actor: 'test',
      requestId: undefined,
    });
    const answers = await minting;
    const late = await inParallel(4, agents, (agent) => agent.request(session));
    for (const { body } of late)
      assert.deepEqual([body.error, body.code], ['invalid_grant', 'session_ended']);
    for (const { status, body } of answers) {
      if (status !== 200) continue;
      const claims = decodeJwt(body.access_token);
      assert.ok((claims.epoch as number) < epoch, 'minted in the snapshot before the revocation');
      for (const customer of customers) {
        const seen = await customer.post(
          '/oauth/introspect',
          customer.authenticated({ token: body.access_token }),
        );
        assert.deepEqual(seen.body, { active: false });
      }
    }
  }
});

test('a proof that one broker has seen is a replay at the other one', async () => {
  const [one, two] = agentsOfBoth('report-writer');
  const session = newSessionKey();
  const proof = one?.proof(session) ?? '';
  assert.equal((await one?.request(session, {}, proof))?.status, 200);
  assert.equal((await two?.request(session, {}, proof))?.body.error, 'invalid_dpop_proof');
});

test('a nonce of one broker is good at the other', async () => {
  const [one, two] = agentsOfBoth('report-writer');
  const session = newSessionKey();
  await one?.request(session);
  const nonce = one?.nonce();
  assert.ok(nonce);
  const answer = await two?.request(
    session,
    {},
    two.proof(session, { claims: { nonce, iat: 1_000_000_000 } }),
  );
  assert.equal(answer?.status, 200, 'the nonce tells the time, not the clock of the client');
});
