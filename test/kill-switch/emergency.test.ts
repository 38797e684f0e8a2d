/** The kill switch when everything else is in the way: connections, floods, a standby, a database that forgot. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import pg from 'pg';
import { standby } from '../own-cluster.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';

const world = await createTestWorld();
const broker = await world.startBroker();
const olivia = world.operator(broker, 'olivia');
const omar = world.operator(broker, 'omar');
const agent = world.agent(broker, 'report-writer');
const PATH = '/v1/kill-switch';
const TARGET = { kind: 'zone', id: 'analytics' };

const engage = (more: object = {}) =>
  olivia.post(PATH, 'mayfly:engage:kill-switch', {
    target: TARGET,
    reason: 'an emergency',
    wait_seconds: 0,
    ...more,
  });
const release = (id: string) =>
  omar.post(`${PATH}/${id}/release`, 'mayfly:release:kill-switch', { reason: 'it is over' });

/** Every connection that the database still has for ordinary people. */
async function takeAllConnections(): Promise<{ taken: number; giveBack(): Promise<void> }> {
  const clients: pg.Client[] = [];
  for (;;) {
    const client = new pg.Client({ connectionString: world.database.applicationUrl, ssl: false });
    client.on('error', () => {});
    try {
      await client.connect();
      clients.push(client);
    } catch (error) {
      assert.equal((error as { code?: string }).code, '53300', String(error));
      return {
        taken: clients.length,
        async giveBack() {
          await Promise.all(clients.map((each) => each.end()));
        },
      };
    }
  }
}

/** Agents that ask as fast as they are answered. */
function flood(parallel: number): { stop(): Promise<void>; asked(): number } {
  let stopped = false;
  let asked = 0;
  const server = world.resourceServer(broker, 'https://customers.example.com');
  async function ask(): Promise<void> {
    while (!stopped) {
      asked += 1;
      await agent.request(newSessionKey('ed25519')).catch(() => {});
      await server.post('/oauth/introspect', server.authenticated({ token: 'a' })).catch(() => {});
    }
  }
  const all = Array.from({ length: parallel }, ask);
  return {
    asked: () => asked,
    async stop() {
      stopped = true;
      await Promise.all(all);
    },
  };
}

test('KIL-12, FLT-06: a kill is answered while every other connection is taken and agents flood the broker', async () => {
  const { body: before } = await agent.token(newSessionKey());
  const others = await takeAllConnections();
  assert.ok(others.taken > 10);
  const flooding = flood(100);
  try {
    while (flooding.asked() < 300) await new Promise((resolve) => setImmediate(resolve));
    const token = await olivia.token('mayfly:engage:kill-switch');
    const startedAt = performance.now();
    const proof = olivia.proof({ method: 'POST', path: PATH, token });
    const body = { target: TARGET, reason: 'a flood', wait_seconds: 0 };
    const killed = await olivia.send({ method: 'POST', path: PATH, body, token, proof });
    const taken = performance.now() - startedAt;
    assert.equal(killed.status, 200, killed.text);
    assert.ok(taken < 10_000, `${taken} ms`);
    await flooding.stop();
    assert.equal((await olivia.get(`${PATH}/${killed.body.id}`, 'mayfly:read:kill-switch')).status, 200);
    assert.equal((await agent.token(newSessionKey())).body.code, 'agent_stopped');
    assert.equal((await release(killed.body.id)).status, 200);
  } finally {
    await flooding.stop();
    await others.giveBack();
  }
  const server = world.resourceServer(broker, 'https://customers.example.com');
  const { body } = await server.post(
    '/oauth/introspect',
    server.authenticated({ token: before.access_token }),
  );
  assert.equal(body.active, false, 'what was alive before the kill stays dead after the release');
});

test('a synchronous standby that never answers makes it 202, in bounded time, and the kill stands', async (t) => {
  t.after(() => standby(''));
  await standby('nobody');
  const startedAt = performance.now();
  const killed = await engage();
  const taken = performance.now() - startedAt;
  assert.equal(killed.status, 202, killed.text);
  assert.deepEqual([killed.body.replicated, killed.body.complete], [false, false]);
  assert.ok(taken < 5_000, `${taken} ms`);
  const again = await engage();
  assert.deepEqual([again.status, again.body.id, again.body.replicated], [202, killed.body.id, false]);
  await standby('');
  assert.equal((await agent.token(newSessionKey())).body.code, 'agent_stopped');

  const read = await olivia.get(`${PATH}/${killed.body.id}`, 'mayfly:read:kill-switch');
  assert.deepEqual([read.body.replicated, read.body.complete], [true, true], 'a later commit was confirmed');
  assert.equal((await release(killed.body.id)).status, 200);
});

test('however many read receipts while the standby is silent, nobody waits who kills', async (t) => {
  t.after(() => standby(''));
  await standby('nobody');
  const first = await engage();
  assert.deepEqual([first.status, first.body.replicated], [202, false]);
  const path = `${PATH}/${first.body.id}`;
  const token = await olivia.token('mayfly:read:kill-switch');
  const reading = Array.from({ length: 120 }, () =>
    olivia.send({ method: 'GET', path, token, proof: olivia.proof({ method: 'GET', path, token }) }),
  );
  const second = await engage({ target: { kind: 'zone', id: 'support' } });
  assert.equal(second.status, 202, second.text);
  for (const { status } of await Promise.all(reading)) assert.equal(status, 200);
  await standby('');
  for (const { body } of [first, second]) assert.equal((await release(body.id)).status, 200);
});

test('what operators revoke otherwise is answered in bounded time, too, and holds up nobody', async (t) => {
  const { body: minted } = await agent.token(newSessionKey());
  t.after(() => standby(''));
  await standby('nobody');
  const path = `/v1/sessions/${minted.session_id}/revoke`;
  const ended = await olivia.post(path, 'mayfly:revoke:sessions', { reason: 'an emergency' });
  assert.deepEqual(
    [ended.status, ended.body.replicated, ended.body.effect],
    [202, false, 'revoked'],
    ended.text,
  );
  await standby('');
  const again = await olivia.post(path, 'mayfly:revoke:sessions', { reason: 'an emergency' });
  assert.deepEqual([again.status, again.body.replicated, again.body.effect], [200, true, 'none']);
});

test('mints that hang on the standby do not hold up a kill', async (t) => {
  t.after(() => standby(''));
  await standby('nobody');
  const hanging = Array.from({ length: 20 }, () => agent.token(newSessionKey()).catch(() => {}));
  await new Promise((resolve) => setImmediate(resolve));
  const startedAt = performance.now();
  const killed = await engage();
  assert.equal(killed.status, 202, killed.text);
  assert.ok(performance.now() - startedAt < 5_000);
  await standby('');
  await Promise.all(hanging);
  assert.equal((await release(killed.body.id)).status, 200);
});

test('after the head was moved no kill is complete until a longest lease later', async () => {
  const owner = new pg.Client({ connectionString: world.database.ownerUrl, ssl: false });
  await owner.connect();
  after(() => owner.end());
  const { rows } = await owner.query(
    `select epoch, generation from move_revocation_head(0, 'rev_moved', 'a failover', 'test', 'aud_moved')`,
  );
  const killed = await engage({ wait_seconds: 1 });
  assert.equal(killed.status, 202, killed.text);
  assert.ok(killed.body.epoch > Number(rows[0].epoch));
  assert.deepEqual([killed.body.complete, killed.body.replicated, killed.body.verifiers], [false, true, []]);
  const left = Date.parse(killed.body.unlisted_stop_at) - Date.parse(killed.body.committed_at);
  assert.ok(left > 290_000 && left < 305_000, `${left} ms: the longest lease`);
  assert.equal((await release(killed.body.id)).status, 202, 'a release no more than a kill');
});
