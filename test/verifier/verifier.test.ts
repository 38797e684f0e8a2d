import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { createVerifier } from '../../src/verifier/index.ts';
import { newSessionKey } from '../test-agent.ts';
import { CONSUME, newSigningKey, sendJson } from './fake-issuer.ts';
import { ACTION, AUDIENCE, claimsOf, codeOf, createFixture, type Fixture, outcomeOf } from './fixture.ts';

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
      const verification = await verify(request(accessToken));
      assert.equal(verification.granted ? 'ok' : verification.reason, expected);
      if (verification.granted) return;
      assert.equal(verification.code, 'invalid_token');
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
  test('TIM-02: A revoked token is refused in the words of one that expired', async () => {
    const revoked = token();
    world.issuer.revoke({ kind: 'token', id: String(claimsOf(revoked).jti) });
    const verification = await verify(request(revoked));
    const expired = await verify(request(token({ claims: { exp: world.now() } })));
    assert.equal(outcomeOf(verification), 'invalid_token token_revoked');
    assert.ok(!verification.granted && !expired.granted);
    assert.equal(verification.status, expired.status);
    assert.equal(verification.body, expired.body);
    assert.deepEqual(verification.headers, expired.headers);
  });

  test('Whatever names it in the ledger kills it, and nothing else does', async () => {
    const old = claimsOf(token());
    const kills: [
      kind: 'token' | 'session' | 'agent' | 'subject' | 'zone' | 'resource' | 'action',
      id: unknown,
    ][] = [
      ['token', old.jti],
      ['session', old.sid],
      ['agent', old.client_id],
      ['subject', old.sub],
      ['zone', old.zone],
      ['resource', old.aud],
      ['action', 'db:read:customers'],
    ];
    for (const [kind, id] of kills) {
      const before = token({ claims: { jti: String(old.jti) } });
      world.issuer.revoke({ kind, id: `not-${id}` });
      assert.equal(outcomeOf(await verify(request(before))), 'ok', `another ${kind}`);
      world.issuer.revoke({ kind, id: String(id) });
      assert.equal(outcomeOf(await verify(request(before))), 'invalid_token token_revoked', kind);
      assert.equal(outcomeOf(await verify()), 'ok', 'what is minted later lives');
    }
    const before = token();
    world.issuer.revoke({ kind: 'all' });
    assert.equal(outcomeOf(await verify(request(before))), 'invalid_token token_revoked');
  });

  test('While a kill switch stands nothing passes, whatever epoch it carries; after its release new tokens do', async () => {
    const epoch = world.issuer.revoke({ kind: 'zone', id: 'analytics' }, { standing: true });
    const during = token({ claims: { epoch: epoch + 1_000 } });
    assert.equal(outcomeOf(await verify(request(during))), 'invalid_token token_revoked');
    world.issuer.ledger.append({ target: { kind: 'zone', id: 'analytics' }, releases: epoch });
    assert.equal(outcomeOf(await verify()), 'ok');
    const before = token({ claims: { epoch: epoch - 1 } });
    assert.equal(
      outcomeOf(await verify(request(before))),
      'invalid_token token_revoked',
      'old ones stay dead',
    );
  });

  test('GWY-30: a token that is remembered is asked again for everything that can change', async () => {
    const own = await createFixture({}, { actions: { [ACTION]: 'LOW', 'db:read:orders': 'LOW' } });
    const known = own.token();
    assert.equal(outcomeOf(await own.verify(own.request(known))), 'ok');
    const another = newSessionKey();
    const stolen = own.request(known, own.proof(known, {}, another));
    assert.equal(outcomeOf(await own.verify(stolen)), 'invalid_token token_bound_to_another_key');
    assert.equal(
      outcomeOf(await own.verify(own.request(known), { action: 'db:read:orders' })),
      'insufficient_scope action_not_covered',
    );
    const altered = `${known.slice(0, -2)}${known.endsWith('AA') ? 'BB' : 'AA'}`;
    assert.equal(codeOf(await own.verify(own.request(altered))), 'invalid_token');
    assert.equal(outcomeOf(await own.verify(own.request(known))), 'ok');
    own.issuer.revoke({ kind: 'session', id: 'ses_1' });
    assert.equal(outcomeOf(await own.verify(own.request(known))), 'invalid_token token_revoked');
    await own.stop();
  });

  test('A revoked signing key kills what it signed, whatever epoch a thief wrote', async () => {
    const own = await createFixture();
    own.issuer.revoke({ kind: 'signing-key', id: 'key-1' });
    const forged = own.token({ claims: { epoch: 1_000_000 } });
    assert.equal(outcomeOf(await own.verify(own.request(forged))), 'invalid_token token_revoked');
    await own.stop();
  });

  test('No request asks the broker anything, unless it spends a token', async () => {
    await verify();
    world.issuer.asked.length = 0;
    for (let count = 0; count < 50; count += 1) {
      assert.equal(outcomeOf(await world.verifier.verify(request(), { action: ACTION })), 'ok');
    }
    const asked = world.issuer.asked.filter(({ path }) => path !== '/v1/verifiers/current/lease');
    assert.deepEqual(asked, []);
  });

  test('What expires, or is revoked, or loses its lease while the broker thinks is refused (L16)', async () => {
    const meanwhile: [outcome: string, happens: (own: Fixture, jti: string) => void][] = [
      ['invalid_token token_time', (own) => own.clock.advanceSeconds(3)],
      ['temporarily_unavailable lease_expired', (own) => own.clock.advanceSeconds(301)],
    ];
    for (const [expected, happens] of meanwhile) {
      const own = await createFixture();
      const exp = own.now() + (expected.includes('time') ? 2 : 900);
      const accessToken = own.requestToken({ method: 'GET' }, { claims: { exp } });
      own.issuer.answerWith(CONSUME, (response, { body, path }) => {
        happens(own, '');
        sendJson(response, { jti: path.split('/').at(-2), consumed_at: 1, nonce: JSON.parse(body).nonce });
      });
      assert.equal(outcomeOf(await own.verify(own.request(accessToken))), expected);
      await own.stop();
    }
    const own = await createFixture();
    const accessToken = own.requestToken({ method: 'GET' });
    own.issuer.answerWith(CONSUME, async (response, { body, path }) => {
      const epoch = own.issuer.revoke({ kind: 'zone', id: 'analytics' });
      while (own.verifier.status().epoch < epoch) await new Promise(setImmediate);
      sendJson(response, { jti: path.split('/').at(-2), consumed_at: 1, nonce: JSON.parse(body).nonce });
    });
    assert.equal(outcomeOf(await own.verify(own.request(accessToken))), 'invalid_token token_revoked');
    await own.stop();
  });
});

test('After close everything is refused with 503, and close waits for what is under way and says good-bye', async () => {
  const own = await createFixture();
  const order: string[] = [];
  let release = (): void => {};
  own.issuer.answerWith(CONSUME, async (response) => {
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    sendJson(response, { code: 'token_spent' }, { type: 'application/problem+json', status: 409 });
  });
  const single = own.request(own.requestToken({ method: 'GET' }));
  const underWay = own.verify(single).then(() => order.push('decided'));
  while (own.issuer.asked.every(({ path }) => !path.endsWith('/consume'))) await new Promise(setImmediate);
  const closing = own.verifier.close().then(() => order.push('closed'));
  assert.equal(
    outcomeOf(await own.verifier.verify(own.request(), { action: ACTION })),
    'temporarily_unavailable verifier_closed',
  );
  assert.ok(
    own.issuer.questions.every(({ leaving }) => leaving !== true),
    'not before its last decision (L12)',
  );
  release();
  await Promise.all([underWay, closing]);
  assert.deepEqual(order, ['decided', 'closed']);
  assert.equal(own.issuer.questions.at(-1)?.leaving, true);
  assert.equal(own.verifier.status().closed, true);
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
    renewMilliseconds: 1.5,
    brokers: ['http://broker.example.com'],
    key: { kty: 'EC', kid: 'x', d: secret },
  };
  assert.throws(
    () => createVerifier(options as never),
    ({ message }: Error) =>
      /8 mistake/.test(message) &&
      /key: it is not a private JWK/.test(message) &&
      /brokers have to be https/.test(message) &&
      /publicUrl/.test(message) &&
      !message.includes(secret),
  );
  assert.throws(
    () => createVerifier({ ...world.options, resource: world.options.issuer }),
    /resource has to be another name than the issuer/,
  );
  for (const brokers of [[], Array(17).fill('https://broker.example.com'), 'https://broker.example.com']) {
    assert.throws(
      () => createVerifier({ ...world.options, brokers: brokers as never }),
      /list of 1 to 16 URLs/,
    );
  }
  assert.throws(
    () => createVerifier({ ...world.options, key: options.key as never }),
    ({ message, cause }: Error) =>
      /1 mistake.*\n {2}- key: it is not a private JWK$/.test(message) && cause === undefined,
  );
  for (const nothing of [undefined, {}, { key: undefined }]) {
    assert.throws(
      () => createVerifier(nothing as never),
      ({ message }: Error) =>
        /3 mistake/.test(message) &&
        /- issuer has/.test(message) &&
        /- resource has to be the audience/.test(message) &&
        /- key: it has to be the private key/.test(message),
    );
  }
  for (const key of [
    null,
    'x',
    { kid: 'x' },
    { kid: 'x', privateKey: undefined },
    { kid: 'x', privateKey: {} },
  ]) {
    assert.throws(
      () => createVerifier({ ...world.options, key: key as never }),
      /1 mistake.*\n {2}- key: it/,
    );
  }
});
