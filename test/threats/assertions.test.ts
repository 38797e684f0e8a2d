/** CAS: client assertions, and every other way to say who one is. */
import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { ASSERTION_TYPE, newSessionKey, nowSeconds, signJwt } from '../test-agent.ts';
import { TEST_ISSUER } from '../test-broker.ts';
import { CANARY } from './after-checks.ts';
import { jwsCases } from './jws-cases.ts';
import { type Case, createStage } from './oracle.ts';
import type { Outcome } from './outcomes.ts';
import { twinOf } from './raw-jws.ts';
import { type Attempt, formOf, type Header } from './raw-request.ts';

const stage = await createStage();
const { agent } = stage;
const CLIENT = 'report-writer';
const { privateKey, publicJwk } = keyOf(CLIENT);
const kid = stage.world.scopes.keys.get(CLIENT)?.kid;

function keyOf(name: string) {
  const jwk = stage.world.scopes.keys.get(name);
  if (jwk === undefined) throw new Error(`no key of ${name}`);
  const key = createPrivateKey({ key: jwk, format: 'jwk' });
  return { privateKey: key, publicJwk: createPublicKey(key).export({ format: 'jwk' }) };
}

const claims = () => ({
  iss: CLIENT,
  sub: CLIENT,
  aud: TEST_ISSUER,
  iat: nowSeconds(),
  exp: nowSeconds() + 60,
  jti: randomUUID(),
});
const withFields = (fields: Record<string, string | readonly string[] | undefined>) => () =>
  stage.tokenRequest({ fields });
const withAssertion = (client_assertion: string) => stage.tokenRequest({ fields: { client_assertion } });
const withClaims = (members: object) => () => withAssertion(agent.assertion({ claims: members }));
const withHeader = (members: object) => () => withAssertion(agent.assertion({ header: members }));
const withHeaders =
  (headers: readonly Header[], fields = {}) =>
  (): Attempt => {
    const request = stage.tokenRequest({ fields });
    return { ...request, headers: [...(request.headers ?? []), ...headers] };
  };
const NO_ASSERTION = { client_assertion: undefined, client_assertion_type: undefined };

stage.run('CAS: the assertion as a JWT', [
  ...jwsCases({
    ids: {
      algorithm: 'CAS-04',
      critical: 'CAS-05',
      header: 'CAS-07',
      duplicate: 'CAS-09',
      encoding: 'CAS-31',
      payload: 'CAS-31',
      serialisation: 'CAS-31',
      parts: 'CAS-31',
      length: 'CAS-33',
      signature: 'CAS-31',
      extra: 'CAS-35',
    },
    refused: 'IC',
    ignoresKid: false,
    privateKey,
    publicJwk,
    header: () => ({ alg: 'ES256', typ: 'client-authentication+jwt' }),
    claims,
    request: withAssertion,
  }),
]);

const types: [unknown, Outcome][] = [
  [undefined, 'OK'],
  ['JWT', 'OK'],
  ['client-authentication+jwt', 'OK'],
  ['jwt', 'IC'],
  ['dpop+jwt', 'IC'],
  ['at+jwt', 'IC'],
  ['application/at+jwt', 'IC'],
  ['application/client-authentication+jwt', 'IC'],
  ['secevent+jwt', 'IC'],
  ['', 'IC'],
  [null, 'IC'],
  [['JWT'], 'IC'],
  [CANARY, 'IC'],
];
stage.run('CAS: typ and kid', [
  ...types.map(
    ([typ, expected]): Case => ({
      id: 'CAS-18',
      name: `typ ${JSON.stringify(typ)}`,
      ask: withHeader({ typ }),
      expected,
    }),
  ),
  {
    id: 'CAS-08',
    name: 'no kid, and the client has one key',
    ask: withHeader({ kid: undefined }),
    expected: 'OK',
  },
  ...[
    ['unknown', 'nobody'],
    ['empty', ''],
    ['null', null],
    ['a number', 7],
    ['an array', [kid]],
    ['in another case', kid?.toLowerCase()],
    ['with a space', `${kid} `],
    ['a path', '../../../etc/passwd'],
    ['SQL', "' or 1=1 --"],
    ['of another client', stage.world.scopes.keys.get('support-assistant')?.kid],
    ['called like a member of every object', '__proto__'],
    ['of 4,000 characters', 'k'.repeat(4_000)],
  ].map(
    ([name, value]): Case => ({
      id: 'CAS-08',
      name: `kid ${name}`,
      ask: withHeader({ kid: value }),
      expected: 'IC',
      reason: 'assertion_key',
    }),
  ),
  {
    id: 'CAS-07',
    name: 'a key in the header, which signed it',
    ask: () => {
      const own = newSessionKey();
      const header = { jwk: own.publicJwk, kid: undefined };
      return withAssertion(agent.assertion({ header, key: own }));
    },
    expected: 'IC',
    reason: 'assertion_signature',
  },
  {
    id: 'CAS-07',
    name: 'an Edwards key in the header, which signed it',
    ask: () => {
      const own = newSessionKey('ed25519');
      return withAssertion(
        agent.assertion({ header: { alg: 'EdDSA', jwk: own.publicJwk, kid: undefined }, key: own }),
      );
    },
    expected: 'IC',
    reason: 'assertion_key',
  },
]);

const audiences: [string, unknown, Outcome][] = [
  ['the issuer', TEST_ISSUER, 'OK'],
  ['the token endpoint', `${TEST_ISSUER}/oauth/token`, 'IC'],
  ['the issuer with a slash', `${TEST_ISSUER}/`, 'IC'],
  ['the issuer in upper case', TEST_ISSUER.toUpperCase(), 'IC'],
  ['the issuer with its port', `${TEST_ISSUER}:443`, 'IC'],
  ['the issuer over http', TEST_ISSUER.replace('https', 'http'), 'IC'],
  ['where the broker listens', stage.broker.url, 'IC'],
  ['the introspection endpoint', `${TEST_ISSUER}/oauth/introspect`, 'IC'],
  ['an array of the issuer', [TEST_ISSUER], 'IC'],
  ['an array of the issuer and another', [TEST_ISSUER, 'https://other.example.com'], 'IC'],
  ['an empty array', [], 'IC'],
  ['an object', { iss: TEST_ISSUER }, 'IC'],
  ['another environment of ours', 'https://broker.staging.example.com', 'IC'],
  ['a resource', 'https://customers.example.com', 'IC'],
  ['missing', undefined, 'IC'],
  ['null', null, 'IC'],
  ['empty', '', 'IC'],
  ['a number', 7, 'IC'],
  ['a wildcard', '*', 'IC'],
  ['with a line feed', `${TEST_ISSUER}\n`, 'IC'],
];
const times: [string, () => object, Outcome][] = [
  ['exp missing', () => ({ exp: undefined }), 'IC'],
  ['exp past by a second', () => ({ iat: nowSeconds() - 60, exp: nowSeconds() - 1 }), 'IC'],
  ['exp past by five minutes', () => ({ iat: nowSeconds() - 360, exp: nowSeconds() - 300 }), 'IC'],
  ['exp now', () => ({ exp: nowSeconds() }), 'IC'],
  ['exp in 300 seconds', () => ({ exp: nowSeconds() + 300 }), 'OK'],
  ['exp in 302 seconds', () => ({ exp: nowSeconds() + 302 }), 'IC'],
  ['exp in an hour', () => ({ exp: nowSeconds() + 3_600 }), 'IC'],
  ['exp in an hour, without iat', () => ({ iat: undefined, exp: nowSeconds() + 3_600 }), 'IC'],
  ['exp in four minutes, without iat', () => ({ iat: undefined, exp: nowSeconds() + 240 }), 'OK'],
  ['exp a string', () => ({ exp: String(nowSeconds() + 60) }), 'IC'],
  ['exp a fraction', () => ({ exp: nowSeconds() + 60.5 }), 'IC'],
  ['exp in milliseconds', () => ({ exp: Date.now() + 60_000 }), 'IC'],
  ['exp 1e308', () => ({ exp: 1e308 }), 'IC'],
  ['exp 2^53 - 1', () => ({ exp: Number.MAX_SAFE_INTEGER }), 'IC'],
  ['exp negative', () => ({ exp: -1 }), 'IC'],
  ['exp null', () => ({ exp: null }), 'IC'],
  ['exp an array', () => ({ exp: [nowSeconds() + 60] }), 'IC'],
  [
    'iat 8 seconds ahead, with 300 seconds of life',
    () => ({ iat: nowSeconds() + 8, exp: nowSeconds() + 308 }),
    'OK',
  ],
  ['iat 60 seconds ahead', () => ({ iat: nowSeconds() + 60, exp: nowSeconds() + 120 }), 'IC'],
  [
    'iat an hour ago, with an hour of life',
    () => ({ iat: nowSeconds() - 3_600, exp: nowSeconds() + 60 }),
    'IC',
  ],
  ['iat a string', () => ({ iat: 'now' }), 'IC'],
  ['iat a fraction', () => ({ iat: nowSeconds() - 0.5 }), 'IC'],
  ['iat null', () => ({ iat: null }), 'IC'],
  ['iat negative', () => ({ iat: -5 }), 'IC'],
  ['nbf past', () => ({ nbf: nowSeconds() - 5 }), 'OK'],
  ['nbf 8 seconds ahead', () => ({ nbf: nowSeconds() + 8 }), 'OK'],
  ['nbf 60 seconds ahead', () => ({ nbf: nowSeconds() + 60, exp: nowSeconds() + 120 }), 'IC'],
  ['nbf a string', () => ({ nbf: '0' }), 'IC'],
  ['nbf null', () => ({ nbf: null }), 'IC'],
];
stage.run('CAS: aud, exp, iat, nbf', [
  ...audiences.map(
    ([name, aud, expected]): Case => ({
      id: 'CAS-10',
      name: `aud: ${name}`,
      ask: withClaims({ aud }),
      expected,
      ...(expected === 'IC' ? { reason: 'assertion_audience' as const } : {}),
    }),
  ),
  ...times.map(
    ([name, members, expected]): Case => ({
      id: 'CAS-16',
      name,
      ask: () => withClaims(members())(),
      expected,
      ...(expected === 'IC' ? { reason: 'assertion_lifetime' as const } : {}),
    }),
  ),
]);

const names: [string, unknown][] = [
  ['missing', undefined],
  ['empty', ''],
  ['null', null],
  ['a number', 7],
  ['an array', [CLIENT]],
  ['unknown', 'nobody-here'],
  ['of 4,000 characters', 'x'.repeat(4_000)],
  ['in upper case', 'REPORT-WRITER'],
  ['with a space', `${CLIENT} `],
  ['with a line feed', `${CLIENT}\n`],
  ['with a NUL', `${CLIENT}\u0000`],
  ['an emoji', '🦋'],
  ['with a right-to-left override', `\u202e${CLIENT}`],
  ['with a zero-width joiner', `report-\u200dwriter`],
  ['with a homoglyph', 'repоrt-writer'],
  ['with a hyphen of another kind', 'report\u2010writer'],
  ['composed with an accent', 'r\u0065\u0301port-writer'],
  ['a path', '../report-writer'],
  ['a path, escaped', '%2e%2e%2freport-writer'],
  ['doubled slashes', 'agents//report-writer'],
  ['with a colon', 'agent:report-writer'],
  ['a wildcard', '*'],
  ['a wildcard of SQL', 'report_writer'],
  ['a percent sign', '%'],
  ['called like a member of every object', '__proto__'],
  ['constructor', 'constructor'],
  ['another client', 'support-assistant'],
  ['a resource', 'https://customers.example.com'],
];
stage.run('CAS: who the assertion is about', [
  ...names.flatMap(([name, value]): Case[] => [
    {
      id: 'TOK-14',
      name: `iss and sub ${name}`,
      ask: withClaims({ iss: value, sub: value }),
      expected: 'IC',
    },
    {
      id: 'CAS-15',
      name: `only sub ${name}`,
      ask: withClaims({ sub: value }),
      expected: 'IC',
      ...(typeof value === 'string' && value.includes('\u0000')
        ? {}
        : { reason: 'assertion_subject' as const }),
    },
    { id: 'CAS-15', name: `only iss ${name}`, ask: withClaims({ iss: value }), expected: 'IC' },
  ]),
  ...names
    .filter(([, value]) => typeof value === 'string' && value !== '')
    .map(
      ([name, value]): Case => ({
        id: 'TOK-14',
        name: `client_id ${name}`,
        ask: withFields({ client_id: value as string }),
        expected: 'IC',
      }),
    ),
  {
    id: 'TOK-14',
    name: 'client_id of 10 kB',
    ask: withFields({ client_id: 'x'.repeat(10_000) }),
    expected: 'IC',
  },
  {
    id: 'TOK-14',
    name: 'client_id of the client itself',
    ask: withFields({ client_id: CLIENT }),
    expected: 'OK',
  },
  {
    id: 'TOK-14',
    name: 'client_id with an escaped lone surrogate',
    ask: () => withText('&client_id=%ED%A0%80'),
    expected: 'IC',
  },
  {
    id: 'CAS-15',
    name: 'signed with the key of another client',
    ask: () =>
      withAssertion(
        agent.assertion({ key: keyOf('support-assistant').privateKey, header: { kid: undefined } }),
      ),
    expected: 'IC',
    reason: 'assertion_signature',
  },
  {
    id: 'CAS-15',
    name: 'signed with the key of another client, whose kid it names',
    ask: () =>
      withAssertion(
        agent.assertion({
          key: keyOf('support-assistant').privateKey,
          header: { kid: stage.world.scopes.keys.get('support-assistant')?.kid },
        }),
      ),
    expected: 'IC',
    reason: 'assertion_key',
  },
]);

function withText(text: string): Attempt {
  const { fields, headers = [] } = stage.tokenRequest();
  return { body: `${formOf(fields ?? {})}${text}`, headers };
}

const identifiers: [string, unknown, Outcome][] = [
  ['missing', undefined, 'IC'],
  ['empty', '', 'IC'],
  ['null', null, 'IC'],
  ['a number', 7, 'IC'],
  ['an array', ['a'], 'IC'],
  ['of 256 characters', `${randomUUID()}${'j'.repeat(220)}`, 'OK'],
  ['of 257 characters', 'j'.repeat(257), 'IC'],
  ['with a NUL', 'a\u0000b', 'IC'],
  ['with a line feed', 'a\n', 'IC'],
  ['with an emoji', '🦋', 'IC'],
  ['like SQL', `'; drop table tokens;--${randomUUID()}`, 'OK'],
];
stage.run('CAS: an assertion is good once', [
  ...identifiers.map(
    ([name, jti, expected]): Case => ({
      id: 'CAS-19',
      name: `jti ${name}`,
      ask: withClaims({ jti }),
      expected,
    }),
  ),
  ...(
    [
      ['the same assertion', (used: string) => used],
      ['the same assertion with its other signature that verifies', twinOf],
    ] as const
  ).map(
    ([name, bend]): Case => ({
      id: 'CAS-20',
      name,
      ask: async () => withAssertion(bend(await spentAssertion())),
      expected: 'IC',
      reason: 'assertion_replayed',
      rows: { spent: 1 },
    }),
  ),
  {
    id: 'CAS-20',
    name: 'the same jti in another assertion with another end',
    ask: async () => {
      const jti = randomUUID();
      await spentAssertion({ jti });
      return withClaims({ jti, exp: nowSeconds() + 90 })();
    },
    expected: 'IC',
    reason: 'assertion_replayed',
    rows: { spent: 1 },
  },
  {
    id: 'CAS-20',
    name: 'the same jti by another client',
    ask: async () => {
      const jti = randomUUID();
      await spentAssertion({ jti });
      const by = stage.agentNamed('support-assistant');
      const assertion = by.assertion({ claims: { jti } });
      return stage.tokenRequest({ by, key: newSessionKey(), fields: { client_assertion: assertion } });
    },
    expected: 'OK',
  },
  {
    id: 'CAS-20',
    name: 'an assertion that was used to revoke',
    ask: async () => {
      const assertion = agent.assertion();
      const { status } = await stage.ask({
        path: '/oauth/revoke',
        fields: { ...agent.authenticated({ token: 'x' }), client_assertion: assertion },
      });
      assert.equal(status, 200);
      return withAssertion(assertion);
    },
    expected: 'IC',
    reason: 'assertion_replayed',
    rows: { spent: 1 },
  },
]);

async function spentAssertion(members: object = {}): Promise<string> {
  const used = agent.assertion({ claims: members });
  const { status, text } = await stage.ask(withAssertion(used));
  assert.equal(status, 200, text);
  return used;
}

const basic = (user: string, password: string) =>
  ['Authorization', `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`] as const;
const challenged =
  (scheme: string) =>
  ({ headers }: { headers: ReadonlyMap<string, readonly string[]> }) =>
    assert.match(headers.get('www-authenticate')?.join('|') ?? '', new RegExp(`^${scheme} `));
const unchallenged = ({ headers }: { headers: ReadonlyMap<string, readonly string[]> }) =>
  assert.equal(headers.get('www-authenticate'), undefined);

stage.run('CAS: the parameters, and other methods', [
  {
    id: 'CAS-02',
    name: 'no client_assertion_type',
    ask: withFields({ client_assertion_type: undefined }),
    expected: 'IR',
  },
  {
    id: 'CAS-02',
    name: 'no client_assertion',
    ask: withFields({ client_assertion: undefined }),
    expected: 'IR',
  },
  ...[
    'urn:ietf:params:oauth:client-assertion-type:saml2-bearer',
    'urn:ietf:params:oauth:grant-type:jwt-bearer',
    'URN:IETF:PARAMS:OAUTH:CLIENT-ASSERTION-TYPE:JWT-BEARER',
    'urn:ietf:params:oauth:client-assertion-type:jwt-bearer ',
    'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe',
    'jwt-bearer',
    CANARY,
  ].map(
    (type): Case => ({
      id: 'CAS-02',
      name: `client_assertion_type ${type}`,
      ask: withFields({ client_assertion_type: type }),
      expected: 'IR',
    }),
  ),
  {
    id: 'CAS-02',
    name: 'client_assertion_type twice',
    ask: () => withFields({ client_assertion_type: [ASSERTION_TYPE, ASSERTION_TYPE] })(),
    expected: 'IR',
  },
  {
    id: 'CAS-02',
    name: 'client_assertion twice the same',
    ask: () => {
      const one = agent.assertion();
      return withFields({ client_assertion: [one, one] })();
    },
    expected: 'IR',
  },
  {
    id: 'CAS-02',
    name: 'client_assertion twice',
    ask: () => withFields({ client_assertion: [agent.assertion(), agent.assertion()] })(),
    expected: 'IR',
  },
  {
    id: 'CAS-30',
    name: 'no authentication at all',
    ask: withFields(NO_ASSERTION),
    expected: 'IC',
    reason: 'client_authentication_missing',
    also: unchallenged,
  },
  {
    id: 'CAS-30',
    name: 'only a client_id, as a public client',
    ask: withFields({ ...NO_ASSERTION, client_id: CLIENT }),
    expected: 'IC',
    also: unchallenged,
  },
  {
    id: 'CAS-30',
    name: 'a secret in the body',
    ask: withFields({ ...NO_ASSERTION, client_id: CLIENT, client_secret: `${CANARY}-secret` }),
    expected: 'IC',
    also: unchallenged,
  },
  {
    id: 'CAS-30',
    name: 'an empty secret in the body',
    ask: withFields({ ...NO_ASSERTION, client_id: CLIENT, client_secret: '' }),
    expected: 'IC',
  },
  {
    id: 'CAS-30',
    name: 'a secret in the Basic header',
    ask: withHeaders([basic(CLIENT, `${CANARY}-secret`)], NO_ASSERTION),
    expected: 'IC',
    reason: 'client_authentication_method',
    also: challenged('Basic'),
  },
  {
    id: 'CAS-30',
    name: 'an empty Basic header',
    ask: withHeaders([['Authorization', 'Basic']], NO_ASSERTION),
    expected: 'IC',
    also: challenged('Basic'),
  },
  {
    id: 'CAS-30',
    name: 'a Basic header that is no base64',
    ask: withHeaders([['Authorization', 'Basic !!!']], NO_ASSERTION),
    expected: 'IC',
    also: challenged('Basic'),
  },
  {
    id: 'CAS-30',
    name: 'a name of a certificate in a header',
    ask: withHeaders(
      [
        ['X-SSL-Client-S-DN', `CN=${CLIENT}`],
        ['Client-Cert', ':AAAA:'],
      ],
      NO_ASSERTION,
    ),
    expected: 'IC',
    also: unchallenged,
  },
  {
    id: 'TOK-18',
    name: 'the Bearer scheme',
    ask: withHeaders([['Authorization', `Bearer ${agent.assertion()}`]], NO_ASSERTION),
    expected: 'IC',
    also: challenged('Bearer'),
  },
  {
    id: 'TOK-18',
    name: 'the DPoP scheme',
    ask: withHeaders([['Authorization', `DPoP ${agent.assertion()}`]], NO_ASSERTION),
    expected: 'IC',
    also: challenged('DPoP'),
  },
  {
    id: 'TOK-18',
    name: 'the scheme in lower case',
    ask: withHeaders([['Authorization', 'bearer x']], NO_ASSERTION),
    expected: 'IC',
    also: challenged('Bearer'),
  },
  {
    id: 'TOK-18',
    name: 'a scheme that nobody knows',
    ask: withHeaders([['Authorization', `${CANARY} x`]], NO_ASSERTION),
    expected: 'IC',
    also: challenged('DPoP'),
  },
  {
    id: 'TOK-18',
    name: 'an empty Authorization header',
    ask: withHeaders([['Authorization', '']], NO_ASSERTION),
    expected: 'IC',
  },
  {
    id: 'TOK-16',
    name: 'an assertion and Basic',
    ask: withHeaders([basic(CLIENT, 'x')]),
    expected: 'IR',
    reason: 'client_authentication_repeated',
  },
  {
    id: 'TOK-16',
    name: 'an assertion and Basic of another client',
    ask: withHeaders([basic('support-assistant', 'x')], { client_id: CLIENT }),
    expected: 'IR',
  },
  {
    id: 'TOK-16',
    name: 'Basic, and the client_id of another client',
    ask: withHeaders([basic('support-assistant', 'x')], { ...NO_ASSERTION, client_id: CLIENT }),
    expected: 'IR',
  },
  {
    id: 'TOK-16',
    name: 'Basic, and the same client_id',
    ask: withHeaders([basic(CLIENT, 'x')], { ...NO_ASSERTION, client_id: CLIENT }),
    expected: 'IC',
  },
  {
    id: 'TOK-16',
    name: 'an assertion and a secret',
    ask: withFields({ client_secret: 'x' }),
    expected: 'IR',
  },
  {
    id: 'TOK-16',
    name: 'Basic and a secret',
    ask: withHeaders([basic(CLIENT, 'x')], { ...NO_ASSERTION, client_secret: 'x' }),
    expected: 'IR',
  },
  {
    id: 'TOK-16',
    name: 'three methods',
    ask: withHeaders([basic(CLIENT, 'x')], { client_secret: 'x' }),
    expected: 'IR',
  },
  {
    id: 'TOK-16',
    name: 'an assertion and a Bearer header',
    ask: withHeaders([['Authorization', 'Bearer x']]),
    expected: 'IR',
  },
  {
    id: 'CAS-03',
    name: 'the assertion in the query',
    ask: () => ({
      ...withFields(NO_ASSERTION)(),
      path: `/oauth/token?client_assertion_type=${encodeURIComponent(ASSERTION_TYPE)}&client_assertion=${agent.assertion()}`,
    }),
    expected: 'IR',
  },
  {
    id: 'CAS-03',
    name: 'a client_id in the query',
    ask: () => ({ ...stage.tokenRequest(), path: `/oauth/token?client_id=${CLIENT}` }),
    expected: 'IR',
  },
  {
    id: 'CAS-03',
    name: 'a secret in the query',
    ask: () => ({ ...stage.tokenRequest(), path: `/oauth/token?client_secret=x` }),
    expected: 'IR',
  },
  {
    id: 'CAS-03',
    name: 'a DPoP proof as the assertion',
    ask: () => withAssertion(agent.proof(stage.session)),
    expected: 'IC',
  },
  {
    id: 'CAS-03',
    name: 'an access token as the assertion',
    ask: async () => withAssertion((await stage.mint()).body.access_token),
    expected: 'IC',
  },
]);

stage.run('CAS: two things wrong at once', [
  {
    id: 'CAS-24',
    name: 'expired and wrongly signed',
    ask: () => withAssertion(agent.assertion({ claims: { exp: nowSeconds() - 60 }, key: newSessionKey() })),
    expected: 'IC',
    reason: 'assertion_signature',
  },
  {
    id: 'CAS-24',
    name: 'another audience and wrongly signed',
    ask: () => withAssertion(agent.assertion({ claims: { aud: 'x' }, key: newSessionKey() })),
    expected: 'IC',
    reason: 'assertion_signature',
  },
  {
    id: 'CAS-24',
    name: 'another audience and an unknown key',
    ask: () => withAssertion(agent.assertion({ claims: { aud: 'x' }, header: { kid: 'nobody' } })),
    expected: 'IC',
    reason: 'assertion_key',
  },
  {
    id: 'CAS-24',
    name: 'an unknown client and expired',
    ask: withClaims({ iss: 'nobody', sub: 'nobody', exp: 1 }),
    expected: 'IC',
    reason: 'client_unknown',
  },
  {
    id: 'CAS-24',
    name: 'a wrong assertion and a wrong proof',
    ask: () => stage.tokenRequest({ dpop: 'x', fields: { client_assertion: 'x' } }),
    expected: 'IC',
  },
  {
    id: 'CAS-24',
    name: 'a wrong assertion and an action that is not granted',
    ask: withFields({ client_assertion: 'x', scope: 'db:made:up' }),
    expected: 'IC',
  },
]);

test('CAS-26: whatever is wrong with an assertion, the words are the same', async () => {
  const wrong = [
    withAssertion(agent.assertion({ key: newSessionKey() })),
    withClaims({ iss: 'nobody', sub: 'nobody' })(),
    withClaims({ aud: 'x' })(),
    withClaims({ exp: 1 })(),
    withHeader({ kid: 'nobody' })(),
    withHeader({ alg: 'none' })(),
    withHeader({ typ: 'dpop+jwt' })(),
    withAssertion('nonsense'),
    withFields({ client_id: 'nobody' })(),
    withAssertion(await spentAssertion()),
  ];
  const answers = await Promise.all(wrong.map((request) => stage.ask(request)));
  const bodies = answers.map(({ body: { request_id: _id, ...rest } }) => rest);
  for (const body of bodies) assert.deepEqual(body, bodies[0]);
  const headers = answers.map((answer) =>
    [...answer.headers.keys()].filter((name) => name !== 'date').sort(),
  );
  for (const each of headers) assert.deepEqual(each, headers[0]);
});

/** The median tells more than the mean on a machine that others use too. */
async function medianMilliseconds(times: number, make: () => Attempt): Promise<number> {
  const taken: number[] = [];
  for (let index = 0; index < times; index += 1) {
    const request = make();
    const start = performance.now();
    await stage.ask(request);
    taken.push(performance.now() - start);
  }
  taken.sort((a, b) => a - b);
  return taken[Math.floor(times / 2)] ?? Number.NaN;
}

test('CAS-26: an unknown client takes about as long as a known one with a wrong key', async (t) => {
  const stranger = newSessionKey();
  const known = () => withAssertion(agent.assertion({ key: stranger }));
  const unknown = () =>
    withAssertion(agent.assertion({ key: stranger, claims: { iss: 'nobody', sub: 'nobody' } }));
  await medianMilliseconds(20, known);
  const rounds = 150;
  const [one, other] = [await medianMilliseconds(rounds, known), await medianMilliseconds(rounds, unknown)];
  t.diagnostic(`medians: known ${one.toFixed(3)} ms, unknown ${other.toFixed(3)} ms`);
  assert.ok(Math.max(one, other) / Math.min(one, other) < 5, `${one} and ${other}`);
});

test('CAS-32: every byte of a valid assertion, changed, makes it invalid, and leaves the rest of it unspent', async () => {
  const good = agent.assertion();
  const { fields = {}, headers = [] } = stage.tokenRequest({ fields: { client_assertion: good } });
  const before = await stage.ledger.countRows();
  const others = 'AQgw-_.=+/ \u0000\u00e4';
  const shift = 5;
  const ask = async (client_assertion: string) => {
    const answer = await stage.ask({ fields: { ...fields, client_assertion }, headers });
    return answer.status === 401 ? null : `${answer.status} ${answer.body?.error}`;
  };
  const wrong: string[] = [];
  for (let index = 0; index < good.length; index += 1) {
    const original = good.charCodeAt(index);
    const turned = [original ^ 1, original ^ 0x20, others.charCodeAt((index * shift) % others.length)];
    for (const code of turned.filter((each) => each !== original)) {
      const outcome = await ask(
        `${good.slice(0, index)}${String.fromCharCode(code)}${good.slice(index + 1)}`,
      );
      if (outcome !== null) wrong.push(`byte ${index} as ${code}: ${outcome}`);
    }
  }
  for (const bent of [
    `${good}=`,
    `${good}\n`,
    ` ${good}`,
    `${good} `,
    `${good}.`,
    `${good}%`,
    good.slice(0, -1),
  ]) {
    const outcome = await ask(bent);
    if (outcome !== null) wrong.push(`${JSON.stringify(bent.slice(-3))}: ${outcome}`);
  }
  assert.deepEqual(wrong, []);
  assert.deepEqual(await stage.ledger.countRows(), before, 'nothing was written');
  assert.equal((await stage.ask({ fields, headers })).status, 200, 'the assertion itself is still good');
});

test('CAS-22: an assertion that was used stays used for every broker that starts later', async () => {
  const used = await spentAssertion({ exp: nowSeconds() + 200 });
  const later = await createStage({ world: stage.world });
  const answer = await later.ask(later.tokenRequest({ fields: { client_assertion: used } }));
  assert.equal(answer.body.error, 'invalid_client', answer.text);
});

test('CAS-18: an assertion signed by hand as deployed clients write it is taken', async () => {
  const now = nowSeconds();
  const assertion = signJwt(
    { alg: 'ES256', typ: 'JWT' },
    { iss: CLIENT, sub: CLIENT, aud: TEST_ISSUER, jti: `${Date.now()}-0.123`, iat: now, exp: now + 300 },
    privateKey,
  );
  assert.equal((await stage.ask(withAssertion(assertion))).status, 200);
});
