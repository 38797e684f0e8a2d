import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { FetchLike } from '../../src/sdk/index.ts';
import { until } from '../broker-process.ts';
import {
  challenge,
  codeOf,
  METADATA,
  RESOURCE,
  RESOURCE_METADATA,
  refusalOf,
  startHostileServer,
  TOKEN,
  tokenAnswer,
} from './hostile-server.ts';

const server = await startHostileServer();
const thing = `${server.url}/thing`;
const given = { actions: ['a:b:c'] };
beforeEach(() => server.reset());

test('A caller who goes away is heard also when nothing but the signal is left of the request', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const seen: AbortSignal[] = [];
  const fetch: FetchLike = (_url, { signal }) => {
    if (signal) seen.push(signal);
    return new Promise(() => undefined);
  };
  const leaving = new AbortController();
  const agent = server.createAgent({ fetch });
  agent.fetch(thing, { signal: leaving.signal }).catch(() => undefined);
  await until(() => seen.length > 0, 'the request goes out');
  await new Promise(setImmediate); // what the last turn of the loop holds is not collected
  collect();
  leaving.abort();
  assert.deepEqual(
    seen.map(({ aborted }) => aborted),
    [true],
  );
});

describe('Loops (SDK-02)', () => {
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

  test('A broker that never knows who asks is asked once', async () => {
    server.answers(TOKEN, { status: 401, body: { error: 'invalid_client' } });
    assert.equal(await codeOf(server.createAgent().token(given)), 'misconfigured');
    assert.equal(server.times(TOKEN), 1);
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

describe('Waiting (SDK-02)', () => {
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

  test('An answer that breaks off is none: it is asked for again, and in the end somebody says why', async () => {
    const cut = { status: 200, body: tokenAnswer(), isCut: true };
    for (const line of [METADATA, TOKEN]) {
      server.reset();
      server.answers(line, cut);
      const error = await refusalOf(server.createAgent().fetch(thing));
      assert.deepEqual([error.code, server.times(line)], ['unavailable', 4]);
      assert.match(error.message, /cannot be reached \(\w+\)/);
    }
    server.reset();
    server.answers(RESOURCE_METADATA, cut);
    const error = await refusalOf(server.createAgent().fetch(thing));
    assert.match(`${error.code}: ${error.message}`, /^unavailable: The metadata of .* cannot be had \(\w+\)/);
  });

  test('A broker that recovers is noticed by nobody', async () => {
    let left = 3;
    server.answers(TOKEN, () => {
      left -= 1;
      if (left < 0) return { status: 200, body: tokenAnswer() };
      return { status: [503, 200, 0][left] ?? 0, body: tokenAnswer(), isCut: left === 1 };
    });
    assert.equal((await server.createAgent().fetch(thing, given)).status, 200);
  });

  test('A resource that fails, or has enough, is not asked again', async () => {
    server.answers(RESOURCE, { status: 0 });
    await assert.rejects(server.createAgent().fetch(thing, given), TypeError);
    for (const status of [429, 503]) {
      server.answers(RESOURCE, { status, headers: { 'Retry-After': '1' } });
      assert.equal((await server.createAgent().fetch(thing, given)).status, status);
    }
    assert.equal(server.times(RESOURCE), 3);
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
