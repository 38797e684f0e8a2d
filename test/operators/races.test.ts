/**
 * Many at once, at two brokers on one database. The head of the ledger is held until all of them wait for it, so that
 * whoever looks before it has the head looks too early, every time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';
import type { ManagementAnswer, TestOperator } from '../test-operator.ts';

const world = await createTestWorld();
const brokers = [await world.startBroker(), await world.startBroker()];
const WHY = { reason: 'a race' };
/** Fewer than the connections of the brokers, or some would wait for one of those. */
const CALLERS = 8;

type Sending = () => Promise<ManagementAnswer>;

/** Ready to go: the tokens are there. */
async function prepared(
  operator: TestOperator,
  { path, action, body = WHY, key }: { path: string; action: string; body?: object; key?: string },
): Promise<Sending> {
  const token = await operator.token(action);
  const headers = key === undefined ? {} : { 'Idempotency-Key': key };
  const request = { method: 'POST', path, body, headers, token } as const;
  const proof = operator.proof(request);
  return () => operator.send({ ...request, proof });
}

/** One in turn from each broker, by one operator or by two. */
async function everyone(
  names: readonly string[],
  request: Parameters<typeof prepared>[1],
): Promise<Sending[]> {
  return Promise.all(
    Array.from({ length: CALLERS }, (_, index) =>
      prepared(world.operator(brokers[index % 2] ?? { url: '' }, names[index % names.length] ?? ''), request),
    ),
  );
}

/** Lets all of them run until they wait for the head of the ledger, and then lets go of it. */
async function atOnce<Answer>(sendings: readonly (() => Promise<Answer>)[]): Promise<Answer[]> {
  const holder = new pg.Client({ connectionString: world.database.ownerUrl });
  await holder.connect();
  try {
    await holder.query('begin');
    await holder.query('select from revocation_head for update');
    const answers = sendings.map((send) => send());
    await allWait(sendings.length);
    await holder.query('commit');
    return await Promise.all(answers);
  } finally {
    await holder.end();
  }
}

/**
 * Until so many statements wait for a lock. They give up after two seconds, so on a machine that is too slow for all
 * of them to come this far, those who have make the race.
 */
async function allWait(callers: number): Promise<void> {
  const giveUpAt = performance.now() + 1_500;
  let waiting = 0;
  while (waiting < callers && performance.now() < giveUpAt) {
    const [row] = await world.query<{ waiting: number }>(
      `select count(distinct l.pid)::integer as waiting
         from pg_locks l join pg_stat_activity a on a.pid = l.pid
        where a.datname = current_database() and not l.granted`,
    );
    waiting = row?.waiting ?? 0;
  }
}

async function entriesOf(key: string): Promise<{ epoch: string; releases: string | null }[]> {
  return world.query('select epoch, releases from revocations where key = $1 order by epoch', [key]);
}

function effects(answers: readonly ManagementAnswer[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status, body } of answers) {
    const effect = `${status} ${body.effect ?? body.code}`;
    counts[effect] = (counts[effect] ?? 0) + 1;
  }
  return counts;
}

async function sessionOf(name: string): Promise<string> {
  const agent = world.agent(brokers[0] ?? { url: '' }, name);
  const { body } = await agent.token(newSessionKey());
  return body.session_id;
}

test('one idempotency key, sent many times at once, has one effect and one answer', async () => {
  const request = { path: '/v1/agents/report-writer/revoke', action: 'mayfly:revoke:agents', key: 'once' };
  const before = await entriesOf('agent:report-writer');
  const answers = await atOnce(await everyone(['olivia'], request));
  assert.deepEqual(new Set(answers.map(({ text }) => text)).size, 1);
  assert.equal(answers[0]?.status, 200);
  assert.equal((await entriesOf('agent:report-writer')).length, before.length + 1);
});

test('one idempotency key for two requests at once is good for one of them', async () => {
  const common = { action: 'mayfly:revoke:agents', key: 'two' };
  const sendings = [
    ...(await everyone(['omar'], { ...common, path: '/v1/agents/report-writer/revoke' })).slice(0, 4),
    ...(await everyone(['omar'], { ...common, path: '/v1/agents/billing-runner/revoke' })).slice(0, 4),
  ];
  const before = (await world.query('select epoch from revocations')).length;
  assert.deepEqual(effects(await atOnce(sendings)), { '200 revoked': 4, '422 idempotency_key_reused': 4 });
  assert.equal((await world.query('select epoch from revocations')).length, before + 1);
});

test('a session that many end at once has one entry, whoever they are', async () => {
  const id = await sessionOf('report-writer');
  const request = { path: `/v1/sessions/${id}/revoke`, action: 'mayfly:revoke:sessions' };
  const answers = await atOnce(await everyone(['olivia', 'omar'], request));
  assert.deepEqual(effects(answers), { '200 revoked': 1, '200 none': CALLERS - 1 });
  assert.equal((await entriesOf(`session:${id}`)).length, 1);
});

test('a session that its agent ends many times at once has one entry', async () => {
  const session = newSessionKey();
  const agents = brokers.map((broker) => world.agent(broker, 'report-writer'));
  const { body: minted } = (await agents[0]?.token(session)) ?? {};
  const path = '/v1/sessions/current/revoke';
  const sendings = Array.from({ length: CALLERS }, (_, index) => async (): Promise<ManagementAnswer> => {
    const agent = agents[index % 2];
    const proof = agent?.proof(session, { claims: { htu: `${TEST_ISSUER}${path}` } }) ?? '';
    const response = await fetch(`${brokers[index % 2]?.url}${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', DPoP: proof },
      body: JSON.stringify(agent?.authenticated({})),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: JSON.parse(text) };
  });
  assert.deepEqual(effects(await atOnce(sendings)), { '200 revoked': 1, '200 none': CALLERS - 1 });
  assert.equal((await entriesOf(`session:${minted.session_id}`)).length, 1);
});

test('an agent that many put into quarantine and release at once is stopped once and released once', async () => {
  const quarantine = { path: '/v1/agents/report-writer/quarantine', action: 'mayfly:quarantine:agents' };
  const stops = await atOnce(await everyone(['olivia', 'omar'], quarantine));
  assert.deepEqual(effects(stops), { '200 revoked': 1, '200 none': CALLERS - 1 });
  const [{ epoch } = { epoch: 0 }] = stops.map(({ body }) => body);
  const release = { path: '/v1/agents/report-writer/release', action: 'mayfly:release:agents' };
  const releases = await atOnce(await everyone(['olivia', 'omar'], release));
  assert.deepEqual(effects(releases), { '200 released': 1, '409 nothing_to_release': CALLERS - 1 });
  const released = (await entriesOf('agent:report-writer')).filter((each) => each.releases === String(epoch));
  assert.equal(released.length, 1);
});

test('a signing key that many revoke at once is revoked once, and its successor signs', async () => {
  const [row] = await world.query<{ kid: string }>(
    `select kid from signing_keys where purpose = 'token' and revoked_at is null order by generation desc limit 1`,
  );
  const request = { path: `/v1/signing-keys/${row?.kid}/revoke`, action: 'mayfly:revoke:signing-keys' };
  const answers = await atOnce(await everyone(['olivia', 'omar'], request));
  assert.deepEqual(effects(answers), { '200 revoked': 1, '200 none': CALLERS - 1 });
  assert.equal((await entriesOf(`signing-key:${row?.kid}`)).length, 1);
  assert.match(await sessionOf('report-writer'), /^ses_/);
});

test('an operator who is stopped while its request waits has asked in time, and not a moment later', async () => {
  const path = '/v1/agents/billing-runner/revoke';
  const operator = world.operator(brokers[0] ?? { url: '' }, 'omar');
  const late = await prepared(operator, { path, action: 'mayfly:revoke:agents' });
  const stop = await prepared(world.operator(brokers[1] ?? { url: '' }, 'olivia'), {
    path: '/v1/agents/omar/quarantine',
    action: 'mayfly:quarantine:agents',
  });
  const inTime = await prepared(operator, { path, action: 'mayfly:revoke:agents' });
  const answers = await atOnce([inTime, stop]);
  assert.deepEqual(effects(answers), { '200 revoked': 2 });
  assert.deepEqual(effects([await late()]), { '401 invalid_token': 1 });
});
