/** KIL: the kill switch under attack, by mistake, and when what carries its news is lost. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import pg from 'pg';
import { createVerifier, type VerifierOptions } from '../../src/verifier/index.ts';
import { until } from '../broker-process.ts';
import { soakFactor } from '../soak.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';

const world = await createTestWorld();
const broker = await world.startBroker();
const other = await world.startBroker();
const olivia = world.operator(broker, 'olivia');
const omar = world.operator(other, 'omar');
const CUSTOMERS = 'https://customers.example.com';
const PATH = '/v1/kill-switch';
const ENGAGE = 'mayfly:engage:kill-switch';
const ANALYTICS = { kind: 'zone', id: 'analytics' };

const order = (target: unknown = ANALYTICS) => ({ target, reason: 'an attack', wait_seconds: 0 });
const engage = (body: unknown = order()) => olivia.post(PATH, ENGAGE, body);
const release = (id: string) =>
  omar.post(`${PATH}/${id}/release`, 'mayfly:release:kill-switch', { reason: 'it is over' });
const headOf = async () =>
  Number((await world.query<{ epoch: string }>('select epoch from revocation_head'))[0]?.epoch);

describe('KIL-02: a scope of a kill that is missing, empty or misspelt', () => {
  const good = '"reason":"an attack","wait_seconds":0';
  for (const text of [
    '',
    'null',
    '[]',
    '{}',
    '"all"',
    `{${good}}`,
    `{"target":null,${good}}`,
    `{"target":"",${good}}`,
    `{"target":[],${good}}`,
    `{"target":{},${good}}`,
    `{"target":{"kind":"all"},"target":{"kind":"zone","id":"support"},${good}}`,
    `{"target":{"kind":"zone","kind":"all"},${good}}`,
    `{"target":{"kind":"all","__proto__":{}},${good}}`,
    `{"target":{"kind":["all"]},${good}}`,
    `{"target":[{"kind":"all"}],${good}}`,
    `{"target":{"kind":"all "},${good}}`,
    `{"target":{"kind":"all\\u0000"},${good}}`,
    `{"target":{"kind":"zone","id":"analytics\\u0000"},${good}}`,
    `{"target":{"kind":"zone","id":"analytics' or 'a'='a"},${good}}`,
    `{"target":{"kind":"zone","id":"%"},${good}}`,
    `{"target":{"kind":"zone","id":"ａnalytics"},${good}}`,
    `{"target":{"kind":"agent","id":"mayfly:canary"},${good}}`,
    `{"target":{"kind":"zone","id":"mayfly"},${good}}`,
    `{"target":{"kind":"resource","id":"${TEST_ISSUER}"},${good}}`,
    `{"target":{"kind":"all"},"reason":"a\\nb","wait_seconds":0}`,
    `{"target":{"kind":"all"},"reason":"x","wait_seconds":"0"}`,
    `{"target":{"kind":"all"},"reason":"x","wait_seconds":1.5}`,
    `{"target":{"kind":"all"},"reason":"x","wait_seconds":1e9}`,
    `{"target":{"kind":"all"},"reason":"${'x'.repeat(501)}"}`,
  ]) {
    test(`is 400 and stops nothing: ${text.slice(0, 70)}`, async () => {
      const before = await headOf();
      const { status, body } = await engage(text);
      assert.deepEqual([status, body.code], [400, 'invalid_request']);
      assert.equal(await headOf(), before);
    });
  }
});

test('KIL-04, KIL-06: killed twice, killed wider, released one by one: nothing of before comes back', async () => {
  const agent = world.agent(broker, 'report-writer');
  const server = world.resourceServer(broker, CUSTOMERS);
  const isActive = async (token: string) =>
    (await server.post('/oauth/introspect', server.authenticated({ token }))).body.active;
  const { body: minted } = await agent.token(newSessionKey());
  const [narrow, twice, wide] = [await engage(), await engage(), await engage(order({ kind: 'all' }))];
  assert.deepEqual([twice.body.id, twice.body.effect], [narrow.body.id, 'none']);
  await release(wide.body.id);
  assert.equal(
    (await agent.token(newSessionKey())).body.code,
    'agent_stopped',
    'the narrow one still stands',
  );
  await release(narrow.body.id);
  assert.equal(await isActive(minted.access_token), false);
  assert.equal((await agent.token(newSessionKey())).status, 200);
});

test('KIL-08: of mints that race a kill at two brokers none is minted after it, and none is accepted', async () => {
  const agents = [broker, other].map((each) => world.agent(each, 'report-writer'));
  const tokens: string[] = [];
  let isOver = false;
  let refused = 0;
  const minting = Array.from({ length: 16 }, async (_, n) => {
    for (let after = 0; after < 3; after += isOver ? 1 : 0) {
      const answer = await agents[n % 2]?.token(newSessionKey('ed25519'));
      if (answer?.body.access_token === undefined) refused += 1;
      else tokens.push(answer.body.access_token);
    }
  });
  await until(() => tokens.length > 50 * soakFactor(), 'there are mints to race');
  const killed = await engage();
  isOver = true;
  assert.equal(killed.status, 200);
  await Promise.all(minting);
  const late = await world.query(
    `select t.jti from tokens t join sessions s on s.id = t.session_id
      where s.zone = 'analytics' and t.epoch >= $1`,
    [killed.body.epoch],
  );
  assert.deepEqual(late, []);
  await release(killed.body.id);
  const server = world.resourceServer(other, CUSTOMERS);
  for (const token of tokens) {
    const { body } = await server.post('/oauth/introspect', server.authenticated({ token }));
    assert.equal(body.active, false);
  }
  assert.ok(refused >= 32, `${refused} were refused after it`);
});

test('KIL-14: whatever is notified or not, verifiers refuse; the table is the truth', async () => {
  const key = world.scopes.keys.get('customers') as VerifierOptions['key'];
  const verifier = createVerifier({
    issuer: TEST_ISSUER,
    brokers: [other.url],
    resource: CUSTOMERS,
    key,
    timeoutMilliseconds: 10_000,
  });
  after(() => verifier.close());
  await verifier.ready();
  await assert.rejects(world.query(`select pg_notify('mayfly_ledger', $1)`, ['x'.repeat(8_000)]), {
    code: '22023',
  });
  for (const payload of ['', 'x'.repeat(7_999), '{"epoch":999999999}', "'; drop table revocations; --"]) {
    await world.query(`select pg_notify('mayfly_ledger', $1) from generate_series(1, 50)`, [payload]);
  }
  assert.equal(verifier.status().epoch, await headOf(), 'a notification says nothing');

  // Whoever is not listening when it is said has to find out.
  const application = new pg.Client({ connectionString: world.database.applicationUrl, ssl: false });
  await application.connect();
  const { rowCount } = await application.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'mayfly listen' and datname = current_database()`,
  );
  await application.end();
  assert.equal(rowCount, 2);
  const { body } = await engage();
  await until(() => verifier.status().epoch >= body.epoch, 'the verifier learns of it');
  await release(body.id);
});

test('KIL-16: ten thousand kills do not get in the way of the first one of somebody else', async () => {
  let refused = 0;
  for (let asked = 0; refused === 0 && asked < 1_000; asked += 20) {
    for (const { status, headers } of await Promise.all(Array.from({ length: 20 }, () => engage()))) {
      if (status !== 429) continue;
      refused += 1;
      assert.ok(Number(headers.get('retry-after')) >= 1);
    }
  }
  assert.ok(refused > 0);
  const first = await omar.post(PATH, ENGAGE, order({ kind: 'zone', id: 'support' }));
  assert.deepEqual([first.status, first.body.effect], [200, 'engaged']);
});

test('KIL-18: a ledger without its head is not started on', async () => {
  const [head] = await world.query<Record<string, unknown>>('select * from revocation_head');
  assert.ok(head);
  await world.query('delete from revocation_head');
  try {
    await assert.rejects(world.startBroker());
  } finally {
    const columns = Object.keys(head);
    await world.query(
      `insert into revocation_head (${columns.join(', ')}) values (${columns.map((_, n) => `$${n + 1}`).join(', ')})`,
      Object.values(head),
    );
  }
});
