/** What programs of a run are given, and what not: over the endpoint, from a real broker, at real resource servers. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { decodeJwt } from 'jose';
import { anybodyHere } from '../../src/run/bearer.ts';
import { type LocalEndpoint, openLocalEndpoint } from '../../src/run/local-endpoint.ts';
import { createRunTokens, type Limits } from '../../src/run/run-tokens.ts';
import { tokenVerbs } from '../../src/run/token-verbs.ts';
import { systemClock } from '../../src/sdk/agent-clock.ts';
import { createDemands } from '../../src/sdk/demands.ts';
import type { Agent, AgentSession } from '../../src/sdk/index.ts';
import { createResourceDirectory } from '../../src/sdk/resource-directory.ts';
import { fc } from '../properties.ts';
import { CUSTOMERS, createAgentWorld, LIST, ORDERS, READ, STORAGE } from '../sdk/agent-world.ts';
import { TEST_ISSUER } from '../test-broker.ts';
import { askLocally } from './local-request.ts';

const world = await createAgentWorld();
const opened: { endpoint: LocalEndpoint; agent: Agent }[] = [];

after(() => Promise.all(opened.flatMap(({ endpoint, agent }) => [endpoint.close(), agent.close()])));

type Run = {
  session: AgentSession;
  ask(name: string, body: unknown): ReturnType<typeof askLocally>;
  /** One that is answered. */
  given(name: string, body: unknown): Promise<Record<string, string>>;
};

async function openRun({ actions = [READ], resources = [] }: Partial<Limits> = {}): Promise<Run> {
  const { fetch } = world.recorder();
  const agent = world.createAgent({ actions, fetch });
  const session = await agent.session({ actions: [] });
  const lifetime = new AbortController().signal;
  const directory = createResourceDirectory({ issuer: TEST_ISSUER, fetch, clock: systemClock, lifetime });
  const limits = { actions, resources };
  const tokens = createRunTokens({
    session,
    demands: createDemands({ directory, declared: limits }),
    limits,
  });
  const endpoint = await openLocalEndpoint({ verbs: tokenVerbs({ tokens, guard: anybodyHere }) });
  opened.push({ endpoint, agent });
  const ask: Run['ask'] = (name, body) =>
    askLocally(endpoint.addressOf(name), {
      body: JSON.stringify(body),
      headers: { 'Content-Type': 'application/json' },
    });
  return {
    session,
    ask,
    async given(name, body) {
      const { status, text, body: answer } = await ask(name, body);
      assert.equal(status, 200, text);
      return answer as Record<string, string>;
    },
  };
}

const scopeOf = ({ authorization = '' }: Record<string, string>) => decodeJwt(authorization.slice(5)).scope;

describe('Credentials', () => {
  test('are good for that request, once, with the nonce that the resource wants', async () => {
    const { given } = await openRun();
    const url = `${CUSTOMERS}/customers`;
    const place = `${world.places[CUSTOMERS]}/customers`;

    async function read(nonce?: string) {
      const { authorization = '', dpop: DPoP = '' } = await given('credentials', {
        method: 'GET',
        url,
        nonce,
      });
      const headers = { Authorization: authorization, DPoP };
      return { headers, response: await fetch(place, { headers }) };
    }
    const first = await read();
    assert.equal(first.response.status, 401);
    const { headers, response } = await read(first.response.headers.get('dpop-nonce') ?? '');
    assert.equal(response.status, 200);
    assert.equal((await fetch(place, { headers })).status, 401, 'the same again is a replay');
    assert.equal(
      (await fetch(place.replace('customers', 'orders'), { headers })).status,
      401,
      'and elsewhere it is nothing',
    );
  });

  test('carry the proof of what was asked for, and say how long the token lives', async () => {
    const { given } = await openRun();
    const url = `${CUSTOMERS}/customers?page=2`;
    const answer = await given('credentials', { method: 'POST', url, nonce: 'a-nonce' });
    const { htm, htu, nonce, ath } = decodeJwt(answer.dpop ?? '');
    assert.deepEqual([htm, htu, nonce], ['POST', `${CUSTOMERS}/customers`, 'a-nonce']);
    assert.equal(typeof ath, 'string');
    assert.ok(Number(answer.expires_in) > 30 && Number(answer.expires_in) <= 900);
    assert.deepEqual(Object.keys(answer).sort(), ['authorization', 'dpop', 'expires_in']);
  });

  test('are for what the resource says that it asks for, when the run has actions at several', async () => {
    const { given } = await openRun({ actions: [READ, LIST] });
    const [one, other] = await Promise.all(
      [`${CUSTOMERS}/customers`, `${STORAGE}/exports`].map((url) =>
        given('credentials', { method: 'GET', url }),
      ),
    );
    assert.deepEqual([scopeOf(one ?? {}), scopeOf(other ?? {})], [READ, LIST]);
  });

  test('are narrower when that is asked for', async () => {
    const { given } = await openRun({ actions: [READ, ORDERS] });
    const url = `${CUSTOMERS}/orders`;
    assert.equal(scopeOf(await given('credentials', { method: 'GET', url, actions: [ORDERS] })), ORDERS);
    const resource = CUSTOMERS;
    const wide = await given('credentials', { method: 'GET', url, resource });
    assert.equal(scopeOf(wide), `${READ} ${ORDERS}`);
  });
});

test('A token is shown to whoever wants to look at it', async () => {
  const { given, session } = await openRun();
  const { access_token: token = '', ...rest } = await given('token', {});
  assert.deepEqual(
    { ...rest, expires_in: 0 },
    { token_type: 'DPoP', scope: READ, session_id: session.id, expires_in: 0 },
  );
  assert.equal(decodeJwt(token).sid, session.id);
});

describe('A run gives nothing', () => {
  const url = `${CUSTOMERS}/customers`;

  test('for other actions than its own', async () => {
    const { ask } = await openRun();
    for (const actions of [
      [ORDERS],
      [READ, ORDERS],
      ['db:delete:customers'],
      [`${READ} ${ORDERS}`.replace(' ', ':')],
    ]) {
      for (const name of ['token', 'credentials']) {
        const { status, body } = await ask(
          name,
          name === 'token' ? { actions } : { actions, method: 'GET', url },
        );
        assert.deepEqual([status, body.code], [403, 'not_of_this_run'], `${name} ${actions}`);
      }
    }
  });

  test('elsewhere than at its resources', async () => {
    const { ask, given } = await openRun({ actions: [READ, LIST], resources: [CUSTOMERS] });
    await given('credentials', { method: 'GET', url });
    for (const other of [
      `${STORAGE}/exports`,
      'https://customers.example.com.evil.example/customers',
      'https://customers.example.com:8443/customers',
      'https://customers.example.com@evil.example/customers',
      'http://customers.example.com/customers',
    ]) {
      const { status, body } = await ask('credentials', { method: 'GET', url: other });
      assert.deepEqual([status, body.code], [403, 'not_of_this_run'], other);
      const named = await ask('credentials', { method: 'GET', url: other, resource: CUSTOMERS });
      assert.equal(named.status, 403, other);
    }
    for (const body of [
      { resource: STORAGE },
      { resource: STORAGE, actions: [LIST] },
      { resource: `${CUSTOMERS}/` },
    ]) {
      assert.equal((await ask('token', body)).status, 403, JSON.stringify(body));
      assert.equal((await ask('credentials', { ...body, method: 'GET', url })).status, 403);
    }
  });

  test('for a place to which it would go in clear', async () => {
    const { ask } = await openRun();
    const { status, body } = await ask('credentials', {
      method: 'GET',
      url: 'http://customers.example.com/',
    });
    assert.deepEqual([status, body.code], [502, 'misconfigured']);
  });

  test('once an operator revoked its session: no other one takes its place', async () => {
    const { ask, session } = await openRun();
    await session.token({ actions: [READ] });
    const olivia = world.operator(world.broker(), 'olivia');
    const path = `/v1/sessions/${session.id}/revoke`;
    await olivia.post(path, 'mayfly:revoke:sessions', { reason: 'a test' });
    const { status, body } = await ask('token', { resource: CUSTOMERS });
    assert.deepEqual([status, body.code, body.broker_code], [403, 'stopped', 'session_ended']);
  });

  test('for what is no question: 400, and what came in does not come back', async () => {
    const { ask } = await openRun();
    const good = { method: 'GET', url };
    for (const [name, body] of [
      ['credentials', {}],
      ['credentials', { url }],
      ['credentials', { ...good, method: 'GET /' }],
      ['credentials', { ...good, method: 7 }],
      ['credentials', { ...good, url: '/customers' }],
      ['credentials', { ...good, url: 'file:///etc/passwd' }],
      ['credentials', { ...good, nonce: 'a "quote"' }],
      ['credentials', { ...good, nonce: '' }],
      ['credentials', { ...good, actions: [] }],
      ['credentials', { ...good, actions: READ }],
      ['credentials', { ...good, actions: [7] }],
      ['credentials', { ...good, headers: {} }],
      ['token', { method: 'GET' }],
      ['token', { resource: {} }],
    ] as const) {
      const { status, body: answer } = await ask(name, body);
      assert.deepEqual([status, answer.code], [400, 'invalid_request'], JSON.stringify(body));
    }
  });
});

test('Whatever is asked, the answer is no 5xx, and no token is for more than the run', async () => {
  const { ask } = await openRun({ resources: [CUSTOMERS] });
  const text = fc.oneof(
    fc.string({ maxLength: 30 }),
    fc.constantFrom(READ, ORDERS, CUSTOMERS, STORAGE, 'GET'),
  );
  const url = fc.oneof(text, fc.webUrl(), fc.constantFrom(`${CUSTOMERS}/customers`, `${STORAGE}/x`));
  const odd = fc.oneof(text, fc.integer(), fc.constant(null), fc.array(text, { maxLength: 3 }));
  const body = fc.record(
    {
      method: fc.oneof(fc.constant('GET'), odd),
      url: fc.oneof(url, odd),
      actions: odd,
      resource: odd,
      nonce: odd,
      extra: odd,
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('token', 'credentials'),
      fc.oneof(body, fc.jsonValue()),
      async (name, asked) => {
        const { status, body: answer } = await ask(name, asked);
        assert.ok(status < 500, `${status} ${JSON.stringify(asked)}`);
        const token = String(answer.access_token ?? String(answer.authorization ?? '').slice(5));
        if (status === 200)
          assert.deepEqual([decodeJwt(token).scope, decodeJwt(token).aud], [READ, CUSTOMERS]);
      },
    ),
    { numRuns: 200 },
  );
});
