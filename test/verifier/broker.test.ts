import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { describe, test } from 'node:test';
import { createVerifier, type VerifierOptions } from '../../src/verifier/index.ts';
import { until } from '../broker-process.ts';
import { CONSUME, JWKS, LEASE, LEDGER_JWKS, METADATA, newSigningKey, sendJson } from './fake-issuer.ts';
import { ACTION, createFixture, type Fixture, type FixtureOptions, outcomeOf } from './fixture.ts';

async function using<Result>(
  work: (world: Fixture) => Promise<Result>,
  options: Partial<VerifierOptions> = {},
  prepare: FixtureOptions['prepare'] = () => undefined,
): Promise<Result> {
  const world = await createFixture(options, { prepare });
  try {
    return await work(world);
  } finally {
    await world.stop();
  }
}

const UNUSABLE = 'temporarily_unavailable broker_answer_unusable';
const UNREACHABLE = 'temporarily_unavailable broker_unreachable';
const REFUSES = 'temporarily_unavailable broker_refuses';

/** A request that takes a question to the broker: its token is for one call. */
const useOnce = ({ verify, request, requestToken }: Fixture) =>
  verify(request(requestToken({ method: 'GET' })));

/** Why no lease is to be had. */
const troubleOf = ({ verifier, clock }: Fixture) => {
  clock.advanceSeconds(3); // another lease is needed
  return verifier.ready().then(
    () => 'ok',
    ({ message }: Error) => message.replace(/^.*cannot be asked: /, 'temporarily_unavailable '),
  );
};

describe('When the broker cannot be asked', () => {
  test('Nobody ever listened: 503 with Retry-After and a reason, and no challenge', () =>
    using(
      async ({ verify }) => {
        const verification = await verify();
        assert.equal(outcomeOf(verification), UNREACHABLE);
        assert.ok(!verification.granted);
        assert.equal(verification.status, 503);
        assert.equal(verification.headers['Retry-After'], '1');
        assert.equal(verification.headers['WWW-Authenticate'], undefined);
        assert.match(JSON.parse(verification.body).hint, /broker cannot be asked/);
      },
      { issuer: 'http://127.0.0.1:1' },
    ));

  for (const [sensitivity, seconds] of [
    ['HIGH', 3],
    ['MED', 30],
    ['LOW', 300],
  ] as const) {
    test(`It went away: ${sensitivity} passes for ${seconds} s more, and what spends a token stops at once`, () =>
      using(
        async (world) => {
          const { issuer, verify, clock } = world;
          assert.equal(outcomeOf(await verify()), 'ok');
          await issuer.stop();
          assert.equal(outcomeOf(await useOnce(world)), UNREACHABLE);
          clock.advanceSeconds(seconds - 0.1);
          assert.equal(outcomeOf(await verify()), 'ok');
          clock.advanceSeconds(0.1);
          const verification = await verify();
          assert.equal(outcomeOf(verification), 'temporarily_unavailable lease_expired');
          assert.equal(verification.headers['Retry-After'], '1');
        },
        {},
        (issuer) => {
          issuer.lease.catalogue = { version: 1, actions: { [ACTION]: sensitivity } };
        },
      ));
  }

  test('L15: it freezes when the keys are about to age, and LOW goes on to the end of its lease', () =>
    using(
      async (world) => {
        const { issuer, verifier, verify, clock, token, request } = world;
        assert.equal(outcomeOf(await verify()), 'ok');
        for (const path of [JWKS, LEDGER_JWKS]) issuer.answerWith(path, () => undefined);
        clock.advanceSeconds(295);
        await verifier.ready();
        for (const path of [LEASE, METADATA]) issuer.answerWith(path, () => undefined);
        clock.advanceSeconds(6);
        const ask = async () => outcomeOf(await verifier.verify(request(), { action: ACTION }));
        assert.equal(await ask(), 'ok');
        clock.advanceSeconds(293.9);
        assert.equal(await ask(), 'ok');
        assert.equal(verifier.status().serving.LOW, 'granted');
        assert.match(await outcomeOfKid('made-up'), /^temporarily_unavailable broker_unreachable$/);
        clock.advanceSeconds(0.1);
        assert.equal(await ask(), 'temporarily_unavailable lease_expired');

        async function outcomeOfKid(kid: string): Promise<string> {
          return outcomeOf(await verifier.verify(request(token({ header: { kid } })), { action: ACTION }));
        }
      },
      { timeoutMilliseconds: 1_000 },
    ));

  test('A signing key that was revoked is dead, also while the old set of keys is all there is', () =>
    using(async ({ issuer, verify, clock }) => {
      assert.equal(outcomeOf(await verify()), 'ok');
      issuer.answerWith(JWKS, (response) => sendJson(response, {}, { status: 500 }));
      clock.advanceSeconds(400);
      assert.equal(outcomeOf(await verify()), 'ok');
      issuer.revoke({ kind: 'signing-key', id: issuer.signer.kid });
      assert.equal(outcomeOf(await verify()), 'invalid_token token_revoked');
    }));

  test('A fetch of somebody else’s rejects with a plain Error: 503, never an exception', async () => {
    let isBroken = false;
    await using(
      async (world) => {
        isBroken = true;
        assert.equal(outcomeOf(await useOnce(world)), UNREACHABLE);
        assert.equal(await troubleOf(world), UNREACHABLE);
      },
      {
        fetch: (...asked) => (isBroken ? Promise.reject(new Error('socket hang up')) : fetch(...asked)),
      },
    );
  });

  test('It accepts and never answers: 503 after the time limit', () =>
    using(
      async (world) => {
        world.issuer.answerWith(CONSUME, () => undefined);
        assert.equal(outcomeOf(await useOnce(world)), UNREACHABLE);
        world.issuer.answerWith(LEASE, () => undefined);
        assert.equal(await troubleOf(world), UNREACHABLE);
      },
      { timeoutMilliseconds: 50 },
    ));

  test('It closes in the middle of its answer: 503', () =>
    using(async (world) => {
      for (const path of [CONSUME, LEASE]) {
        world.issuer.answerWith(path, (response) => {
          response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': 1_000 });
          response.write('{"answer":"');
          setImmediate(() => response.destroy());
        });
      }
      assert.equal(await troubleOf(world), UNREACHABLE);
      assert.equal(outcomeOf(await useOnce(world)), UNREACHABLE);
    }));

  const answers: [what: string, answer: Parameters<Fixture['issuer']['answerWith']>[1], outcome: string][] = [
    ['503', (response) => sendJson(response, {}, { status: 503 }), REFUSES],
    ['429', (response) => sendJson(response, {}, { status: 429 }), REFUSES],
    [
      '500 with a page',
      (response) => void response.writeHead(500, { 'Content-Type': 'text/html' }).end('<p>'),
      REFUSES,
    ],
    [
      '401, since it does not know this server',
      (response) => sendJson(response, { error: 'invalid_client' }, { status: 401 }),
      REFUSES,
    ],
    ['400', (response) => sendJson(response, { active: true }, { status: 400 }), REFUSES],
    [
      '302',
      (response) => sendJson(response, {}, { status: 302, headers: { Location: '/elsewhere' } }),
      UNREACHABLE,
    ],
    ['204', (response) => void response.writeHead(204).end(), UNUSABLE],
    [
      'a page',
      (response) => void response.writeHead(200, { 'Content-Type': 'text/html' }).end('{"active":true}'),
      UNUSABLE,
    ],
    ['no media type', (response) => void response.writeHead(200).end('{"active":true}'), UNUSABLE],
    ['an empty object', (response) => sendJson(response, {}), UNUSABLE],
    ['a list', (response) => sendJson(response, [{ active: true }]), UNUSABLE],
    ['a yes about nothing', (response) => sendJson(response, { jti: 'x', answer: 'y' }), UNUSABLE],
    [
      'one member twice',
      (response) =>
        void response
          .writeHead(200, { 'Content-Type': 'application/json' })
          .end('{"jti":"x","jti":"y","answer":"z","answer":"z"}'),
      UNUSABLE,
    ],
    [
      'more than it may have',
      (response) => sendJson(response, { jti: 'x', answer: 'x'.repeat(2_300_000) }),
      UNUSABLE,
    ],
  ];
  for (const [what, answer, expected] of answers) {
    test(`It answers ${what}: ${expected}`, () =>
      using(async (world) => {
        const { issuer } = world;
        issuer.answerWith(CONSUME, answer);
        assert.equal(outcomeOf(await useOnce(world)), expected);
        issuer.answerWith(LEASE, answer);
        assert.equal(await troubleOf(world), expected);
        issuer.answerWith(CONSUME, null);
        issuer.answerWith(LEASE, null);
        assert.equal(outcomeOf(await useOnce(world)), 'ok');
      }));
  }

  test('Its Retry-After is passed on, within bounds', () =>
    using(async (world) => {
      for (const [told, passedOn] of [
        ['7', '7'],
        ['86400', '60'],
        ['soon', '1'],
        ['-1', '1'],
      ] as const) {
        world.issuer.answerWith(CONSUME, (response) =>
          sendJson(response, {}, { status: 503, headers: { 'Retry-After': told } }),
        );
        const verification = await useOnce(world);
        assert.equal(verification.headers['Retry-After'], passedOn);
      }
    }));

  test('No more questions wait than the bound, so that a slow broker fills no memory', () =>
    using(async (world) => {
      const { issuer, verifier, request, requestToken } = world;
      issuer.answerWith(CONSUME, () => undefined);
      const waiting = Array.from({ length: 520 }, async () =>
        outcomeOf(await verifier.verify(request(requestToken({ method: 'GET' })), { action: ACTION })),
      );
      const outcomes = await Promise.race([
        Promise.all(waiting.slice(512)),
        Promise.all(waiting).then(() => assert.fail('all waited')),
      ]);
      assert.deepEqual(new Set(outcomes), new Set(['temporarily_unavailable questions_exhausted']));
      await issuer.stop();
      assert.deepEqual(new Set(await Promise.all(waiting.slice(0, 512))), new Set([UNREACHABLE]));
    }));
});

describe('The metadata of the issuer', () => {
  const cases: [what: string, change: Record<string, unknown>, outcome: string][] = [
    ['of another issuer', { issuer: 'https://evil.example.com' }, UNUSABLE],
    ['with no issuer', { issuer: undefined }, UNUSABLE],
    ['with keys on another origin', { jwks_uri: 'https://evil.example.com/jwks' }, UNUSABLE],
    ['with keys of the ledger on another origin', { ledger_jwks_uri: 'https://evil.example.com/' }, UNUSABLE],
    ['with no keys', { jwks_uri: undefined }, UNUSABLE],
    ['with members nobody knows', { more: [1] }, 'ok'],
  ];
  for (const [what, change, expected] of cases) {
    test(`${what}: ${expected}`, () =>
      using(
        async ({ verify }) => {
          assert.equal(outcomeOf(await verify()), expected);
        },
        {},
        (issuer) => Object.assign(issuer.metadata, change),
      ));
  }

  test('An issuer with a slash at the end is another issuer', () =>
    using(async ({ issuer, options, request }) => {
      const verifier = createVerifier({ ...options, issuer: `${issuer.url}/` });
      assert.equal(outcomeOf(await verifier.verify(request(), { action: ACTION })), UNUSABLE);
      await verifier.close();
    }));

  test('The well-known part stands between the host and the path of an issuer', () =>
    using(async ({ issuer, options, request }) => {
      const verifier = createVerifier({ ...options, issuer: `${issuer.url}/tenant` });
      await assert.rejects(verifier.ready());
      await verifier.verify(request(), { action: ACTION });
      assert.ok(issuer.asked.some(({ path }) => path === `${METADATA}/tenant`));
      await verifier.close();
    }));
});

describe('The keys of the issuer', () => {
  test('They are read once for many requests, also when these come together', () =>
    using(async ({ issuer, verify }) => {
      await Promise.all(Array.from({ length: 20 }, () => verify()));
      assert.equal(issuer.questionsTo(JWKS), 1);
      assert.equal(issuer.questionsTo(METADATA), 1);
    }));

  test('They are fetched anew with renewals, and no request ever waits for that', async () => {
    const requests = new AsyncLocalStorage<true>();
    let [waitedFor, fetched] = [0, 0];
    await using(
      async ({ issuer, verifier, request, clock }) => {
        for (let minutes = 0; minutes < 30; minutes += 1) {
          const outcome = await requests.run(true, async () =>
            outcomeOf(await verifier.verify(request(), { action: ACTION })),
          );
          assert.equal(outcome, 'ok', `after ${minutes} min`);
          const renewed = issuer.questions.length + 4;
          clock.advanceSeconds(60);
          await until(() => issuer.questions.length > renewed, 'leases are renewed');
        }
        assert.equal(waitedFor, 0);
        assert.ok(fetched > 0);
        const seen = issuer.questionsTo(JWKS);
        assert.ok(seen >= 6 && seen <= 15, `${seen} times in half an hour`);
      },
      {
        renewMilliseconds: 5,
        fetch: (...asked) => {
          fetched += 1;
          if (requests.getStore() === true) waitedFor += 1;
          return fetch(...asked);
        },
      },
    );
  });

  test('A new kid is looked for at once, and a flood of made-up ones only each ten seconds', () =>
    using(async ({ issuer, clock, token, verify, request }) => {
      await verify();
      clock.advanceSeconds(11);
      const second = newSigningKey('key-2');
      issuer.jwks.keys.push(second.jwk);
      const signed = token({ key: second.privateKey, header: { kid: 'key-2' } });
      assert.equal(outcomeOf(await verify(request(signed))), 'ok');
      assert.equal(issuer.questionsTo(JWKS), 2);
      await Promise.all(
        Array.from({ length: 50 }, (_, index) => verify(request(token({ header: { kid: `x${index}` } })))),
      );
      assert.equal(issuer.questionsTo(JWKS), 2);
    }));

  test('JWK-10: another key under a known kid counts only when the set has aged', () =>
    using(async ({ issuer, clock, token, verify, request }) => {
      await verify();
      const impostor = newSigningKey('key-1');
      issuer.jwks.keys.splice(0, 1, impostor.jwk, newSigningKey('key-2').jwk);
      const byImpostor = () => verify(request(token({ key: impostor.privateKey })));
      for (let seconds = 0; seconds < 280; seconds += 20) {
        clock.advanceSeconds(20);
        await verify(request(token({ header: { kid: 'made-up' } })));
        assert.equal(outcomeOf(await byImpostor()), 'invalid_token token_signature', `${seconds}`);
        assert.equal(outcomeOf(await verify()), 'ok');
      }
      clock.advanceSeconds(30);
      await verify();
      await until(async () => outcomeOf(await byImpostor()) === 'ok', 'the new set counts');
    }));

  test('A key that the issuer took back is gone when a look for another one shows it', () =>
    using(async ({ issuer, clock, token, verify, request }) => {
      assert.equal(outcomeOf(await verify()), 'ok');
      issuer.jwks.keys.splice(0, 1, newSigningKey('key-2').jwk);
      clock.advanceSeconds(11);
      await verify(request(token({ header: { kid: 'key-2' } })));
      assert.equal(outcomeOf(await verify()), 'invalid_token token_key_unknown');
    }));

  test('The set is fetched anew when half of the issuer’s max-age is over', () =>
    using(
      async ({ issuer, clock, verify }) => {
        await verify();
        clock.advanceSeconds(29);
        await verify();
        assert.equal(issuer.questionsTo(JWKS), 1);
        clock.advanceSeconds(2);
        await verify();
        await until(() => issuer.questionsTo(JWKS) === 2, 'it is fetched anew');
      },
      {},
      (issuer) =>
        issuer.answerWith(JWKS, (response) =>
          sendJson(response, issuer.jwks, { headers: { 'Cache-Control': 'public, max-age=60' } }),
        ),
    ));

  const [extra] = [newSigningKey('key-9')];
  const sets: [what: string, keys: (jwk: object) => object[], outcome: string][] = [
    [
      'unknown kinds beside ours',
      (jwk) => [
        { kty: 'AKP', alg: 'ML-DSA-44', pub: 'x', kid: 'a' },
        { kty: 'RSA', n: 'x', e: 'AQAB', kid: 'b' },
        jwk,
      ],
      'ok',
    ],
    [
      'the curve X25519 and a key for encryption beside ours',
      (jwk) => [{ kty: 'OKP', crv: 'X25519', x: 'x', kid: 'a' }, { ...extra?.jwk, use: 'enc' }, jwk],
      'ok',
    ],
    [
      'fifty keys',
      (jwk) => [...Array.from({ length: 49 }, (_, index) => newSigningKey(`k${index}`).jwk), jwk],
      'ok',
    ],
    [
      'JWK-08, fifty-one keys',
      (jwk) => [...Array.from({ length: 50 }, (_, index) => newSigningKey(`k${index}`).jwk), jwk],
      UNUSABLE,
    ],
    ['JWK-04, a symmetric key', (jwk) => [{ kty: 'oct', k: 'c2VjcmV0', kid: 'a' }, jwk], UNUSABLE],
    ['JWK-04, a symmetric key that hides its secret', (jwk) => [{ kty: 'oct', kid: 'a' }, jwk], UNUSABLE],
    ['a private key', (jwk) => [{ ...extra?.jwk, d: 'x' }, jwk], UNUSABLE],
    ['one kid twice', (jwk) => [{ ...extra?.jwk, kid: 'key-1' }, jwk], UNUSABLE],
    ['a key without kid', (jwk) => [{ ...jwk, kid: undefined }], 'invalid_token token_key_unknown'],
    ['a key for ES256 under our kid', (jwk) => [{ ...jwk, alg: 'ES256' }], 'invalid_token token_key_unknown'],
    ['no key', () => [], 'invalid_token token_key_unknown'],
  ];
  for (const [what, keys, expected] of sets) {
    test(`A set with ${what}: ${expected}`, () =>
      using(
        async ({ verify }) => {
          assert.equal(outcomeOf(await verify()), expected);
        },
        {},
        (issuer) => {
          issuer.jwks.keys = keys(issuer.signer.jwk);
        },
      ));
  }

  test('A set of a megabyte, a set that is none, and a set of another media type are refused', () =>
    using(
      async ({ issuer, verify, clock }) => {
        const big = { keys: [issuer.signer.jwk], filler: 'x'.repeat(1_000_000) };
        for (const answer of [big, { keys: 'x' }, {}, []]) {
          issuer.answerWith(JWKS, (response) => sendJson(response, answer));
          clock.advanceSeconds(2);
          assert.equal(outcomeOf(await verify()), UNUSABLE);
        }
        issuer.answerWith(JWKS, (response) => sendJson(response, issuer.jwks, { type: 'text/plain' }));
        clock.advanceSeconds(2);
        assert.equal(outcomeOf(await verify()), UNUSABLE);
        clock.advanceSeconds(2);
        issuer.answerWith(JWKS, (response) =>
          sendJson(response, issuer.jwks, { type: 'application/jwk-set+json' }),
        );
        assert.equal(outcomeOf(await verify()), 'ok');
      },
      {},
      (issuer) => issuer.answerWith(JWKS, (response) => sendJson(response, {})),
    ));

  test('After a failure nobody asks again for a second', () =>
    using(
      async ({ issuer, verify, clock }) => {
        const before = issuer.questionsTo(JWKS);
        clock.advanceSeconds(2);
        for (let count = 0; count < 10; count += 1) assert.equal(outcomeOf(await verify()), REFUSES);
        assert.equal(issuer.questionsTo(JWKS), before + 1);
        issuer.answerWith(JWKS, null);
        clock.advanceSeconds(2);
        assert.equal(outcomeOf(await verify()), 'ok');
      },
      {},
      (issuer) => issuer.answerWith(JWKS, (response) => sendJson(response, {}, { status: 500 })),
    ));
});

test('ready says what is wrong while there is no broker, and resolves once there is one', async () => {
  const silent = createServer((socket) => socket.destroy());
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const nowhere = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  await using(async ({ verifier, options }) => {
    await verifier.ready();
    const lost = createVerifier({ ...options, issuer: nowhere });
    await assert.rejects(lost.ready(), /cannot be asked: broker_unreachable/);
    await lost.close();
  });
  silent.close();
});

test('The log says once that the broker is gone and once that it is back, and names no token', async () => {
  const lines: string[] = [];
  const write = (level: string) => (details: object, message: string) => {
    lines.push(`${level} ${message} ${JSON.stringify(details)}`);
  };
  await using(
    async (world) => {
      world.issuer.answerWith(LEASE, (response) => sendJson(response, {}, { status: 401 }));
      const says = async (count: number) => {
        while (lines.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
      };
      await says(1);
      await troubleOf(world);
      world.issuer.answerWith(LEASE, null);
      await says(2);
      assert.match(lines[0] ?? '', /^warn the broker cannot be asked.*"broker_refuses","cause":"HTTP 401"/);
      assert.match(lines[1] ?? '', /^info the broker answers again/);
    },
    { log: { info: write('info'), warn: write('warn') }, renewMilliseconds: 10 },
  );
  assert.equal(lines.length, 2);
});
