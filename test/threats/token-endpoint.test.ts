/** TOK: parameters and grants at the token endpoint. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import { createTestAgent, newSessionKey } from '../test-agent.ts';
import { TEST_ISSUER } from '../test-broker.ts';
import { newDeclaredKey } from '../test-scopes.ts';
import { CANARY } from './after-checks.ts';
import { type Case, createStage } from './oracle.ts';
import { formOf } from './raw-request.ts';

const stage = await createStage();

/** A good request in which these parameters are others. */
const withFields = (fields: Record<string, string | readonly string[] | undefined>) => () =>
  stage.tokenRequest({ fields });

/** A good request with this text after its form. */
const withText =
  (text: string, without: readonly string[] = []) =>
  () => {
    const { fields, headers = [] } = stage.tokenRequest();
    const kept = Object.fromEntries(Object.entries(fields ?? {}).filter(([name]) => !without.includes(name)));
    return { body: `${formOf(kept)}${text}`, headers };
  };

const grantTypes: Case[] = [
  ['missing', undefined, 'IR'],
  ['empty', '', 'IR'],
  ['twice the same', ['client_credentials', 'client_credentials'], 'IR'],
  ['twice, different', ['client_credentials', 'password'], 'IR'],
  ['twice, one of them unknown', ['x', 'client_credentials'], 'IR'],
  ['of 10 kB', 'x'.repeat(10_000), 'UG'],
  ['unknown', `urn:${CANARY}`, 'UG'],
  ['authorization_code', 'authorization_code', 'UG'],
  ['refresh_token', 'refresh_token', 'UG'],
  ['password', 'password', 'UG'],
  ['token exchange', 'urn:ietf:params:oauth:grant-type:token-exchange', 'UG'],
  ['jwt-bearer', 'urn:ietf:params:oauth:grant-type:jwt-bearer', 'UG'],
  ['in upper case', 'CLIENT_CREDENTIALS', 'UG'],
  ['with a space after it', 'client_credentials ', 'UG'],
  ['with a line feed after it', 'client_credentials\n', 'UG'],
  ['a name that every object has', 'constructor', 'UG'],
].map(([name, value, expected]) => ({
  id: 'TOK-02',
  name: `grant_type ${name}`,
  ask: withFields({ grant_type: value as string | string[] | undefined }),
  expected: expected as 'IR' | 'UG',
}));

stage.run('TOK: grant_type', [
  ...grantTypes,
  ...(
    [
      ['an array in the style of PHP', '&grant_type[]=client_credentials', ['grant_type']],
      ['an object in the style of PHP', '&grant_type[a]=client_credentials', ['grant_type']],
      ['in upper case as a name', '&GRANT_TYPE=client_credentials', ['grant_type']],
      ['without an equals sign', '&grant_type', ['grant_type']],
      ['an escape that ends early', '&grant_type=%', ['grant_type']],
      ['a second one that is escaped', '&%67rant_type=client_credentials', []],
      ['a NUL in it', '&grant_type=client_credentials%00', ['grant_type']],
      ['bytes that are no UTF-8', '&grant_type=%ff%fe', ['grant_type']],
      ['an escaped lone surrogate', '&grant_type=%ED%A0%80', ['grant_type']],
      ['a second one after a semicolon', ';grant_type=client_credentials', []],
    ] as [string, string, string[]][]
  ).map(
    ([name, text, without]): Case => ({
      id: 'TOK-02',
      name,
      ask: withText(text, without),
      expected: name.includes('semicolon') ? ['IS', 'IR', 'OK'] : 'IR',
    }),
  ),
  {
    id: 'TOK-02',
    name: 'grant_type in the query alone',
    ask: () => {
      const { fields = {}, headers = [] } = stage.tokenRequest({ fields: { grant_type: undefined } });
      return { path: '/oauth/token?grant_type=client_credentials', fields, headers };
    },
    expected: 'IR',
  },
  {
    id: 'TOK-02',
    name: 'grant_type in the query and in the body',
    ask: () => ({ ...stage.tokenRequest(), path: '/oauth/token?grant_type=client_credentials' }),
    expected: 'IR',
  },
  {
    id: 'TOK-02',
    name: 'scope in the query and in the body',
    ask: () => ({ ...stage.tokenRequest(), path: '/oauth/token?scope=db:read:orders' }),
    expected: 'IR',
  },
  {
    id: 'TOK-02',
    name: 'an unknown parameter in the query, which is ignored (RFC 6749 section 3.2)',
    ask: () => ({ ...stage.tokenRequest(), path: '/oauth/token?tenant=x&utm=y' }),
    expected: 'OK',
  },
]);

stage.run('TOK: parameters without a value, twice, unknown', [
  {
    id: 'TOK-04',
    name: 'scope empty',
    ask: withFields({ scope: '' }),
    expected: 'IS',
    reason: 'scope_missing',
  },
  { id: 'TOK-04', name: 'scope missing', ask: withFields({ scope: undefined }), expected: 'IS' },
  { id: 'TOK-04', name: 'resource empty', ask: withFields({ resource: '' }), expected: 'OK' },
  {
    id: 'TOK-04',
    name: 'resource empty and given',
    ask: withFields({ resource: ['', 'https://customers.example.com'] }),
    expected: 'OK',
  },
  { id: 'TOK-04', name: 'client_id empty', ask: withFields({ client_id: '' }), expected: 'OK' },
  { id: 'TOK-04', name: 'ttl_seconds empty', ask: withFields({ ttl_seconds: '' }), expected: 'OK' },
  {
    id: 'TOK-04',
    name: 'authorization_details empty',
    ask: withFields({ authorization_details: '' }),
    expected: 'OK',
  },
  {
    id: 'TOK-04',
    name: 'client_assertion empty',
    ask: withFields({ client_assertion: '' }),
    expected: ['IR', 'IC'],
  },
  {
    id: 'TOK-04',
    name: 'client_assertion_type empty',
    ask: withFields({ client_assertion_type: '' }),
    expected: 'IR',
  },
  { id: 'TOK-04', name: 'nothing at all', ask: () => ({ body: '' }), expected: 'IR' },
  { id: 'TOK-04', name: 'only separators', ask: () => ({ body: '&&&&=&=x&' }), expected: 'IR' },
  ...[
    'scope',
    'client_id',
    'client_assertion',
    'client_assertion_type',
    'ttl_seconds',
    'authorization_details',
    'client_secret',
    'made_up',
  ].map(
    (name): Case => ({
      id: 'TOK-03',
      name: `${name} twice`,
      ask: withText(`&${name}=a1&${name}=b2`, [name]),
      expected: 'IR',
      reason: 'parameter_repeated',
    }),
  ),
  {
    id: 'TOK-03',
    name: 'a thousand parameters',
    ask: withText(Array.from({ length: 1_000 }, (_, index) => `&p${index}=x`).join('')),
    expected: 'IR',
  },
  {
    id: 'TOK-03',
    name: 'parameters called like members of every object',
    ask: withText('&__proto__=x&constructor=x&toString=x&hasOwnProperty=x&__proto__[admin]=1'),
    expected: 'OK',
  },
  {
    id: 'TOK-03',
    name: 'a body of 64 KiB and one byte',
    ask: () => ({ body: `a=${'x'.repeat(65_535)}` }),
    expected: '413',
  },
  {
    id: 'TOK-03',
    name: 'a body of 1 MB',
    ask: () => ({ body: `a=${'x'.repeat(1_000_000)}` }),
    expected: '413',
  },
]);

const scopes: [string, string][] = [
  ['a double space', 'db:read:customers  db:read:orders'],
  ['a leading space', ' db:read:customers'],
  ['a trailing space', 'db:read:customers '],
  ['only a space', ' '],
  ['a tab', 'db:read:customers\tdb:read:orders'],
  ['a line feed', 'db:read:customers\ndb:read:orders'],
  ['a carriage return and a line feed after it', 'db:read:customers\r\n'],
  ['a no-break space', 'db:read:customers\u00a0db:read:orders'],
  ['a quote', 'db:read:"customers"'],
  ['a backslash', 'db:read:customers\\'],
  ['DEL', 'db:read:customers\u007f'],
  ['a NUL', 'db:read:customers\u0000'],
  ['umlauts', 'db:read:customerś'],
  ['a zero-width space', 'db:read:customers\u200b'],
  ['a right-to-left override', '\u202edb:read:customers'],
  ['full-width letters', 'ｄｂ:read:customers'],
  ['an emoji', '🦋'],
  ['4,097 characters', 'x'.repeat(4_097)],
  ['1,001 names', Array.from({ length: 1_001 }, (_, index) => `a${index}`).join(' ')],
  [
    '101 names, the first a good one',
    `db:read:customers ${Array.from({ length: 100 }, (_, i) => `a${i}`).join(' ')}`,
  ],
  ['an action in upper case', 'DB:READ:CUSTOMERS'],
  ['a wildcard', 'db:read:*'],
  ['only a wildcard', '*'],
  ['the start of an action', 'db:read:'],
  ['a pattern', 'db:read:customer_'],
  ['a percent sign', 'db:%:customers'],
  ['a comma between', 'db:read:customers,db:read:orders'],
  ['a slash', 'db:read:../customers'],
  ['an escaped slash', 'db:read:%2e%2e%2fcustomers'],
  ['two colons', 'db::read:customers'],
  ['a name that every object has', '__proto__'],
  ['constructor', 'constructor'],
  ['an action of the management API', 'mayfly:revoke:sessions'],
  ['SQL', `db:read:customers';--`],
];

stage.run('TOK: scope', [
  ...scopes.map(
    ([name, scope]): Case => ({ id: 'TOK-06', name, ask: withFields({ scope }), expected: 'IS' }),
  ),
  {
    id: 'TOK-06',
    name: 'the same action twice',
    ask: withFields({ scope: 'db:read:customers db:read:customers' }),
    expected: 'OK',
  },
  {
    id: 'TOK-08',
    name: 'an action that is not granted',
    ask: withFields({ scope: 'db:update:customers' }),
    expected: 'IS',
    reason: 'action_not_granted',
  },
  {
    id: 'TOK-08',
    name: 'an action that does not exist',
    ask: withFields({ scope: `db:read:${CANARY}` }),
    expected: 'IS',
    reason: 'action_not_granted',
  },
  {
    id: 'TOK-08',
    name: 'an action of another zone',
    ask: withFields({ scope: 'billing:read:invoices' }),
    expected: 'IS',
    reason: 'action_not_granted',
  },
  {
    id: 'TOK-08',
    name: 'one that is granted and one that is not',
    ask: withFields({ scope: 'db:read:customers db:update:customers' }),
    expected: 'IS',
  },
  {
    id: 'TOK-08',
    name: 'one that is granted and one that does not exist, with a resource',
    ask: withFields({ scope: 'db:read:customers a:b:c', resource: 'https://customers.example.com' }),
    expected: 'IS',
  },
  {
    id: 'TOK-08',
    name: 'an action for single calls as one for a session',
    ask: withFields({ scope: 'storage:write:exports' }),
    expected: 'IS',
    reason: 'action_needs_request_token',
  },
]);

const resources: [string, string | readonly string[]][] = [
  ['that is not absolute', '/customers'],
  ['without a scheme', 'customers.example.com'],
  ['with a fragment', 'https://customers.example.com#x'],
  ['with an empty fragment', 'https://customers.example.com#'],
  ['over http', 'http://customers.example.com'],
  ['twice, different', ['https://customers.example.com', 'https://storage.example.com']],
  ['twice the same', ['https://customers.example.com', 'https://customers.example.com']],
  ['a hundred times', Array.from({ length: 100 }, (_, index) => `https://r${index}.example.com`)],
  ['that is unknown', 'https://unknown.example.com'],
  ['of another action', 'https://storage.example.com'],
  ['of another zone', 'https://billing.example.com'],
  ['in upper case', 'HTTPS://CUSTOMERS.EXAMPLE.COM'],
  ['with the default port', 'https://customers.example.com:443'],
  ['with a port', 'https://customers.example.com:8443'],
  ['with a query', 'https://customers.example.com?x=1'],
  ['with two slashes at the end', 'https://customers.example.com//'],
  ['with dot segments', 'https://customers.example.com/a/..'],
  ['with user information', 'https://x@customers.example.com'],
  ['with a dot after the host', 'https://customers.example.com.'],
  ['with a suffix', 'https://customers.example.com.evil.test'],
  ['with a tab', 'https://customers.example.com\t'],
  ['with a NUL', 'https://customers.example.com\u0000'],
  ['with a space before it', ' https://customers.example.com'],
  ['of 10 kB', `https://${'a'.repeat(10_000)}.example.com`],
  ['a wildcard', 'https://*.example.com'],
  ['javascript:', 'javascript:alert(1)'],
  ['the issuer', 'https://broker.example.com'],
  ['where the sample server plays it in development', 'http://127.0.0.1:8421'],
  ['a name that every object has', '__proto__'],
];

stage.run('TOK: resource', [
  ...resources.map(
    ([name, resource]): Case => ({
      id: 'TOK-10',
      name: `one ${name}`,
      ask: withFields({ resource }),
      expected: 'IT',
    }),
  ),
  {
    id: 'TOK-10',
    name: 'the resource itself',
    ask: withFields({ resource: 'https://customers.example.com' }),
    expected: 'OK',
  },
  {
    id: 'TOK-10',
    name: 'the resource with the slash that URL libraries add',
    ask: withFields({ resource: 'https://customers.example.com/' }),
    expected: 'OK',
  },
  {
    id: 'TOK-10',
    name: 'actions of two resources and no resource',
    ask: withFields({ scope: 'db:read:customers storage:list:exports' }),
    expected: 'IT',
    reason: 'resource_ambiguous',
  },
  {
    id: 'TOK-11',
    name: 'audience instead of resource is ignored',
    ask: withFields({ audience: 'https://storage.example.com' }),
    expected: 'OK',
  },
]);

const ttls = [
  '59',
  '901',
  '0',
  '-60',
  '+60',
  '060',
  '60.0',
  '6e1',
  '0x40',
  ' 60',
  '60s',
  '1e400',
  'NaN',
  '１２０',
  '99999999999999999999',
  CANARY,
];
stage.run('TOK: ttl_seconds', [
  ...ttls.map(
    (ttl): Case => ({
      id: 'TOK-12b',
      name: `ttl_seconds ${ttl}`,
      ask: withFields({ ttl_seconds: ttl }),
      expected: 'IR',
      reason: 'parameter_invalid',
    }),
  ),
  {
    id: 'TOK-12b',
    name: 'ttl_seconds 60',
    ask: withFields({ ttl_seconds: '60' }),
    expected: 'OK',
    also: ({ body }) => void assert.equal(body.expires_in, 60),
  },
  {
    id: 'TOK-12b',
    name: 'ttl_seconds 900',
    ask: withFields({ ttl_seconds: '900' }),
    expected: 'OK',
    also: ({ body }) => void assert.equal(body.expires_in, 900),
  },
  {
    id: 'TOK-12b',
    name: 'ttl_seconds over the limit of the action',
    ask: () =>
      stage.tokenRequest({
        by: stage.agentNamed('support-assistant'),
        key: newSessionKey(),
        fields: { scope: 'db:update:customers', ttl_seconds: '900' },
      }),
    expected: 'OK',
    also: ({ body }) => void assert.equal(body.expires_in, 300),
  },
]);

/** A session of a new key, opened now, whose end is then moved. */
const endingIn = (interval: string) => async () => {
  const key = newSessionKey();
  const { body } = await stage.mint({ key });
  await stage.world.query(`update sessions set expires_at = now() + $1::interval where id = $2`, [
    interval,
    body.session_id,
  ]);
  return stage.tokenRequest({ key });
};

stage.run('TOK: a session that ends, and tokens for whoever holds no key', [
  ...['4.9 seconds', '0.5 seconds', '0 seconds', '-1 seconds', '-1 days'].map(
    (interval): Case => ({
      id: 'TOK-40',
      name: `${interval} are left of the session`,
      ask: endingIn(interval),
      expected: 'IG',
      reason: 'session_expired',
    }),
  ),
  {
    id: 'TOK-40',
    name: '30 seconds are left of the session',
    ask: endingIn('30 seconds'),
    expected: 'OK',
    also: ({ body }) => {
      assert.ok(body.expires_in >= 27 && body.expires_in <= 30, `${body.expires_in}`);
      const { iat, exp } = decodeJwt(body.access_token);
      assert.equal((exp ?? 0) - (iat ?? 0), body.expires_in);
    },
  },
  {
    id: 'TOK-48',
    name: 'no DPoP header',
    ask: () => stage.tokenRequest({ dpop: null }),
    expected: 'DP',
    reason: 'proof_missing',
  },
  { id: 'TOK-48', name: 'an empty DPoP header', ask: () => stage.tokenRequest({ dpop: '' }), expected: 'DP' },
  {
    id: 'TOK-48',
    name: 'a bearer token asked for, without a proof',
    ask: () => stage.tokenRequest({ dpop: null, fields: { token_type: 'Bearer' } }),
    expected: 'DP',
  },
  {
    id: 'TOK-48',
    name: 'a bearer token asked for, with a proof',
    ask: withFields({ token_type: 'Bearer', requested_token_type: 'urn:x' }),
    expected: 'OK',
    also: ({ body }) => void assert.equal(body.token_type, 'DPoP'),
  },
  {
    id: 'TOK-48',
    name: 'a thumbprint in place of a proof',
    ask: () => stage.tokenRequest({ dpop: null, fields: { dpop_jkt: stage.session.jkt } }),
    expected: 'DP',
  },
]);

stage.run('TOK: who may not ask', [
  {
    id: 'TOK-49',
    name: 'a resource server asks for a token',
    ask: () => {
      const by = stage.resourceNamed('https://customers.example.com');
      return stage.tokenRequest({ by });
    },
    expected: 'UC',
    reason: 'client_is_no_agent',
  },
  {
    id: 'TOK-22',
    name: 'an Idempotency-Key changes nothing: each answer is a token of its own',
    ask: () => {
      const { headers = [], ...request } = stage.tokenRequest();
      return { ...request, headers: [...headers, ['Idempotency-Key', `"${'k'.repeat(5_000)}"`]] };
    },
    expected: 'OK',
  },
]);

test('TOK-08: an action that exists and one that does not are refused in the same words', async () => {
  const answers = await Promise.all(
    ['db:update:customers', 'db:made:up', 'billing:read:invoices', 'db:delete:customers'].map((scope) =>
      stage.ask(stage.tokenRequest({ fields: { scope } })),
    ),
  );
  const bodies = answers.map(({ body: { request_id: _id, ...rest } }) => rest);
  for (const body of bodies) assert.deepEqual(body, bodies[0]);
  assert.match(bodies[0]?.error_description, /agents\/report-writer\.yaml/, 'the file is named');
  assert.match(bodies[0]?.error_description, /data-platform/, 'the owner is named');
});

test('TOK-08: the same request without authentication learns nothing of the catalogue', async () => {
  const other = newDeclaredKey();
  const stranger = createTestAgent({
    url: stage.broker.url,
    issuer: TEST_ISSUER,
    clientId: 'report-writer',
    key: other.privateJwk,
  });
  const ask = async (scope: string) => {
    const { body } = await stage.ask(stage.tokenRequest({ by: stranger, fields: { scope } }));
    const { request_id: _id, ...rest } = body;
    return rest;
  };
  assert.deepEqual(await ask('db:read:customers'), await ask('db:made:up'));
});
