import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AgentClock, AgentError } from '../../src/sdk/index.ts';
import { until } from '../broker-process.ts';
import { soakFactor } from '../soak.ts';
import { TEST_ISSUER } from '../test-broker.ts';
import { CUSTOMERS, createAgentWorld, LIST, ORDERS, READ, STORAGE, WRITE } from './agent-world.ts';
import { RESOURCE, RESOURCE_METADATA, startHostileServer } from './hostile-server.ts';

const world = await createAgentWorld();
const olivia = world.operator(world.broker(), 'olivia');

const isRefusal =
  (code: string, brokerCode?: string) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof AgentError, String(error));
    assert.deepEqual([error.code, error.brokerCode], [code, brokerCode], error.message);
    return true;
  };

const told = async (response: Response) => (await response.json()) as { path: string; body: string };
const bodyOf = async (response: Response) => (await told(response)).body;
const pathOf = async (response: Response) => (await told(response)).path;

const customers = `${CUSTOMERS}/customers`;
const orders = `${CUSTOMERS}/orders`;
const exportsUrl = `${STORAGE}/exports`;

const clockAhead = (milliseconds: () => number): AgentClock => ({
  milliseconds: () => Date.now() + milliseconds(),
  monotonicMilliseconds: () => performance.now(),
  wait: async () => undefined,
});

describe('fetch', () => {
  test('gets the right token by itself, and asks for nothing twice', async () => {
    const { fetch, seen, lines } = world.recorder();
    const agent = world.createAgent({ fetch });
    assert.equal((await agent.fetch(customers)).status, 200);
    assert.deepEqual(lines(), [
      'GET /customers 401',
      'GET /.well-known/oauth-protected-resource 200',
      'GET /.well-known/oauth-authorization-server 200',
      'POST /oauth/token 400',
      'POST /oauth/token 200',
      'GET /customers 401',
      'GET /customers 200',
    ]);
    assert.equal(seen[0]?.headers.has('authorization'), false, 'nothing is shown before it is asked for');
    await agent.fetch(`${customers}?page=2`);
    assert.deepEqual(lines().slice(7), ['GET /customers?page=2 200']);
    const proofs = seen.map(({ headers }) => headers.get('dpop')).filter((proof) => proof !== null);
    assert.equal(new Set(proofs).size, proofs.length, 'a proof is used once');
    await agent.close();
  });

  test('asks for more once, when the resource says that more is needed, and remembers where', async () => {
    const { fetch, lines } = world.recorder();
    const agent = world.createAgent({ fetch });
    await agent.fetch(customers);
    assert.equal((await agent.fetch(orders)).status, 200);
    assert.deepEqual(lines().slice(7), ['GET /orders 403', 'POST /oauth/token 200', 'GET /orders 200']);
    await agent.fetch(customers);
    await agent.fetch(orders);
    assert.deepEqual(lines().slice(10), ['GET /customers 200', 'GET /orders 200']);
    await agent.close();
  });

  test('asks no resource about itself when the actions are given', async () => {
    const { fetch, lines } = world.recorder();
    const agent = world.createAgent({ fetch });
    assert.equal((await agent.fetch(exportsUrl, { actions: [LIST] })).status, 200);
    assert.ok(!lines().some((line) => line.includes('oauth-protected-resource')));
    const declared = world.createAgent({ fetch, actions: [READ], resource: CUSTOMERS });
    const before = lines().length;
    assert.equal((await declared.fetch(customers)).status, 200);
    assert.ok(
      !lines()
        .slice(before)
        .some((line) => line.includes('oauth-protected-resource')),
    );
    await Promise.all([agent.close(), declared.close()]);
  });

  test('never asks for more than it was made for', async () => {
    const agent = world.createAgent({ actions: [READ] });
    assert.equal((await agent.fetch(customers)).status, 200);
    await assert.rejects(agent.fetch(orders), isRefusal('denied'));
    await agent.close();
  });

  test('sends bodies again, also those that were streams', async () => {
    const agent = world.createAgent();
    const text = JSON.stringify({ name: 'a' });
    const bodies = [text, new TextEncoder().encode(text), new Blob([text]).stream()];
    for (const body of bodies) {
      const fresh = world.createAgent();
      const init = { method: 'POST', body, duplex: 'half', headers: { 'Content-Type': 'application/json' } };
      const response = await fresh.fetch(customers, init as RequestInit);
      assert.deepEqual([response.status, JSON.parse(await bodyOf(response))], [200, { name: 'a' }]);
      await fresh.close();
    }
    const given = new Request(customers, { method: 'POST', body: text });
    assert.equal(await bodyOf(await agent.fetch(given)), text);
    await agent.close();
  });

  test('hands out the refusal of a body that it cannot send again, and the next one passes', async () => {
    const agent = world.createAgent();
    const init = () => ({
      method: 'POST',
      duplex: 'half' as const,
      body: new Blob([JSON.stringify({ name: 'a'.repeat(1_100_000) })]).stream(),
      actions: [READ],
    });
    assert.equal((await agent.fetch(customers, init())).status, 401);
    assert.equal((await agent.fetch(customers, init())).status, 200);
    await agent.close();
  });

  test('follows redirects on the same origin with a proof of their own, and carries nothing elsewhere', async () => {
    const { fetch, seen } = world.recorder();
    const agent = world.createAgent({ fetch, actions: [READ], resource: CUSTOMERS });
    const response = await agent.fetch(`${CUSTOMERS}/moved`);
    assert.equal(await pathOf(response), '/customers');
    await assert.rejects(agent.fetch(`${CUSTOMERS}/away`), isRefusal('protocol'));
    assert.equal((await agent.fetch(`${CUSTOMERS}/away`, { redirect: 'manual' })).status, 302);
    assert.ok(!seen.some(({ line }) => line.includes('evil')));
    await agent.close();
  });

  test('takes a caller’s signal as fetch does, and lets the others go on', async () => {
    const agent = world.createAgent();
    const leaving = new AbortController();
    const left = agent.fetch(customers, { signal: leaving.signal });
    const staying = agent.fetch(customers);
    leaving.abort(new Error('enough'));
    await assert.rejects(left, /enough/);
    assert.equal((await staying).status, 200);
    await assert.rejects(agent.fetch(customers, { signal: AbortSignal.abort() }), { name: 'AbortError' });
    await agent.close();
  });

  test('is one question to the broker for two hundred callers, at the start and when the token is over (SDK-10)', async () => {
    let ahead = 0;
    const agent = world.createAgent({ clock: clockAhead(() => ahead) });
    for (const minted of [1, 2]) {
      const answers = await Promise.all(Array.from({ length: 200 }, () => agent.fetch(customers)));
      assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
      assert.equal(await world.mintedBy(agent.id ?? ''), minted);
      ahead = 300_000;
    }
    await agent.close();
  });

  test('works with a clock that is ten minutes off, either way (SDK-06)', async () => {
    for (const minutes of [-10, 10]) {
      const agent = world.createAgent({ clock: clockAhead(() => minutes * 60_000) });
      assert.equal((await agent.fetch(customers)).status, 200);
      await agent.close();
    }
  });
});

/** What a call rejects with, as soon as the resource server has heard of it. */
async function toldWhenRefused(call: () => Promise<Response>): Promise<unknown> {
  let told: unknown;
  await until(async () => {
    told = await call().then(
      () => undefined,
      (error: unknown) => error,
    );
    return told !== undefined;
  }, 'it is refused');
  return told;
}

describe('What is taken from it', () => {
  test('A revoked token is replaced, once for all callers', async () => {
    const agent = world.createAgent();
    await agent.fetch(customers);
    const { accessToken } = await agent.token({ actions: [READ], resource: CUSTOMERS });
    const revoker = world.agent(world.broker(), 'report-writer');
    await revoker.post('/oauth/revoke', revoker.authenticated({ token: accessToken }));
    await until(async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => agent.fetch(customers)));
      assert.ok(answers.every(({ status }) => status === 200));
      return (await world.mintedBy(agent.id ?? '')) > 1;
    }, 'the resource server hears of it');
    assert.equal(await world.mintedBy(agent.id ?? ''), 2);
    await agent.close();
  });

  test('A session that an operator ends is followed by another one; one that was opened by itself is not', async () => {
    const agent = world.createAgent();
    const session = await agent.session({ actions: [READ] });
    assert.match(session.id ?? '', /^ses_/);
    await agent.fetch(customers);
    const [first, other] = [agent.id ?? '', session.id ?? ''];
    assert.notEqual(first, other);
    for (const id of [first, other]) {
      await olivia.post(`/v1/sessions/${id}/revoke`, 'mayfly:revoke:sessions', { reason: 'a test' });
    }
    await until(async () => {
      assert.equal((await agent.fetch(customers)).status, 200);
      return agent.id !== first;
    }, 'the resource server hears of it');
    await assert.rejects(session.fetch(orders, { actions: [ORDERS] }), isRefusal('stopped', 'session_ended'));
    await agent.close();
  });

  test('An agent that is quarantined is told so, opens nothing, and goes on when it is released', async () => {
    const name = 'support-assistant';
    const { fetch, lines } = world.recorder();
    const agent = world.createAgent({ clientId: name, key: world.scopes.keys.get(name) as never, fetch });
    await agent.fetch(customers);
    const change = (what: string) =>
      olivia.post(`/v1/agents/${name}/${what}`, `mayfly:${what}:agents` as never, { reason: 'a test' });
    await change('quarantine');
    const before = lines().length;
    await assert.rejects(agent.token({ actions: [ORDERS] }), isRefusal('stopped', 'agent_stopped'));
    assert.equal(lines().length, before + 1);
    const told = await toldWhenRefused(() => agent.fetch(customers));
    assert.ok(isRefusal('stopped', 'agent_stopped')(told), 'also who has a token from before');
    await change('release');
    assert.ok((await agent.token({ actions: [ORDERS] })).expiresAt > Date.now());
    await agent.close();
  });

  test('A closed agent asks for nothing, and what it had is dead', async () => {
    const { fetch, lines } = world.recorder();
    const agent = world.createAgent({ fetch });
    const session = await agent.session({ actions: [READ] });
    await session.fetch(customers);
    await session.close();
    await session.close();
    assert.equal(lines().filter((line) => line.startsWith('POST /v1/sessions/current/revoke 20')).length, 1);
    await assert.rejects(session.fetch(customers), isRefusal('closed'));
    assert.equal((await agent.fetch(customers)).status, 200, 'the agent itself goes on');
    await agent.close();
    await assert.rejects(agent.fetch(customers), isRefusal('closed'));
    await assert.rejects(agent.session(), isRefusal('closed'));
    const rows = await world.query<{ count: string }>(
      "select count(*) from revocations where kind = 'session' and target = any($1)",
      [[session.id, agent.id]],
    );
    assert.equal(rows[0]?.count, '2');
  });
});

describe('The broker’s no', () => {
  test('says which rule it was and who could change it', async () => {
    const agent = world.createAgent();
    await assert.rejects(
      agent.fetch(customers, { actions: ['db:update:customers'] }),
      (error: AgentError) => {
        isRefusal('denied', 'invalid_scope')(error);
        assert.match(error.hint ?? '', /scopes\/agents\/report-writer\.yaml lists; its owner, data-platform/);
        assert.match(error.requestId ?? '', /^req_/);
        assert.equal(error.status, 400);
        return true;
      },
    );
    await assert.rejects(agent.token({ actions: [WRITE] }), isRefusal('denied', 'invalid_scope'));
    await agent.close();
  });

  test('is what somebody gets who calls himself a resource of this broker', async () => {
    const stranger = await startHostileServer();
    const document = {
      resource: stranger.url,
      authorization_servers: [TEST_ISSUER],
      scopes_supported: [READ],
    };
    stranger.answers(RESOURCE_METADATA, { status: 200, body: document });
    stranger.answers(RESOURCE, { status: 401, headers: { 'WWW-Authenticate': `DPoP scope="${READ}"` } });
    const agent = world.createAgent();
    await agent.fetch(customers); // it has a token for that very action
    await assert.rejects(agent.fetch(`${stranger.url}/thing`), isRefusal('denied', 'invalid_target'));
    assert.ok(stranger.asked.every(({ headers }) => headers.authorization === undefined));
    await agent.close();
  });

  test('names an approval that is missing', async () => {
    const name = 'privacy-clerk';
    const agent = world.createAgent({ clientId: name, key: world.scopes.keys.get(name) as never });
    const call = { action: 'db:delete:customers', url: customers, arguments: {} };
    await assert.rejects(agent.call(call), isRefusal('approval_pending', 'approval_required'));
    await agent.close();
  });

  test('is about the configuration when nobody knows this agent, or its key is another one', async () => {
    const nobody = world.createAgent({ clientId: 'nobody' });
    await assert.rejects(nobody.token({ actions: [READ] }), isRefusal('misconfigured', 'invalid_client'));
    const other = world.createAgent({ key: world.scopes.keys.get('olivia') as never });
    await assert.rejects(other.token({ actions: [READ] }), isRefusal('misconfigured', 'invalid_client'));
    assert.throws(
      () => world.createAgent({ issuer: 'http://broker.example.com' }),
      isRefusal('misconfigured'),
    );
    assert.throws(() => world.createAgent({ clientId: '' }), isRefusal('misconfigured'));
    assert.throws(() => world.createAgent({ actions: ['a b'] }), isRefusal('misconfigured'));
    await assert.rejects(nobody.token(), isRefusal('misconfigured'));
  });
});

describe('A call with a token of its own', () => {
  const json = { name: 'weekly-report', format: 'csv', rows: 3 };

  test('is made once for each time that it is asked for', async () => {
    const { fetch, seen } = world.recorder();
    const agent = world.createAgent({ fetch });
    const call = { action: WRITE, url: exportsUrl, arguments: json };
    for (const _ of [1, 2]) {
      const response = await agent.call(call);
      assert.deepEqual([response.status, JSON.parse(await bodyOf(response))], [200, json]);
    }
    const tokens = new Set(
      seen
        .filter(({ line }) => line === 'POST /exports 200')
        .map(({ headers }) => headers.get('authorization')),
    );
    assert.equal(tokens.size, 2);
    await agent.close();
  });

  test('may have its arguments in the query', async () => {
    const agent = world.createAgent();
    const response = await agent.call({
      action: LIST,
      url: `${exportsUrl}?after=a%20b&kind=csv&kind=pdf#here`,
    });
    assert.equal(response.status, 200);
    await agent.close();
  });

  test('has arguments that are JSON', async () => {
    const agent = world.createAgent();
    for (const strange of [{ rows: Number.NaN }, { at: new Date() }, ['\ud800'], 1n]) {
      const call = { action: WRITE, url: exportsUrl, arguments: strange };
      await assert.rejects(agent.call(call), isRefusal('misconfigured'));
    }
    await agent.close();
  });
});

test('A token for those who send requests themselves comes with what each request carries', async () => {
  const { fetch } = world.recorder();
  const agent = world.createAgent({ actions: [READ], resource: CUSTOMERS });
  await agent.fetch(customers); // it has a nonce of that server now
  const token = await agent.token();
  assert.deepEqual(token.actions, [READ]);
  const headers = await token.credentials({ method: 'GET', url: customers });
  assert.equal((await fetch(customers, { headers })).status, 200);
  assert.equal((await fetch(customers, { headers })).status, 401, 'once');
  await assert.rejects(
    token.credentials({ method: 'GET', url: 'http://customers.example.com/' }),
    isRefusal('misconfigured'),
  );
  await agent.close();
});

test('A token that ends sooner than it has to live is followed by the next one, for whoever asks', async () => {
  const agent = world.createAgent({ actions: [READ], resource: CUSTOMERS });
  const { accessToken: first } = await agent.token();
  assert.equal((await agent.token({ leastSeconds: 10 })).accessToken, first);
  const { accessToken: second } = await agent.token({ leastSeconds: 100_000 });
  assert.notEqual(second, first);
  assert.equal((await agent.token()).accessToken, second);
  await agent.close();
});

test('Brokers restart and signing keys are rotated, and no call fails', async () => {
  const agent = world.createAgent();
  const call = async (url: string) => assert.equal((await agent.fetch(url)).status, 200);
  await call(customers);
  await world.rotateSigningKey();
  await world.restart(); // so that the new key is the one that signs
  await call(customers);
  await call(orders);
  const { sessionId } = await agent.token({ actions: [ORDERS], resource: CUSTOMERS });
  assert.equal(sessionId, agent.id, 'it is one session all the time');
  await agent.close();
});

/** Two minutes as they are for \`npm run soak\`; otherwise they pass forty times as fast for the agent. */
const SPEED = soakFactor() === 1 ? 40 : 1;

/** More often, and one key would use more proofs than a resource server keeps of one. */
const ROUND_MILLISECONDS = 2_000;

function hurriedClock(): AgentClock {
  const [wall, monotonic] = [Date.now(), performance.now()];
  const passed = () => (performance.now() - monotonic) * SPEED;
  return {
    milliseconds: () => wall + passed() + 90_000,
    monotonicMilliseconds: passed,
    wait: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds / SPEED)),
  };
}

test('In two minutes with tokens of one, brokers restarting and keys rotating, no call of many callers fails', async () => {
  const clock = hurriedClock();
  const agent = world.createAgent({ clock, tokenLifetimeSeconds: 60 });
  // A key that signs at once is looked for by resource servers, but not twice within a moment.
  const rotate = soakFactor() === 1 ? [] : [world.rotateSigningKey];
  const troubles = [world.restart, ...rotate, world.restart];
  const statuses = new Map<number, number>();
  const callers = soakFactor() === 1 ? 10 : 200;
  let trouble: Promise<void> = Promise.resolve();
  while (clock.monotonicMilliseconds() < 120_000) {
    if (clock.monotonicMilliseconds() > 120_000 * (1 - (troubles.length + 0.5) / 4)) {
      const next = troubles.shift();
      if (next !== undefined) trouble = trouble.then(next);
    }
    const answers = await Promise.all(Array.from({ length: callers }, () => agent.fetch(customers)));
    for (const { status } of answers) statuses.set(status, (statuses.get(status) ?? 0) + 1);
    await clock.wait(ROUND_MILLISECONDS, new AbortController().signal);
  }
  await trouble;
  assert.deepEqual([troubles.length, [...statuses.keys()]], [0, [200]]);
  const minted = await world.mintedBy(agent.id ?? '');
  assert.ok(minted >= 2 && minted <= 4, `${minted} tokens in two minutes`);
  await agent.close();
});
