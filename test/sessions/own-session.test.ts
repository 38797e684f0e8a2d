/** An agent ends its own session, and nobody else's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { RATE_LIMITS } from '../../src/http/rate-bound.ts';
import { until } from '../broker-process.ts';
import { type Bend, newSessionKey, type SessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';
import type { ManagementAnswer } from '../test-operator.ts';

const world = await createTestWorld();
const broker = await world.startBroker();
const PATH = '/v1/sessions/current/revoke';

type End = {
  agent?: string;
  session?: SessionKey;
  proof?: string | null;
  bend?: Bend;
  body?: Record<string, unknown>;
  url?: string;
};

async function end({ agent = 'report-writer', session = newSessionKey(), bend = {}, ...rest }: End = {}) {
  const client = world.agent(broker, agent);
  const claims = { htu: `${TEST_ISSUER}${PATH}`, ...bend.claims };
  const { proof = client.proof(session, { ...bend, claims }), body = {}, url = broker.url } = rest;
  const response = await fetch(`${url}${PATH}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...(proof === null ? {} : { DPoP: proof }) },
    body: JSON.stringify({ ...client.authenticated({}), ...body }),
  });
  const told: ManagementAnswer['body'] = await response.json();
  return { status: response.status, body: told };
}

/** 202 where it is not said that everybody has applied it, as when many are ended at once. */
const isDone = (status: number) => status === 200 || status === 202;

async function mint(session: SessionKey, agent = 'report-writer') {
  const scope = agent === 'billing-runner' ? 'billing:read:invoices' : 'db:read:customers';
  return world.agent(broker, agent).token(session, { scope });
}

test('the session of the proof ends, every token of it is dead, and the record says who', async () => {
  const session = newSessionKey();
  const { body: minted } = await mint(session);
  const ended = await end({ session, body: { reason: 'the report is written' } });
  assert.equal(ended.status, 200, JSON.stringify(ended.body));
  assert.deepEqual(ended.body.target, { kind: 'session', id: minted.session_id });
  assert.deepEqual([ended.body.actor, ended.body.reason], ['report-writer', 'the report is written']);
  assert.equal((await mint(session)).body.code, 'session_ended');
  const server = world.resourceServer(broker, 'https://customers.example.com');
  const asked = await server.post('/oauth/introspect', server.authenticated({ token: minted.access_token }));
  assert.equal(asked.body.active, false);
  const lines = await world.query(
    `select action, session_id as session, details->>'agent' as agent, details->>'source' as source
       from audit_entries where actor = 'report-writer' and action = 'session.revoked'`,
  );
  const { sub: agent } = JSON.parse(Buffer.from(minted.access_token.split('.')[1], 'base64url').toString());
  assert.deepEqual(lines, [
    { action: 'session.revoked', session: minted.session_id, agent, source: '127.0.0.1' },
  ]);
  const again = await end({ session });
  assert.deepEqual(again.body, { ...ended.body, effect: 'none' });
});

test('a proof and an assertion are good once, at any broker', async () => {
  const other = await world.startBroker();
  const session = newSessionKey();
  await mint(session);
  const client = world.agent(broker, 'report-writer');
  const proof = client.proof(session, { claims: { htu: `${TEST_ISSUER}${PATH}` } });
  assert.equal((await end({ session, proof })).status, 200);
  const replayed = await end({ session, proof, url: other.url });
  assert.deepEqual([replayed.status, replayed.body.code], [400, 'invalid_dpop_proof']);
  const assertion = client.assertion();
  assert.equal((await end({ session, body: { client_assertion: assertion } })).status, 200);
  const twice = await end({ session, body: { client_assertion: assertion }, url: other.url });
  assert.deepEqual([twice.status, twice.body.code], [401, 'invalid_client']);
});

test('however many sessions are ended at once, one statement of the broker waits for the head, and a kill for that one', async () => {
  const sessions = Array.from({ length: 30 }, () => newSessionKey());
  for (const session of sessions) await mint(session);
  const waiting = async () =>
    (
      await world.query<{ n: number }>(
        `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      )
    )[0]?.n ?? 0;
  const holder = new pg.Client({ connectionString: world.database.ownerUrl, ssl: false });
  await holder.connect();
  await holder.query('begin; select from revocation_head for update');
  const ends = [...sessions, ...sessions.slice(0, 5)].map((session) => end({ session }));
  await until(async () => (await waiting()) > 0, 'the first waits');
  const other = world.agent(broker, 'report-writer');
  await other.token(newSessionKey()); // the broker has taken in all that was sent before
  assert.equal(await waiting(), 1);
  await holder.query('rollback');
  await holder.end();
  const answers = await Promise.all(ends);
  assert.deepEqual(
    answers.map(({ status, body }) => [isDone(status), body.effect]),
    [...sessions.map(() => [true, 'revoked']), ...Array.from({ length: 5 }, () => [true, 'none'])],
  );
  const [commits] = await world.query<{ n: number }>(
    `select count(distinct xmin::text)::int as n from revocations where id = any ($1)`,
    [answers.map(({ body }) => body.id)],
  );
  assert.ok((commits?.n ?? 0) <= 5, `${commits?.n} commits`);
});

test('of two ends with one proof, or one assertion, in one statement one is done', async () => {
  const client = world.agent(broker, 'report-writer');
  const session = newSessionKey();
  await mint(session);
  const proof = client.proof(session, { claims: { htu: `${TEST_ISSUER}${PATH}` } });
  const assertion = client.assertion();
  const holder = new pg.Client({ connectionString: world.database.ownerUrl, ssl: false });
  await holder.connect();
  await holder.query('begin; select from revocation_head for update');
  const plug = end({ session: await mintedSession() });
  const same = [
    ...Array.from({ length: 4 }, () => end({ session, proof })),
    ...Array.from({ length: 4 }, () => end({ session, body: { client_assertion: assertion } })),
  ];
  await client.token(newSessionKey());
  await holder.query('rollback');
  await holder.end();
  assert.ok(isDone((await plug).status));
  const codes = (await Promise.all(same)).map(({ status, body }) => body.code ?? isDone(status));
  assert.deepEqual(codes.slice(0, 4).toSorted(), [...Array(3).fill('invalid_dpop_proof'), true]);
  assert.deepEqual(codes.slice(4).toSorted(), [...Array(3).fill('invalid_client'), true]);
});

async function mintedSession(): Promise<SessionKey> {
  const session = newSessionKey();
  await mint(session);
  return session;
}

test('a key without a session, or one of another client, ends nothing and spends nothing', async () => {
  const session = newSessionKey();
  await mint(session, 'billing-runner');
  const foreign = await end({ session });
  assert.deepEqual([foreign.status, foreign.body.code], [404, 'not_found']);
  assert.equal((await mint(session, 'billing-runner')).status, 200);
  const client = world.agent(broker, 'report-writer');
  const fresh = newSessionKey();
  const proof = client.proof(fresh, { claims: { htu: `${TEST_ISSUER}${PATH}` } });
  const assertion = client.assertion();
  assert.equal((await end({ proof, body: { client_assertion: assertion } })).status, 404);
  await mint(fresh);
  assert.ok(isDone((await end({ proof, body: { client_assertion: assertion } })).status));
});

test('a proof for another request, or none, is refused', async () => {
  const session = newSessionKey();
  await mint(session);
  const bends: Bend[] = [
    { claims: { htu: `${TEST_ISSUER}/oauth/token` } },
    { claims: { htm: 'GET' } },
    { claims: { iat: 1 } },
    { key: newSessionKey() },
    { header: { typ: 'JWT' } },
  ];
  for (const bend of bends) {
    const answer = await end({ session, bend });
    assert.deepEqual(
      [answer.status, answer.body.code],
      [400, 'invalid_dpop_proof'],
      JSON.stringify(bend.claims),
    );
  }
  assert.equal((await end({ session, proof: null })).body.code, 'invalid_dpop_proof');
  assert.equal((await mint(session)).status, 200);
});

test('an operator ends a session of its own in the same way', async () => {
  const operator = world.operator(broker, 'olivia');
  const token = await operator.token('mayfly:read:sessions');
  const ended = await end({ agent: 'olivia', session: operator.session() });
  assert.deepEqual([ended.status, ended.body.reason], [200, 'ended by the operator itself']);
  const request = { method: 'GET', path: '/v1/sessions', token } as const;
  assert.equal((await operator.send({ ...request, proof: operator.proof(request) })).status, 401);
});

test('a client that revokes without end is told to wait, and nobody else is', async () => {
  const { burst } = RATE_LIMITS.clientRevocations;
  const own = await world.startBroker();
  let refused = 0;
  for (let sent = 0; refused === 0 && sent < 10 * burst; sent += 50) {
    const answers = await Promise.all(Array.from({ length: 50 }, () => end({ url: own.url })));
    refused += answers.filter(({ body }) => body.code === 'rate_limited').length;
  }
  assert.ok(refused > 0);
  assert.equal((await end({ agent: 'billing-runner', url: own.url })).status, 404);
  const session = newSessionKey();
  await mint(session);
  assert.equal((await end({ session })).status, 200, 'each broker counts for itself');
});

test('of many who end it at once each is answered, and the ledger has one entry', async () => {
  const other = await world.startBroker();
  const session = newSessionKey();
  const { body } = await mint(session);
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) => end({ session, url: index % 2 === 0 ? broker.url : other.url })),
  );
  assert.ok(answers.every(({ status }) => isDone(status)));
  assert.equal(answers.filter(({ body: told }) => told.effect === 'revoked').length, 1);
  const [count] = await world.query<{ entries: string }>(
    'select count(*) as entries from revocations where key = $1',
    [`session:${body.session_id}`],
  );
  assert.equal(Number(count?.entries), 1);
});

test('of very many ends at once some get no receipt, and get it when they ask again', async () => {
  const own = await world.startBroker();
  const sessions = Array.from({ length: 40 }, () => newSessionKey());
  for (const session of sessions) await mint(session);
  const answers = await Promise.all(sessions.map((session) => end({ session, url: own.url })));
  assert.ok(answers.every(({ status }) => isDone(status)));
  const index = answers.findIndex(({ body }) => body.receipt === undefined);
  const without = answers[index];
  assert.deepEqual([without?.status, without?.body.replicated, without?.body.complete], [202, true, false]);
  assert.ok(
    answers.filter(({ body }) => body.receipt !== undefined).length >= 20,
    'most people are not that many',
  );
  await until(async () => {
    const again = await end({ session: sessions[index] as SessionKey, url: own.url });
    return again.status === 200 && again.body.id === without?.body.id && again.body.receipt !== undefined;
  }, 'asked again it is made');
});
