/** Clocks that are off, and tokens that end. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import {
  codeOf,
  END,
  METADATA,
  RESOURCE,
  refusalOf,
  startHostileServer,
  TOKEN,
  tokenAnswer,
} from './hostile-server.ts';

const server = await startHostileServer();
const thing = `${server.url}/thing`;
const given = { actions: ['a:b:c'] };
beforeEach(() => server.reset());

describe('Clocks (SDK-06)', () => {
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
  test('The next one is got ahead of its end, while the old one serves, and once for a hundred callers (SDK-10)', async () => {
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

  test('Closing waits for a key that does not come, or does not sign, no longer than it is told', async () => {
    const never = new Promise<never>(() => undefined);
    for (const key of [never, { alg: 'ES256', sign: () => never } as const]) {
      const agent = server.createAgent({ key });
      await assert.rejects(agent.token({ ...given, signal: AbortSignal.timeout(50) }), {
        name: 'TimeoutError',
      });
      await agent.close({ withinMilliseconds: 50 });
      assert.equal(await codeOf(agent.token(given)), 'closed');
    }
  });
});
