import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { ResourceRequest, Verification } from '../../src/verifier/index.ts';
import { createVerifier } from '../../src/verifier/index.ts';
import { fc } from '../properties.ts';
import { ACTION, codeOf, createFixture, outcomeOf } from './fixture.ts';

const world = await createFixture();
after(() => world.stop());
const { token, proof, request, verify } = world;

type Headers = ResourceRequest['headers'];
const accessToken = token();
const fresh = (): readonly [string, string] => ['DPoP', proof(accessToken)];
const withHeaders = (headers: Headers, target = '/customers') => verify(request('', '', { headers, target }));

const METADATA_URL = 'https://customers.example.com/.well-known/oauth-protected-resource';
const PLAIN_CHALLENGE = `DPoP scope="${ACTION}", algs="ES256 Ed25519 EdDSA", resource_metadata="${METADATA_URL}"`;

function statusAndChallenge(verification: Verification) {
  assert.ok(!verification.granted);
  return { status: verification.status, challenge: verification.headers['WWW-Authenticate'] };
}

describe('What counts as credentials', () => {
  const authorised = (value: string): Headers => [['Authorization', value], fresh()];
  const cases: [what: string, make: () => [Headers, string?], outcome: string][] = [
    ['the scheme in lower case', () => [authorised(`dpop ${accessToken}`)], 'ok'],
    ['the scheme in capitals', () => [authorised(`DPOP ${accessToken}`)], 'ok'],
    [
      'header names in any case',
      () => [
        [
          ['aUTHORIZATION', `DPoP ${accessToken}`],
          ['dpop', fresh()[1]],
        ],
      ],
      'ok',
    ],
    ['no header at all', () => [[]], 'credentials_missing authorization_missing'],
    ['only a proof', () => [[fresh()]], 'credentials_missing authorization_missing'],
    ['another scheme', () => [authorised('Basic dXNlcjpwYXNz')], 'credentials_missing authorization_missing'],
    [
      'a scheme that begins like it',
      () => [authorised(`DPoPX ${accessToken}`)],
      'credentials_missing authorization_missing',
    ],
    [
      'DPP-72, two spaces',
      () => [authorised(`DPoP  ${accessToken}`)],
      'invalid_token authorization_malformed',
    ],
    ['DPP-72, a tab', () => [authorised(`DPoP\t${accessToken}`)], 'invalid_token authorization_malformed'],
    [
      'DPP-72, a list',
      () => [authorised(`DPoP ${accessToken}, DPoP ${accessToken}`)],
      'invalid_token authorization_malformed',
    ],
    [
      'DPP-72, a comma in the token',
      () => [authorised(`DPoP ${accessToken},x`)],
      'invalid_token authorization_malformed',
    ],
    [
      'DPP-62, a space after the token',
      () => [authorised(`DPoP ${accessToken} `)],
      'invalid_token authorization_malformed',
    ],
    [
      'DPP-62, the token in other case',
      () => [authorised(`DPoP ${accessToken.toUpperCase()}`)],
      'invalid_token token_malformed',
    ],
    ['the scheme alone', () => [authorised('DPoP')], 'invalid_token authorization_malformed'],
    ['the scheme and a space', () => [authorised('DPoP ')], 'invalid_token authorization_malformed'],
    [
      'a token of 20,000 characters',
      () => [authorised(`DPoP ${'a'.repeat(20_000)}`)],
      'invalid_token authorization_malformed',
    ],
    [
      'DPOP-45, the token as Bearer with a proof',
      () => [authorised(`Bearer ${accessToken}`)],
      'invalid_token token_sent_as_bearer',
    ],
    [
      'DPOP-45, the token as bearer without one',
      () => [[['Authorization', `bearer ${accessToken}`]]],
      'invalid_token token_sent_as_bearer',
    ],
    [
      'TRN-14, DPoP then Bearer',
      () => [[...authorised(`DPoP ${accessToken}`), ['Authorization', `Bearer ${accessToken}`]]],
      'invalid_request authorization_repeated',
    ],
    [
      'TRN-14, Bearer then DPoP',
      () => [[['Authorization', `Bearer ${accessToken}`], ...authorised(`DPoP ${accessToken}`)]],
      'invalid_request authorization_repeated',
    ],
    [
      'TRN-14, the same twice',
      () => [[...authorised(`DPoP ${accessToken}`), ['authorization', `DPoP ${accessToken}`]]],
      'invalid_request authorization_repeated',
    ],
    [
      'in the query alone',
      () => [[], `/customers?access_token=${accessToken}`],
      'credentials_missing authorization_missing',
    ],
    [
      'in the query too',
      () => [authorised(`DPoP ${accessToken}`), `/customers?a=1&access_token=x`],
      'invalid_request token_in_two_places',
    ],
    [
      'in the query too, escaped',
      () => [authorised(`DPoP ${accessToken}`), `/customers?%61ccess_token=x`],
      'invalid_request token_in_two_places',
    ],
    [
      'two proofs',
      () => [[['Authorization', `DPoP ${accessToken}`], fresh(), fresh()]],
      'invalid_dpop_proof proof_repeated',
    ],
    [
      'only in Proxy-Authorization',
      () => [[['Proxy-Authorization', `DPoP ${accessToken}`], fresh()]],
      'credentials_missing authorization_missing',
    ],
  ];
  for (const [what, make, expected] of cases) {
    test(`${what}: ${expected}`, async () => assert.equal(outcomeOf(await withHeaders(...make())), expected));
  }

  test('DPP-74: a token that is bound to no key is not made better by a proof', async () => {
    const unbound = token({ claims: { cnf: undefined } });
    assert.equal(outcomeOf(await verify(request(unbound, proof(unbound)))), 'invalid_token token_unbound');
  });
});

describe('The challenge', () => {
  test('Without credentials it names no error', async () => {
    assert.deepEqual(statusAndChallenge(await withHeaders([])), { status: 401, challenge: PLAIN_CHALLENGE });
  });

  test('With two Authorization headers it is 400', async () => {
    const { status, challenge } = statusAndChallenge(
      await withHeaders([
        ['Authorization', 'DPoP a'],
        ['Authorization', 'DPoP b'],
      ]),
    );
    assert.equal(status, 400);
    assert.match(String(challenge), /^DPoP error="invalid_request", /);
  });

  test('The bound token as Bearer is answered with the scheme DPoP', async () => {
    const { status, challenge } = statusAndChallenge(
      await withHeaders([['Authorization', `Bearer ${accessToken}`]]),
    );
    assert.equal(status, 401);
    assert.match(String(challenge), /^DPoP error="invalid_token", /);
  });

  test('Every parameter stands once and is quoted, and no description leaves its grammar', async () => {
    const refusals = await Promise.all([
      withHeaders([['Authorization', `DPoP ${accessToken}`]]),
      verify(
        request(accessToken, proof(accessToken, { header: { jwk: { ...world.session.publicJwk, d: 'x' } } })),
      ),
      verify(request(accessToken, proof(accessToken, { header: { jwk: { kty: 'RSA' } } }))),
    ]);
    for (const refusal of refusals) {
      const { challenge } = statusAndChallenge(refusal);
      const parameters = [
        ...String(challenge)
          .slice('DPoP '.length)
          .matchAll(/([a-z_]+)="([^"\\]*)"(?:, |$)/g),
      ];
      assert.equal(parameters.map(([whole]) => whole).join(''), String(challenge).slice('DPoP '.length));
      assert.equal(new Set(parameters.map(([, name]) => name)).size, parameters.length);
      for (const [, , value] of parameters) assert.match(String(value), /^[\x20-\x21\x23-\x5b\x5d-\x7e]*$/);
    }
  });

  test('The body is a problem document that must not be stored', async () => {
    const refusal = await withHeaders([['Authorization', 'DPoP']]);
    assert.ok(!refusal.granted);
    assert.equal(refusal.headers['Content-Type'], 'application/problem+json');
    assert.equal(refusal.headers['Cache-Control'], 'no-store');
    assert.deepEqual(JSON.parse(refusal.body), {
      type: 'urn:mayfly:problem:invalid_token',
      title: 'The access token is not good for this request',
      status: 401,
      code: 'invalid_token',
      hint: 'The form is: DPoP, one space, the token.',
    });
  });
});

describe('The request target', () => {
  test('TRN-10: an absolute form, an authority and an asterisk are refused, whoever they name', async () => {
    for (const target of [
      'https://evil.example.com/customers',
      'customers.example.com:443',
      '*',
      '',
      'customers',
    ]) {
      assert.equal(
        outcomeOf(await verify(request(accessToken, proof(accessToken), { target }))),
        'invalid_request target_malformed',
        target,
      );
    }
  });

  test('TRN-36: a backslash, a raw byte and half an escape are refused', async () => {
    for (const target of [
      '/customers\\x',
      '/customers\u00e9',
      '/customers%',
      '/customers%e',
      '/a b',
      '/a#b',
      `/${'a'.repeat(3_000)}`,
    ]) {
      assert.notEqual(
        codeOf(await verify(request(accessToken, proof(accessToken), { target }))),
        'ok',
        target,
      );
    }
  });

  test('TRN-30: no header moves a proof to another server', async () => {
    for (const name of [
      'Host',
      'X-Forwarded-Host',
      'Forwarded',
      'X-Original-URL',
      'X-HTTP-Method-Override',
    ]) {
      const elsewhere = proof(accessToken, { claims: { htu: 'https://evil.example.com/customers' } });
      const headers: Headers = [
        ['Authorization', `DPoP ${accessToken}`],
        ['DPoP', elsewhere],
        [name, 'evil.example.com'],
      ];
      assert.equal(outcomeOf(await withHeaders(headers)), 'invalid_dpop_proof proof_url', name);
    }
  });

  test('A path prefix that a proxy takes away belongs to the URL that a proof names', async () => {
    const behindProxy = createVerifier({ ...world.options, publicUrl: 'https://api.example.com/crm/' });
    const text = proof(accessToken, {
      claims: { htu: 'https://api.example.com/crm/customers', iat: world.now() + 0 },
    });
    const verification = await behindProxy.verify(request(accessToken, text), { action: ACTION });
    assert.equal(codeOf(verification), 'use_dpop_nonce', 'all checks but the age of the proof passed');
    await behindProxy.close();
  });
});

test('Whatever stands in the headers, the answer is a refusal of the closed set and echoes nothing', async () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.string({ maxLength: 300 }),
    fc.constantFrom(
      accessToken,
      `DPoP ${accessToken}`,
      `DPoP ${accessToken} `,
      'DPoP',
      'dpop\t',
      'Bearer ',
      ',',
      '',
    ),
    fc
      .tuple(fc.constantFrom('DPoP ', 'dpop  ', 'DPOP\t'), fc.string({ maxLength: 50 }))
      .map((parts) => parts.join('')),
  );
  const names = fc.constantFrom(
    'authorization',
    'Authorization',
    'DPoP',
    'dpop',
    '__proto__',
    'constructor',
    'toString',
    'x',
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(names, text), { maxLength: 6 }),
      fc.string({ maxLength: 60 }),
      async (headers, path) => {
        const verification = await withHeaders(headers, `/${path}`);
        assert.ok(!verification.granted);
        assert.ok([400, 401].includes(verification.status), `${verification.status}`);
        const answer = JSON.stringify([verification.headers, verification.body]);
        for (const [, value] of headers) assert.ok(value.length < 40 || !answer.includes(value));
      },
    ),
    { numRuns: 100 },
  );
});
