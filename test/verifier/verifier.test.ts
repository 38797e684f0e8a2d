import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { createVerifier } from '../../src/verifier/index.ts';
import { newSessionKey } from '../test-agent.ts';
import { INTROSPECT, newSigningKey, sendJson } from './fake-issuer.ts';
import { ACTION, AUDIENCE, claimsOf, createFixture, outcomeOf } from './fixture.ts';

const world = await createFixture();
after(() => world.stop());
const { token, proof, request, verify } = world;

test('A good token with a good proof passes, and its claims come back', async () => {
  const verification = await verify();
  assert.ok(verification.granted);
  assert.equal(verification.claims.client_id, 'report-writer');
  assert.equal(verification.claims.epoch, 7);
  assert.equal(verification.call, null);
  assert.deepEqual(verification.headers, {});
});

test('Proofs by Ed25519 keys pass under both names of the algorithm', async () => {
  const session = newSessionKey('ed25519');
  for (const alg of ['EdDSA', 'Ed25519']) {
    const accessToken = token({ claims: { cnf: { jkt: session.jkt } } });
    assert.equal(
      outcomeOf(await verify(request(accessToken, proof(accessToken, { header: { alg } }, session)))),
      'ok',
    );
  }
});

describe('The token (RFC 9068 §4)', () => {
  const stranger = newSigningKey('key-1');
  const cases: [string, () => string, string][] = [
    ['typ AT+JWT', () => token({ header: { typ: 'AT+JWT' } }), 'ok'],
    ['typ application/at+jwt', () => token({ header: { typ: 'application/at+jwt' } }), 'ok'],
    ['the algorithm called Ed25519', () => token({ header: { alg: 'Ed25519' } }), 'ok'],
    ['claims nobody knows', () => token({ claims: { act: { sub: 'x' } } }), 'ok'],
    ['typ JWT', () => token({ header: { typ: 'JWT' } }), 'token_type'],
    ['no typ', () => token({ header: { typ: undefined } }), 'token_type'],
    ['a proof as token', () => proof('x'), 'token_type'],
    [
      'a client assertion as token',
      () => token({ header: { typ: 'client-authentication+jwt' } }),
      'token_type',
    ],
    ['alg none', () => token({ header: { alg: 'none' } }), 'token_algorithm'],
    ['alg HS256', () => token({ header: { alg: 'HS256' } }), 'token_algorithm'],
    ['alg ES256', () => token({ header: { alg: 'ES256' } }), 'token_algorithm'],
    ['an unknown kid', () => token({ header: { kid: 'key-2' } }), 'token_key_unknown'],
    ['no kid', () => token({ header: { kid: undefined } }), 'token_key_unknown'],
    ['a kid that is a path', () => token({ header: { kid: '../../etc/passwd' } }), 'token_key_unknown'],
    ['a kid of the prototype', () => token({ header: { kid: '__proto__' } }), 'token_key_unknown'],
    ['another key under the same kid', () => token({ key: stranger.privateKey }), 'token_signature'],
    [
      'its own key in the header',
      () => token({ key: stranger.privateKey, header: { jwk: stranger.jwk } }),
      'token_signature',
    ],
    ['jku', () => token({ header: { jku: `${world.issuer.url}/evil` } }), 'token_malformed'],
    ['crit', () => token({ header: { crit: ['exp'] } }), 'token_malformed'],
    ['four parts', () => `${token()}.x`, 'token_malformed'],
    ['no JWT at all', () => 'opaque-token', 'token_malformed'],
    ['another issuer', () => token({ claims: { iss: 'https://evil.example.com' } }), 'token_issuer'],
    ['the issuer with a slash', () => token({ claims: { iss: `${world.issuer.url}/` } }), 'token_issuer'],
    ['another audience', () => token({ claims: { aud: 'https://storage.example.com' } }), 'token_audience'],
    ['the audience with a slash', () => token({ claims: { aud: `${AUDIENCE}/` } }), 'token_audience'],
    ['a list of audiences', () => token({ claims: { aud: [AUDIENCE, 'https://b'] } }), 'token_audience'],
    ['no audience', () => token({ claims: { aud: undefined } }), 'token_audience'],
    ['no cnf', () => token({ claims: { cnf: undefined } }), 'token_unbound'],
    ['an empty cnf', () => token({ claims: { cnf: {} } }), 'token_unbound'],
    ['a certificate in cnf', () => token({ claims: { cnf: { 'x5t#S256': 'x' } } }), 'token_unbound'],
    ['no epoch', () => token({ claims: { epoch: undefined } }), 'token_claims'],
    ['no session', () => token({ claims: { sid: undefined } }), 'token_claims'],
    ['no scope', () => token({ claims: { scope: undefined } }), 'token_claims'],
    ['a list as scope', () => token({ claims: { scope: [ACTION] } }), 'token_claims'],
    ['exp as text', () => token({ claims: { exp: String(world.now() + 60) } }), 'token_claims'],
    ['exp 1e308', () => token({ claims: { exp: 1e308 } }), 'token_claims'],
    ['exp now', () => token({ claims: { exp: world.now() } }), 'token_time'],
    [
      'exp in the past',
      () => token({ claims: { iat: world.now() - 900, exp: world.now() - 1 } }),
      'token_time',
    ],
    [
      'iat in a minute',
      () => token({ claims: { iat: world.now() + 60, exp: world.now() + 120 } }),
      'token_time',
    ],
    ['a life of a day', () => token({ claims: { exp: world.now() + 86_400 } }), 'token_time'],
  ];
  for (const [name, make, expected] of cases) {
    test(`${name}: ${expected}`, async () => {
      const accessToken = make();
      const questions = world.issuer.questionsTo(INTROSPECT);
      const verification = await verify(request(accessToken));
      assert.equal(verification.granted ? 'ok' : verification.reason, expected);
      if (verification.granted) return;
      assert.equal(verification.code, 'invalid_token');
      assert.equal(
        world.issuer.questionsTo(INTROSPECT),
        questions,
        'the broker is not asked about a bad token',
      );
    });
  }
});

describe('The action', () => {
  const scopeTo = (scope: string) => request(token({ claims: { scope } }));

  test('One of several actions of the token is enough', async () => {
    assert.equal(outcomeOf(await verify(scopeTo(`a:b:c ${ACTION} d:e:f`))), 'ok');
  });

  test('Another action, a prefix and a wildcard are not', async () => {
    for (const scope of ['db:read:orders', 'db:read', `${ACTION}s`, '*', 'db:*', ACTION.toUpperCase(), '']) {
      const verification = await verify(scopeTo(scope));
      assert.equal(outcomeOf(verification), 'insufficient_scope action_not_covered', scope);
      assert.ok(!verification.granted);
      assert.equal(verification.status, 403);
      assert.match(verification.headers['WWW-Authenticate'] ?? '', new RegExp(`scope="${ACTION}"`));
    }
  });
});

describe('The life of the token', () => {
  test('A token that the broker calls inactive is refused in the words of one that expired', async () => {
    const revoked = token();
    world.issuer.revoked.add(String(claimsOf(revoked).jti));
    const verification = await verify(request(revoked));
    const expired = await verify(request(token({ claims: { exp: world.now() } })));
    assert.equal(outcomeOf(verification), 'invalid_token token_inactive');
    assert.ok(!verification.granted && !expired.granted);
    assert.equal(verification.status, expired.status);
    assert.equal(verification.body, expired.body);
    assert.deepEqual(verification.headers, expired.headers);
  });

  test('The question carries a fresh assertion by the resource server for this issuer', async () => {
    world.issuer.asked.length = 0;
    await verify();
    await verify();
    const assertions = world.issuer.asked.map(
      ({ body }) => new URLSearchParams(body).get('client_assertion') ?? '',
    );
    const claims = assertions.map(claimsOf);
    assert.equal(assertions.length, 2);
    assert.equal(claims[0]?.iss, AUDIENCE);
    assert.equal(claims[0]?.sub, AUDIENCE);
    assert.equal(claims[0]?.aud, world.issuer.url);
    assert.notEqual(claims[0]?.jti, claims[1]?.jti);
  });

  test('A token that expires while the broker thinks is refused', async () => {
    const own = await createFixture();
    const accessToken = own.token({ claims: { exp: own.now() + 2 } });
    const asked = own.request(accessToken);
    own.issuer.answerWith(INTROSPECT, (response) => {
      own.clock.advanceSeconds(3);
      sendJson(response, { active: true, ...claimsOf(accessToken) });
    });
    assert.equal(outcomeOf(await own.verify(asked)), 'invalid_token token_time');
    await own.stop();
  });
});

test('After close everything is refused with 503, and close waits for what is under way', async () => {
  const own = await createFixture();
  const order: string[] = [];
  let release = (): void => {};
  own.issuer.answerWith(INTROSPECT, async (response) => {
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"active":false}');
  });
  const underWay = own.verify().then(() => order.push('decided'));
  while (own.issuer.questionsTo(INTROSPECT) < 1) await new Promise(setImmediate);
  const closing = own.verifier.close().then(() => order.push('closed'));
  assert.equal(outcomeOf(await own.verify()), 'temporarily_unavailable verifier_closed');
  release();
  await Promise.all([underWay, closing]);
  assert.deepEqual(order, ['decided', 'closed']);
  await own.stop();
});

test('Every mistake in the options is told at once, and no key is shown', () => {
  const secret = randomBytes(32).toString('base64url');
  const options = {
    issuer: 'http://broker.example.com',
    resource: 'customers',
    publicUrl: 'https://a/?b',
    noncePolicy: 'sometimes',
    timeoutMilliseconds: 0,
    key: { kty: 'EC', kid: 'x', d: secret },
  };
  assert.throws(
    () => createVerifier(options as never),
    ({ message }: Error) =>
      /5 mistake/.test(message) && /publicUrl/.test(message) && !message.includes(secret),
  );
  assert.throws(
    () => createVerifier({ ...world.options, key: options.key as never }),
    (error: Error) => error.message === 'key: it is not a private JWK' && error.cause === undefined,
  );
});
