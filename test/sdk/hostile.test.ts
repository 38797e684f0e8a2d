import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { AgentError } from '../../src/sdk/index.ts';
import {
  challenge,
  END,
  METADATA,
  RESOURCE,
  RESOURCE_METADATA,
  startHostileServer,
  TOKEN,
  tokenAnswer,
} from './hostile-server.ts';

const server = await startHostileServer();
const other = await startHostileServer();
const thing = `${server.url}/thing`;
const given = { actions: ['a:b:c'] };
beforeEach(() => {
  server.reset();
  other.reset();
});

async function refusalOf(work: Promise<unknown>): Promise<AgentError> {
  const error = await work.then(
    () => assert.fail('it went through'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof AgentError, String(error));
  return error;
}
const codeOf = async (work: Promise<unknown>) => (await refusalOf(work)).code;

describe('Loops', () => {
  test('A broker that asks for another nonce each time is asked three times', async () => {
    let number = 0;
    server.answers(TOKEN, () => {
      number += 1;
      return { status: 400, headers: { 'DPoP-Nonce': `nonce-${number}` }, body: { error: 'use_dpop_nonce' } };
    });
    assert.equal(await codeOf(server.createAgent().token(given)), 'protocol');
    assert.equal(server.times(TOKEN), 3);
    const assertions = server.asked.filter(({ line }) => line === TOKEN).map(({ body }) => body);
    assert.equal(new Set(assertions).size, 1, 'the body is the same: a nonce costs no assertion');
  });

  test('A resource that asks for another nonce each time gets three requests, and its answer stands', async () => {
    let number = 0;
    server.answers(RESOURCE, () => {
      number += 1;
      return { status: 401, headers: { 'DPoP-Nonce': `nonce-${number}`, ...challenge('use_dpop_nonce') } };
    });
    const response = await server.createAgent().fetch(thing, given);
    assert.equal(response.status, 401);
    assert.equal(server.times(RESOURCE), 6, 'three for each of two tokens');
    assert.equal(server.minted(), 2);
  });

  test('A resource that never takes a token gets two', async () => {
    server.answers(RESOURCE, { status: 401, headers: challenge('invalid_token') });
    const agent = server.createAgent();
    assert.equal((await agent.fetch(thing, given)).status, 401);
    assert.deepEqual([server.times(RESOURCE), server.minted()], [2, 2]);
    assert.equal((await agent.call({ action: 'a:b:c', url: thing })).status, 401);
    assert.deepEqual([server.times(RESOURCE), server.minted()], [4, 4]);
  });

  test('A resource that refuses each proof gets two for each of two tokens', async () => {
    server.answers(RESOURCE, { status: 401, headers: challenge('invalid_dpop_proof') });
    assert.equal((await server.createAgent().fetch(thing, given)).status, 401);
    assert.equal(server.times(RESOURCE), 4);
  });

  test('A resource that asks for more and more gets more once', async () => {
    let number = 0;
    server.answers(RESOURCE, () => {
      number += 1;
      return { status: 403, headers: challenge('insufficient_scope', `, scope="a:b:${number}"`) };
    });
    const agent = server.createAgent();
    server.answers(RESOURCE_METADATA, {
      status: 200,
      body: { resource: server.url, authorization_servers: [server.url], scopes_supported: ['a:b:0'] },
    });
    const body = new Blob(['x'.repeat(1_100_000)]).stream(); // so that it is asked for its metadata first
    server.answers('POST /thing', { status: 200 });
    await agent.fetch(thing, { method: 'POST', body, duplex: 'half' });
    assert.equal((await agent.fetch(thing)).status, 403);
    assert.equal(server.times(RESOURCE), 2);
  });

  test('A resource that redirects in a circle is left', async () => {
    server.answers(RESOURCE, { status: 302, headers: { Location: '/thing' } });
    assert.equal(await codeOf(server.createAgent().fetch(thing, given)), 'protocol');
    assert.equal(server.times(RESOURCE), 6);
  });
});

describe('Waiting', () => {
  const wait = async (headers: Record<string, string>, status = 429) => {
    server.answers(TOKEN, {
      status,
      headers,
      body: { error: 'temporarily_unavailable', code: 'rate_limited' },
    });
    const agent = server.createAgent();
    const error = await refusalOf(agent.token(given));
    return { waits: agent.waits, error, times: server.times(TOKEN) };
  };

  test('Without Retry-After a broker is asked four times, later each time', async () => {
    const { waits, error, times } = await wait({});
    assert.deepEqual([waits, times, error.code], [[125, 250, 500], 4, 'throttled']);
  });

  test('With one that can be meant, when it says', async () => {
    const { waits, error } = await wait({ 'Retry-After': '7' });
    assert.deepEqual([waits, error.code, error.retryAfterSeconds], [[7_500, 7_500, 7_500], 'throttled', 7]);
  });

  const inAMinute = () => new Date(Date.now() + 60_000).toUTCString();
  const anHourAgo = () => new Date(Date.now() - 3_600_000).toUTCString();
  for (const [name, value, seconds] of [
    ['1e9 seconds', () => '1000000000', 86_400],
    ['an hour', () => '3600', 3_600],
    ['the date of in a minute', inAMinute, 60],
  ] as const) {
    test(`With ${name} it is left alone, and the caller is told when to come back`, async () => {
      const { waits, error } = await wait({ 'Retry-After': value() });
      assert.deepEqual([waits, error.code], [[], 'throttled']);
      assert.ok(Math.abs((error.retryAfterSeconds ?? 0) - seconds) <= 2, String(error.retryAfterSeconds));
    });
  }

  for (const [name, value] of [
    ['negative', () => '-5'],
    ['zero', () => '0'],
    ['no number', () => 'soon'],
    ['1e9 in that spelling', () => '1e9'],
    ['the date of an hour ago', anHourAgo],
  ] as const) {
    test(`With one that is ${name} it counts as none`, async () => {
      const { waits } = await wait({ 'Retry-After': value() });
      assert.deepEqual(waits, [125, 250, 500]);
    });
  }

  test('A broker that breaks connections, or fails, is unavailable after four attempts', async () => {
    for (const status of [0, 500, 502, 503]) {
      server.reset();
      assert.equal((await wait({}, status === 0 ? 0 : status)).times, 4, String(status));
    }
    server.reset();
    server.answers(METADATA, { status: 0 });
    const error = await refusalOf(server.createAgent().token(given));
    assert.deepEqual([error.code, server.times(METADATA)], ['unavailable', 4]);
    assert.match(error.message, /cannot be reached \(\w+\)/);
  });

  test('A broker that recovers is noticed by nobody', async () => {
    let left = 2;
    server.answers(TOKEN, () => {
      left -= 1;
      return left >= 0 ? { status: left === 0 ? 503 : 0 } : { status: 200, body: tokenAnswer() };
    });
    assert.equal((await server.createAgent().fetch(thing, given)).status, 200);
  });

  test('A resource that fails is not asked again', async () => {
    server.answers(RESOURCE, { status: 0 });
    await assert.rejects(server.createAgent().fetch(thing, given), TypeError);
    server.answers(RESOURCE, { status: 503, headers: { 'Retry-After': '1' } });
    assert.equal((await server.createAgent().fetch(thing, given)).status, 503);
    assert.equal(server.times(RESOURCE), 2);
  });
});

describe('Mix-ups', () => {
  const metadata = (members: object) => ({
    status: 200,
    body: { issuer: server.url, token_endpoint: `${server.url}/oauth/token`, ...members },
  });
  for (const [name, members, code] of [
    ['another issuer', { issuer: 'https://other.example.com' }, 'misconfigured'],
    ['its issuer with a slash', { issuer: `${server.url}/` }, 'misconfigured'],
    ['no issuer', { issuer: undefined }, 'misconfigured'],
    ['an endpoint elsewhere', { token_endpoint: `${other.url}/oauth/token` }, 'protocol'],
    ['an endpoint without TLS', { token_endpoint: 'http://example.com/oauth/token' }, 'protocol'],
    ['an endpoint that is a script', { token_endpoint: 'javascript:alert(1)' }, 'protocol'],
    ['no endpoint', { token_endpoint: undefined }, 'protocol'],
    ['a list of endpoints', { token_endpoint: [`${server.url}/oauth/token`] }, 'protocol'],
  ] as const) {
    test(`A broker whose metadata names ${name} gets nothing`, async () => {
      server.answers(METADATA, metadata(members));
      assert.equal(await codeOf(server.createAgent().token(given)), code);
      assert.deepEqual([server.lines(), other.lines()], [[METADATA], []]);
    });
  }

  test('Metadata without an end, or that is none, is no metadata', async () => {
    for (const body of ['x'.repeat(100_000), '[]', 'null', '{', '"a"']) {
      server.answers(METADATA, { status: 200, body });
      assert.equal(await codeOf(server.createAgent().token(given)), 'misconfigured');
    }
  });

  test('A broker that redirects is not followed', async () => {
    server.answers(METADATA, { status: 302, headers: { Location: `${other.url}/` } });
    assert.equal(await codeOf(server.createAgent().token(given)), 'protocol');
    server.reset();
    server.answers(TOKEN, { status: 307, headers: { Location: `${other.url}/oauth/token` } });
    assert.equal(await codeOf(server.createAgent().token(given)), 'protocol');
    assert.deepEqual([server.times(TOKEN), other.lines()], [1, []]);
  });

  for (const [name, members, code] of [
    ['takes tokens of others', { authorization_servers: ['https://other.example.com'] }, 'misconfigured'],
    ['names no broker', { authorization_servers: undefined }, 'misconfigured'],
    ['is about a neighbour', { resource: 'https://bank.example.com' }, 'protocol'],
    ['is about another path', { resource: `${server.url}/th` }, 'protocol'],
    ['is about nothing', { resource: undefined }, 'protocol'],
  ] as const) {
    test(`A resource whose metadata ${name} gets no token`, async () => {
      server.answers(RESOURCE_METADATA, {
        status: 200,
        body: { resource: server.url, authorization_servers: [server.url], ...members },
      });
      assert.equal(await codeOf(server.createAgent().fetch(thing)), code);
      assert.equal(server.times(TOKEN), 0);
      assert.ok(server.asked.every(({ headers }) => headers.authorization === undefined));
    });
  }

  test('A resource that says that its metadata is elsewhere is not believed', async () => {
    for (const url of [`${other.url}/metadata`, 'http://example.com/', 'file:///etc/passwd', '']) {
      server.answers(RESOURCE, { status: 401, headers: challenge('x', `, resource_metadata="${url}"`) });
      assert.equal(await codeOf(server.createAgent().fetch(thing)), 'protocol', url);
    }
    assert.deepEqual(other.lines(), []);
  });

  test('A 401 of somebody who has no metadata is his answer', async () => {
    server.answers(RESOURCE, { status: 401, headers: { 'WWW-Authenticate': 'Basic realm="x"' } });
    server.answers(RESOURCE_METADATA, { status: 404 });
    assert.equal((await server.createAgent().fetch(thing)).status, 401);
    assert.equal(server.times(TOKEN), 0);
  });
});

describe('Answers that are none', () => {
  for (const [name, members] of [
    ['no token', { access_token: undefined }],
    ['a token with a line end', { access_token: 'a\r\nX-Evil: 1' }],
    ['a bearer token', { token_type: 'Bearer' }],
    ['no type', { token_type: undefined }],
    ['a life of text', { expires_in: '60' }],
    ['a life that is over', { expires_in: -1 }],
    ['a life of years', { expires_in: 1e9 }],
  ] as const) {
    test(`A broker that answers with ${name} is told off`, async () => {
      server.answers(TOKEN, { status: 200, body: tokenAnswer(members) });
      assert.equal(await codeOf(server.createAgent().fetch(thing, given)), 'protocol');
      assert.equal(server.times(RESOURCE), 0);
    });
  }

  test('An error that nobody knows is no reason to go on, and its words are kept short', async () => {
    const words = `\u001b[31mred\nline ${'x'.repeat(10_000)}`;
    server.answers(TOKEN, {
      status: 418,
      body: { error: '__proto__', error_description: words, hint: words },
    });
    const error = await refusalOf(server.createAgent().token(given));
    assert.deepEqual([error.code, error.brokerCode, error.status], ['protocol', '__proto__', 418]);
    assert.ok(error.message.length < 600 && !/\p{C}/u.test(error.message + error.hint));
  });
});

describe('Clocks', () => {
  const skewed = (minutes: number) => {
    const clock = {
      milliseconds: () => Date.now() + minutes * 60_000,
      monotonicMilliseconds: () => performance.now(),
      wait: async () => undefined,
    };
    return server.createAgent({ clock });
  };
  const claimsOf = (jwt: string) => JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString());

  for (const minutes of [-10, -2, 2, 10]) {
    test(`One that is ${minutes} minutes off is put right by the broker's answers`, async () => {
      const response = await skewed(minutes).fetch(thing, given);
      assert.equal(response.status, 200);
      const [asked] = server.asked.filter(({ line }) => line === TOKEN);
      const [shown] = server.asked.filter(({ line }) => line === RESOURCE);
      const assertion = new URLSearchParams(asked?.body).get('client_assertion') ?? '';
      for (const jwt of [assertion, String(asked?.headers.dpop), String(shown?.headers.dpop)]) {
        assert.ok(Math.abs(claimsOf(jwt).iat - Date.now() / 1_000) < 30);
      }
    });
  }

  test('One that jumps while it runs costs one request more at most', async () => {
    let jumped = 0;
    const agent = server.createAgent({
      clock: {
        milliseconds: () => Date.now() + jumped,
        monotonicMilliseconds: () => performance.now(),
        wait: async () => undefined,
      },
    });
    await agent.token(given);
    jumped = 3_600_000;
    assert.equal((await agent.fetch(thing, given)).status, 200);
    assert.equal(server.minted(), 2, 'by its wall clock the token is over');
    for (const { line, body } of server.asked) {
      if (line !== TOKEN) continue;
      const { iat } = claimsOf(new URLSearchParams(body).get('client_assertion') ?? '');
      assert.ok(Math.abs(iat - Date.now() / 1_000) < 30);
    }
  });

  test('A broker that says the time only when it refuses is asked once more', async () => {
    server.answers(METADATA, {
      status: 200,
      headers: { Date: 'unknown' },
      body: { issuer: server.url, token_endpoint: `${server.url}/oauth/token` },
    });
    server.answers(TOKEN, ({ body }) => {
      const { iat } = claimsOf(new URLSearchParams(body).get('client_assertion') ?? '');
      const isNow = Math.abs(iat - Date.now() / 1_000) < 10;
      return isNow
        ? { status: 200, body: tokenAnswer() }
        : { status: 401, body: { error: 'invalid_client' } };
    });
    assert.equal((await skewed(-8).fetch(thing, given)).status, 200);
    assert.equal(server.times(TOKEN), 2);
  });

  test('One that is hours off is a person’s business', async () => {
    server.answers(TOKEN, { status: 401, body: { error: 'invalid_client' } });
    const error = await refusalOf(skewed(180).token(given));
    assert.equal(error.code, 'clock');
    assert.match(error.message, /The clock here is 108\d\d s ahead of the broker's/);
    assert.equal(server.times(TOKEN), 1);
  });
});

describe('The life of a token', () => {
  test('The next one is got ahead of its end, while the old one serves, and once for a hundred callers', async () => {
    const agent = server.createAgent();
    const call = async () => {
      const response = await agent.fetch(thing, given);
      return ((await response.json()) as { authorization: string }).authorization;
    };
    assert.equal(await call(), 'DPoP token-1');
    agent.pass(46_000); // with this randomness it is renewed at 46.5 s
    assert.equal(await call(), 'DPoP token-1');
    agent.pass(1_000);
    const shown = await Promise.all(Array.from({ length: 100 }, call));
    assert.ok(shown.includes('DPoP token-1'), 'nobody waits');
    assert.equal(await call(), 'DPoP token-2');
    agent.pass(58_500);
    assert.deepEqual([...new Set(await Promise.all(Array.from({ length: 100 }, call)))], ['DPoP token-3']);
    assert.equal(server.minted(), 3);
  });

  test('A broker that is away when it is asked ahead of the end disturbs nobody', async () => {
    const agent = server.createAgent();
    await agent.fetch(thing, given);
    server.answers(TOKEN, { status: 0 });
    for (let second = 0; second < 55; second += 1) {
      agent.pass(1_000);
      assert.equal((await agent.fetch(thing, given)).status, 200);
    }
    const tries = server.times(TOKEN);
    assert.ok(tries > 1 && tries <= 21, `${tries} tries`);
    agent.pass(10_000);
    assert.equal(await codeOf(agent.fetch(thing, given)), 'unavailable');
  });

  test('Closing waits for a broker that does not answer no longer than it is told', async () => {
    const agent = server.createAgent();
    await agent.token(given);
    server.answers(END, { status: 503 });
    await agent.close({ withinMilliseconds: 200 });
    assert.ok(server.times(END) >= 1);
    assert.equal(await codeOf(agent.token(given)), 'closed');
  });
});
