import assert from 'node:assert/strict';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { createVerifier, type ResourceRequest, type VerifierOptions } from '../../src/verifier/index.ts';
import { newSessionKey, signJwt } from '../test-agent.ts';
import { AUDIENCE, codeOf, createFixture, outcomeOf } from './fixture.ts';

const world = await createFixture();
after(() => world.stop());
const { token, proof, request, verify, now } = world;

const withClaims = (claims: object) => () => proof(accessToken, { claims });
const withHeader = (header: object) => () => proof(accessToken, { header });
const accessToken = token();
const good = () => proof(accessToken);
const [headerPart = '', payloadPart = '', signaturePart = ''] = good().split('.');
const encode = (text: string) => Buffer.from(text).toString('base64url');

/** Identifiers of the corpus of attacks, what is sent, what comes of it. */
const CASES: [id: string, what: string, make: () => string | string[], code: string][] = [
  ['DPP-02', 'two proofs, identical', () => Array(2).fill(good()), 'invalid_dpop_proof'],
  ['DPP-04', 'two proofs with a comma between', () => `${good()}, ${good()}`, 'invalid_dpop_proof'],
  ['DPP-04', 'two proofs with a space between', () => `${good()} ${good()}`, 'invalid_dpop_proof'],
  ['DPP-06', 'typ DPOP+JWT', withHeader({ typ: 'DPOP+JWT' }), 'invalid_dpop_proof'],
  ['DPP-06', 'typ application/dpop+jwt', withHeader({ typ: 'application/dpop+jwt' }), 'invalid_dpop_proof'],
  ['DPP-06', 'no typ', withHeader({ typ: undefined }), 'invalid_dpop_proof'],
  ['DPP-08', 'alg HS256', withHeader({ alg: 'HS256' }), 'invalid_dpop_proof'],
  ['DPP-08', 'alg none', withHeader({ alg: 'none' }), 'invalid_dpop_proof'],
  ['DPP-10', 'no jwk', withHeader({ jwk: undefined }), 'invalid_dpop_proof'],
  ['DPP-10', 'jwk null', withHeader({ jwk: null }), 'invalid_dpop_proof'],
  [
    'DPP-10',
    'jwk with kty "EC "',
    withHeader({ jwk: { ...world.session.publicJwk, kty: 'EC ' } }),
    'invalid_dpop_proof',
  ],
  ['DPP-10', 'jwk with d', withHeader({ jwk: { ...world.session.publicJwk, d: 'x' } }), 'invalid_dpop_proof'],
  [
    'DPP-12',
    'a point off the curve',
    withHeader({ jwk: { ...world.session.publicJwk, y: world.session.publicJwk.x } }),
    'invalid_dpop_proof',
  ],
  [
    'DPP-18',
    'r = s = 0',
    () => `${headerPart}.${payloadPart}.${Buffer.alloc(64).toString('base64url')}`,
    'invalid_dpop_proof',
  ],
  ['DPP-20', 'crit', withHeader({ crit: ['exp'] }), 'invalid_dpop_proof'],
  ['DPP-22', 'jku', withHeader({ jku: 'https://evil.example.com' }), 'invalid_dpop_proof'],
  ['DPP-22', 'kid', withHeader({ kid: 'anything' }), 'ok'],
  [
    'DPP-24',
    'alg twice',
    () =>
      signTwice(
        `{"typ":"dpop+jwt","alg":"none","alg":"ES256","jwk":${JSON.stringify(world.session.publicJwk)}}`,
      ),
    'invalid_dpop_proof',
  ],
  [
    'DPP-28',
    'a payload that is a list',
    () => `${headerPart}.${encode('[]')}.${signaturePart}`,
    'invalid_dpop_proof',
  ],
  [
    'DPP-30',
    'JSON serialisation',
    () => JSON.stringify({ protected: headerPart, payload: payloadPart, signature: signaturePart }),
    'invalid_dpop_proof',
  ],
  ['DPP-32', 'two parts', () => `${headerPart}.${payloadPart}`, 'invalid_dpop_proof'],
  ['DPP-32', 'four parts', () => `${good()}.x`, 'invalid_dpop_proof'],
  ['DPP-32', 'empty', () => '', 'invalid_dpop_proof'],
  ['DPP-34', 'more than 8,192 characters', withClaims({ filler: 'x'.repeat(8_192) }), 'invalid_dpop_proof'],
  ['DPP-36', 'claims nobody knows', withClaims({ custom: { a: 1 } }), 'ok'],
  ['DPP-40', 'no jti', withClaims({ jti: undefined }), 'invalid_dpop_proof'],
  ['DPP-40', 'an empty jti', withClaims({ jti: '' }), 'invalid_dpop_proof'],
  ['DPP-40', 'a jti that is a number', withClaims({ jti: 1 }), 'invalid_dpop_proof'],
  ['DPP-42', 'a jti of 256 characters', withClaims({ jti: 'x'.repeat(256) }), 'ok'],
  ['DPP-42', 'a jti of 257 characters', withClaims({ jti: 'x'.repeat(257) }), 'invalid_dpop_proof'],
  ['DPP-42', 'a jti with NUL', withClaims({ jti: 'a\u0000b' }), 'invalid_dpop_proof'],
  ['DPP-50', 'no htm', withClaims({ htm: undefined }), 'invalid_dpop_proof'],
  ['DPP-50', 'htm get', withClaims({ htm: 'get' }), 'invalid_dpop_proof'],
  ['DPP-50', 'htm POST', withClaims({ htm: 'POST' }), 'invalid_dpop_proof'],
  ['DPP-52', 'htu in a list', withClaims({ htu: [`${AUDIENCE}/customers`] }), 'invalid_dpop_proof'],
  ['DPP-54', 'htu with :443', withClaims({ htu: `${AUDIENCE}:443/customers` }), 'ok'],
  ['DPP-54', 'htu with :0443', withClaims({ htu: `${AUDIENCE}:0443/customers` }), 'invalid_dpop_proof'],
  ['DPP-54', 'htu with :8443', withClaims({ htu: `${AUDIENCE}:8443/customers` }), 'invalid_dpop_proof'],
  [
    'DPP-54',
    'htu with http',
    withClaims({ htu: 'http://customers.example.com/customers' }),
    'invalid_dpop_proof',
  ],
  [
    'DPP-54',
    'htu with a dot after the host',
    withClaims({ htu: 'https://customers.example.com./customers' }),
    'invalid_dpop_proof',
  ],
  [
    'DPP-54',
    'htu with a slash at the end',
    withClaims({ htu: `${AUDIENCE}/customers/` }),
    'invalid_dpop_proof',
  ],
  ['DPP-54', 'htu in other case', withClaims({ htu: `${AUDIENCE}/Customers` }), 'invalid_dpop_proof'],
  [
    'DPP-54',
    'htu with a host in capitals',
    withClaims({ htu: 'HTTPS://CUSTOMERS.example.com/customers' }),
    'ok',
  ],
  ['DPP-56', 'htu with an escaped letter', withClaims({ htu: `${AUDIENCE}/%63ustomers` }), 'ok'],
  [
    'DPP-56',
    'htu with dot segments',
    withClaims({ htu: `${AUDIENCE}/x/../customers` }),
    'invalid_dpop_proof',
  ],
  [
    'DPP-58',
    'htu with a user',
    withClaims({ htu: 'https://customers.example.com@evil.example.com/customers' }),
    'invalid_dpop_proof',
  ],
  [
    'DPP-58',
    'htu of another host',
    withClaims({ htu: 'https://evil.example.com/customers' }),
    'invalid_dpop_proof',
  ],
  ['DPOP-18', 'htu with query and fragment', withClaims({ htu: `${AUDIENCE}/customers?a=1#b` }), 'ok'],
  ['DPP-60', 'no ath', withClaims({ ath: undefined }), 'invalid_dpop_proof'],
  ['DPP-60', 'ath of another token', () => proof(token()), 'invalid_dpop_proof'],
  ['DPP-60', 'ath as a number', withClaims({ ath: 1 }), 'invalid_dpop_proof'],
  ['DPP-80', 'no iat', withClaims({ iat: undefined }), 'invalid_dpop_proof'],
  [
    'DPP-80',
    'iat as text',
    () => proof(accessToken, { claims: { iat: String(now()) } }),
    'invalid_dpop_proof',
  ],
  [
    'DPP-80',
    'iat with a fraction',
    () => proof(accessToken, { claims: { iat: now() + 0.5 } }),
    'invalid_dpop_proof',
  ],
  [
    'DPP-80',
    'iat in milliseconds',
    () => proof(accessToken, { claims: { iat: now() * 1000 } }),
    'invalid_dpop_proof',
  ],
  [
    'DPP-80',
    'iat an hour ahead',
    () => proof(accessToken, { claims: { iat: now() + 3_600 } }),
    'invalid_dpop_proof',
  ],
  [
    'DPP-82',
    'exp in the past',
    () => proof(accessToken, { claims: { exp: now() - 1 } }),
    'invalid_dpop_proof',
  ],
  ['DPP-82', 'nbf ahead', () => proof(accessToken, { claims: { nbf: now() + 60 } }), 'invalid_dpop_proof'],
  ['DPP-90', 'a nonce that is a number', withClaims({ nonce: 1 }), 'invalid_dpop_proof'],
  ['DPP-90', 'a nonce from elsewhere', withClaims({ nonce: 'eyJ7S_zG.eyJH0-Z.HX4w-7v' }), 'use_dpop_nonce'],
];

function signTwice(header: string): string {
  const claims = JSON.parse(Buffer.from(payloadPart, 'base64url').toString());
  const genuine = signJwt(
    { typ: 'dpop+jwt', alg: 'ES256', jwk: world.session.publicJwk },
    claims,
    world.session.privateKey,
  );
  return [encode(header), ...genuine.split('.').slice(1)].join('.');
}

describe('The proof (RFC 9449 §4.3)', () => {
  for (const [id, what, make, expected] of CASES) {
    test(`${id}, ${what}: ${expected}`, async () => {
      const before = world.issuer.asked.length;
      const verification = await verify(request(accessToken, make()));
      assert.equal(codeOf(verification), expected);
      if (verification.granted) return;
      assert.equal(verification.status, 401);
      const challenge = verification.headers['WWW-Authenticate'] ?? '';
      assert.ok(challenge.startsWith(`DPoP error="${expected}", `), challenge);
      assert.match(challenge, /algs="ES256 Ed25519 EdDSA"/);
      assert.equal(verification.headers['DPoP-Nonce'] !== undefined, expected === 'use_dpop_nonce');
      assert.equal(world.issuer.asked.length, before, 'the broker is not asked about a bad proof');
      assert.equal(codeOf(await verify()), 'ok', 'the next good request passes');
    });
  }

  test('DPP-70: a stolen token with a good proof by another key is refused as a bad token', async () => {
    const thief = newSessionKey();
    const verification = await verify(request(accessToken, proof(accessToken, {}, thief)));
    assert.equal(outcomeOf(verification), 'invalid_token token_bound_to_another_key');
  });

  test('A proof signed by another key than its own jwk is refused', async () => {
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    assert.equal(
      outcomeOf(await verify(request(accessToken, proof(accessToken, { key: other })))),
      'invalid_dpop_proof proof_signature',
    );
  });

  test('DPP-96: a proof for GET is none for HEAD', async () => {
    assert.equal(
      codeOf(await verify(request(accessToken, good(), { method: 'HEAD' }))),
      'invalid_dpop_proof',
    );
  });

  test('No proof at all is refused', async () => {
    assert.equal(outcomeOf(await verify(request(accessToken, []))), 'invalid_dpop_proof proof_missing');
  });
});

describe('A proof is good once', () => {
  const again = (text: string, by = accessToken) => verify(request(by, text));

  test('The same proof is refused the second time, also in another spelling of its URL', async () => {
    const jti = randomUUID();
    assert.equal(codeOf(await again(proof(accessToken, { claims: { jti } }))), 'ok');
    for (const htu of [
      `${AUDIENCE}/customers`,
      `${AUDIENCE}:443/customers?x#y`,
      'https://CUSTOMERS.example.com/%63ustomers',
    ]) {
      assert.equal(
        outcomeOf(await again(proof(accessToken, { claims: { jti, htu } }))),
        'invalid_dpop_proof proof_replayed',
      );
    }
  });

  test('The same jti of another key is another proof', async () => {
    const other = newSessionKey();
    const jti = randomUUID();
    const bound = token({ claims: { cnf: { jkt: other.jkt } } });
    assert.equal(codeOf(await again(proof(accessToken, { claims: { jti } }))), 'ok');
    assert.equal(codeOf(await again(proof(bound, { claims: { jti } }, other), bound)), 'ok');
  });

  test('GWY-48: Of a hundred copies at once exactly one passes', async () => {
    const text = good();
    const outcomes = await Promise.all(Array.from({ length: 100 }, async () => codeOf(await again(text))));
    assert.equal(outcomes.filter((code) => code === 'ok').length, 1);
    assert.equal(outcomes.filter((code) => code === 'invalid_dpop_proof').length, 99);
  });

  test('A proof of a refused request is not used up, one of an undecided request is', async () => {
    const text = good();
    const elsewhere = await world.verifier.verify(request(accessToken, text), { action: 'db:read:orders' });
    assert.equal(codeOf(elsewhere), 'insufficient_scope');
    assert.equal(codeOf(await again(text)), 'ok');
  });
});

describe('The age of a proof', () => {
  const agedBy = async (seconds: number, options: Partial<VerifierOptions> = {}) => {
    const own = await createFixture(options);
    own.clock.advanceSeconds(600);
    const bearer = own.token();
    const verification = await own.verify(
      own.request(bearer, own.proof(bearer, { claims: { iat: own.now() - seconds } })),
    );
    await own.stop();
    return codeOf(verification);
  };

  test('Without a nonce iat counts: a minute back, a quarter of a minute ahead', async () => {
    assert.equal(await agedBy(60), 'ok');
    assert.equal(await agedBy(61), 'invalid_dpop_proof');
    assert.equal(await agedBy(-15), 'ok');
    assert.equal(await agedBy(-16), 'invalid_dpop_proof');
  });

  test('With a nonce of this verifier the nonce counts, for a minute, whatever iat says', async () => {
    const own = await createFixture({ noncePolicy: 'required' });
    const send = async (claims: object): Promise<[string, Readonly<Record<string, string>>]> => {
      const bearer = own.token();
      const verification = await own.verify(own.request(bearer, own.proof(bearer, { claims })));
      return [codeOf(verification), verification.headers];
    };
    const [challenged, headers] = await send({});
    assert.equal(challenged, 'use_dpop_nonce');
    const nonce = headers['DPoP-Nonce'];
    assert.match(String(nonce), /^[\x21\x23-\x5b\x5d-\x7e]+$/);
    assert.deepEqual(await send({ nonce, iat: own.now() - 5_000 }), ['ok', {}]);
    own.clock.advanceSeconds(30);
    const [rotated, next] = await send({ nonce });
    assert.equal(rotated, 'ok', 'the nonce of the step before is still good');
    assert.notEqual(next['DPoP-Nonce'], nonce, 'and the answer tells the new one');
    assert.deepEqual(await send({ nonce: next['DPoP-Nonce'] }), ['ok', {}]);
    own.clock.advanceSeconds(30);
    assert.equal((await send({ nonce }))[0], 'use_dpop_nonce');
    assert.equal((await send({}))[0], 'use_dpop_nonce', 'DPP-94: leaving it out does not help');
    await own.stop();
  });

  test('After a restart a proof used before it is not accepted again (L18)', async () => {
    const own = await createFixture();
    const bearer = own.token();
    // By a client whose clock is ahead as far as it may be.
    const text = own.proof(bearer, { claims: { iat: own.now() + 15 } });
    assert.equal(codeOf(await own.verify(own.request(bearer, text))), 'ok');
    const restarted = createVerifier(own.options);
    await restarted.ready();
    for (const seconds of [0, 1, 14, 15, 40]) {
      own.clock.advanceSeconds(seconds);
      const verification = await restarted.verify(own.request(bearer, text), { action: 'db:read:customers' });
      assert.notEqual(codeOf(verification), 'ok', `${seconds} s later`);
    }
    await restarted.close();
    await own.stop();
  });

  test('Right after a start an honest client passes with the nonce that it is given', async () => {
    const own = await createFixture();
    const restarted = createVerifier(own.options);
    await restarted.ready();
    const bearer = own.token();
    const send = (asked: ResourceRequest) => restarted.verify(asked, { action: 'db:read:customers' });
    const first = await send(own.request(bearer));
    assert.equal(codeOf(first), 'use_dpop_nonce');
    const nonce = first.headers['DPoP-Nonce'];
    assert.equal(codeOf(await send(own.request(bearer, own.proof(bearer, { claims: { nonce } })))), 'ok');
    await restarted.close();
    await own.stop();
  });

  test('A wall clock that jumps back does not open what was forgotten', async () => {
    const own = await createFixture();
    const bearer = own.token();
    const text = own.proof(bearer);
    assert.equal(codeOf(await own.verify(own.request(bearer, text))), 'ok');
    own.clock.advanceSeconds(200);
    assert.equal(codeOf(await own.verify()), 'ok');
    own.clock.jumpSeconds(-200);
    assert.equal(
      outcomeOf(await own.verify(own.request(bearer, text))),
      'invalid_dpop_proof proof_forgotten',
    );
    await own.stop();
  });
});

describe('When the memory of proofs is full', () => {
  test('One key cannot take more than its share, and is told to wait', async () => {
    const own = await createFixture({}, { maxProofs: 20 });
    const outcomes: string[] = [];
    for (let count = 0; count < 3; count += 1) outcomes.push(codeOf(await own.verify()));
    assert.deepEqual(outcomes, ['ok', 'ok', 'too_many_requests']);
    const refused = await own.verify();
    assert.ok(!refused.granted);
    assert.equal(refused.status, 429);
    assert.equal(refused.headers['Retry-After'], '60');
    await own.stop();
  });

  test('It refuses, keeps what it has, and takes proofs again when the old ones no longer count', async () => {
    const own = await createFixture({}, { maxProofs: 10 });
    const byNewKey = () => {
      const session = newSessionKey();
      const bearer = own.token({ claims: { cnf: { jkt: session.jkt } } });
      return own.request(bearer, own.proof(bearer, {}, session));
    };
    const first = byNewKey();
    assert.equal(codeOf(await own.verify(first)), 'ok');
    for (let count = 1; count < 10; count += 1) assert.equal(codeOf(await own.verify(byNewKey())), 'ok');
    const refused = await own.verify(byNewKey());
    assert.equal(outcomeOf(refused), 'temporarily_unavailable proof_memory_full');
    assert.equal(
      outcomeOf(await own.verify(first)),
      'invalid_dpop_proof proof_replayed',
      'nothing was evicted',
    );
    own.clock.advanceSeconds(100);
    assert.equal(codeOf(await own.verify(byNewKey())), 'ok');
    await own.stop();
  });
});
