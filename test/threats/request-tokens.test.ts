/** TOK-12 and L19: tokens for one call: what may be asked for, and how they are spent. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { soakFactor } from '../soak.ts';
import { newSessionKey, type TestAgent } from '../test-agent.ts';
import { CANARY } from './after-checks.ts';
import { type Case, createStage } from './oracle.ts';
import type { Outcome } from './outcomes.ts';
import type { Attempt } from './raw-request.ts';

const stage = await createStage();
const { agent } = stage;
const RESOURCE = 'https://storage.example.com';
const storage = stage.resourceNamed(RESOURCE);
const customers = stage.resourceNamed('https://customers.example.com');

const digest = createHash('sha256').update('{"format":"csv","name":"q3"}').digest('base64url');
const call = (members: object = {}) => ({
  type: 'mayfly_call',
  action: 'storage:write:exports',
  method: 'POST',
  url: 'https://storage.example.com/exports',
  arguments_digest: digest,
  ...members,
});
const withDetails =
  (authorization_details: string, fields: Attempt['fields'] = {}) =>
  () =>
    stage.tokenRequest({ fields: { scope: undefined, authorization_details, ...fields } });
const withCall = (members: object, fields: Attempt['fields'] = {}) =>
  withDetails(JSON.stringify([call(members)]), fields);
const withText = (change: (text: string) => string) => withDetails(change(JSON.stringify([call()])));

stage.run('TOK: authorization_details as text', [
  ...(
    [
      ['not JSON', 'nonsense'],
      ['an object in place of a list', JSON.stringify(call())],
      ['an empty list', '[]'],
      ['two calls', JSON.stringify([call(), call()])],
      ['a call and nothing', JSON.stringify([call(), null])],
      ['a list in a list', JSON.stringify([[call()]])],
      ['null', 'null'],
      ['a list of null', '[null]'],
      ['a text', '"mayfly_call"'],
      ['a number', '7'],
      ['an empty object', '[{}]'],
      ['single quotes', JSON.stringify([call()]).replaceAll('"', "'")],
      ['two documents', `${JSON.stringify([call()])}[]`],
      ['a comma at the end', JSON.stringify([call()]).replace(']', ',]')],
      ['a byte order mark', `\ufeff${JSON.stringify([call()])}`],
      ['a comment', `/**/${JSON.stringify([call()])}`],
      ['NaN', '[NaN]'],
      ['1e400', '[1e400]'],
      ['a NUL after it', `${JSON.stringify([call()])}\u0000`],
      ['a depth of 33', `${'['.repeat(33)}${']'.repeat(33)}`],
      ['a depth of 100', `${'['.repeat(100)}${']'.repeat(100)}`],
      ['a depth of 6,000', '['.repeat(6_000)],
      ['objects, 1,500 deep', '{"a":'.repeat(1_500)],
      ['a thousand members', JSON.stringify([{ ...call(), x: Array.from({ length: 1_000 }, () => 1) }])],
      [
        '10,000 characters',
        JSON.stringify([call({ url: `https://storage.example.com/${'x'.repeat(10_000)}` })]),
      ],
      ['20,000 characters', `["${'x'.repeat(20_000)}"]`],
      ['a canary', `["${CANARY}"]`],
    ] as const
  ).map(([name, text]): Case => ({ id: 'TOK-12', name, ask: withDetails(text), expected: 'AD' })),
  { id: 'TOK-12', name: 'of 1 MB', ask: withDetails(`["${'x'.repeat(1_000_000)}"]`), expected: '413' },
  ...(
    [
      ['type twice', (text: string) => text.replace('{', '{"type":"other",')],
      ['a member twice the same', (text: string) => text.replace('{', '{"method":"POST",')],
      ['a member twice, once escaped', (text: string) => text.replace('{', '{"m\\u0065thod":"GET",')],
      ['__proto__', (text: string) => text.replace('{', '{"__proto__":{"action":"x"},')],
      ['__proto__, escaped', (text: string) => text.replace('{', '{"\\u005f_proto__":{},')],
      ['constructor', (text: string) => text.replace('{', '{"constructor":{},')],
      ['a lone surrogate', (text: string) => text.replace('"POST"', '"\\ud800"')],
      ['a NUL in the method', (text: string) => text.replace('"POST"', '"POST\\u0000"')],
    ] as const
  ).map(([name, change]): Case => ({ id: 'TOK-12', name, ask: withText(change), expected: 'AD' })),
]);

const members: [string, object, Outcome][] = [
  ['nothing else', {}, 'OK'],
  ['another type', { type: 'payment_initiation' }, 'AD'],
  ['no type', { type: undefined }, 'AD'],
  ['the type in upper case', { type: 'MAYFLY_CALL' }, 'AD'],
  ['an unknown member', { limit: 5 }, 'AD'],
  ['locations', { locations: [RESOURCE] }, 'AD'],
  ['a member in another case', { Action: 'db:read:customers' }, 'AD'],
  ['no action', { action: undefined }, 'AD'],
  ['an empty action', { action: '' }, 'AD'],
  ['an action of 129 characters', { action: 'a'.repeat(129) }, 'AD'],
  ['a list of actions', { action: ['storage:write:exports'] }, 'AD'],
  ['an action that does not exist', { action: `a:b:${CANARY}` }, 'IS'],
  ['an action that is not granted', { action: 'billing:hold:payments' }, 'IS'],
  ['an action with an approval', { action: 'storage:delete:exports' }, 'IS'],
  ['an action of sessions, for one call', { action: 'storage:list:exports' }, 'OK'],
  ['a wildcard', { action: '*' }, 'IS'],
  ['no method', { method: undefined }, 'AD'],
  ['a method in lower case', { method: 'post' }, 'AD'],
  ['an empty method', { method: '' }, 'AD'],
  ['two methods', { method: 'GET,POST' }, 'AD'],
  ['a method of 17 letters', { method: 'A'.repeat(17) }, 'AD'],
  ['a method with a line feed', { method: 'POST\n' }, 'AD'],
  ['any method', { method: '*' }, 'AD'],
  ['a method as a number', { method: 7 }, 'AD'],
  ['no url', { url: undefined }, 'AD'],
  ['a relative url', { url: '/exports' }, 'AD'],
  ['a url with a fragment', { url: 'https://storage.example.com/exports#x' }, 'AD'],
  ['a url with an empty fragment', { url: 'https://storage.example.com/exports#' }, 'AD'],
  ['a url with a query', { url: 'https://storage.example.com/exports?dry=1' }, 'OK'],
  ['a url with user information', { url: 'https://a@storage.example.com/exports' }, 'AD'],
  ['a url with a backslash', { url: 'https://storage.example.com\\exports' }, 'AD'],
  ['a url with a tab', { url: 'https://storage.example.com/ex\tports' }, 'AD'],
  ['a url with a space', { url: 'https://storage.example.com/ex ports' }, 'AD'],
  ['a url with a wildcard in the host', { url: 'https://*.example.com/exports' }, 'AD'],
  ['a url that is a file', { url: 'file:///etc/passwd' }, 'AD'],
  ['a url that is a script', { url: 'javascript:alert(1)' }, 'AD'],
  ['a list of urls', { url: ['https://storage.example.com/exports'] }, 'AD'],
  ['no digest', { arguments_digest: undefined }, 'AD'],
  ['an empty digest', { arguments_digest: '' }, 'AD'],
  ['a digest of 31 bytes', { arguments_digest: Buffer.alloc(31).toString('base64url') }, 'AD'],
  ['a digest of 33 bytes', { arguments_digest: Buffer.alloc(33).toString('base64url') }, 'AD'],
  ['a digest with padding', { arguments_digest: `${digest}=` }, 'AD'],
  ['a digest in hexadecimal', { arguments_digest: Buffer.from(digest, 'base64url').toString('hex') }, 'AD'],
  [
    'a digest with unused bits',
    { arguments_digest: `${digest.slice(0, -1)}${digest.endsWith('B') ? 'D' : 'B'}` },
    'AD',
  ],
  ['a digest that is null', { arguments_digest: null }, 'AD'],
];
stage.run('TOK: the members of a call', [
  ...members.map(([name, bent, expected]): Case => ({ id: 'TOK-12', name, ask: withCall(bent), expected })),
  {
    id: 'TOK-12',
    name: 'the same action in scope',
    ask: withCall({}, { scope: 'storage:write:exports' }),
    expected: 'OK',
  },
  {
    id: 'TOK-12',
    name: 'another action in scope',
    ask: withCall({}, { scope: 'storage:list:exports' }),
    expected: 'IS',
  },
  {
    id: 'TOK-12',
    name: 'the action and another one in scope',
    ask: withCall({}, { scope: 'storage:write:exports storage:list:exports' }),
    expected: 'IS',
  },
  {
    id: 'TOK-12',
    name: 'the resource of the action',
    ask: withCall({}, { resource: RESOURCE }),
    expected: 'OK',
  },
  {
    id: 'TOK-12',
    name: 'another resource',
    ask: withCall({}, { resource: 'https://customers.example.com' }),
    expected: 'IT',
  },
  {
    id: 'TOK-12',
    name: 'a longer life',
    ask: withCall({}, { ttl_seconds: '900' }),
    expected: 'OK',
    also: ({ body }) => void assert.equal(body.expires_in, 60),
  },
  {
    id: 'TOK-12',
    name: 'an action that a person has to approve',
    ask: () => {
      const by = stage.agentNamed('support-assistant');
      const details = JSON.stringify([call({ action: 'storage:share:exports' })]);
      return stage.tokenRequest({
        by,
        key: newSessionKey(),
        fields: { scope: undefined, authorization_details: details },
      });
    },
    expected: 'AR',
    reason: 'action_needs_approval',
  },
  {
    id: 'TOK-12',
    name: 'authorization_details twice',
    ask: () =>
      withDetails('x', { authorization_details: [JSON.stringify([call()]), JSON.stringify([call()])] })(),
    expected: 'IR',
  },
]);

async function requestToken(
  bent: object = {},
  by: TestAgent = agent,
): Promise<{ jti: string; text: string }> {
  const fields = { scope: undefined, authorization_details: JSON.stringify([call(bent)]) };
  const answer = await stage.mint({ by, key: newSessionKey(), fields });
  assert.equal(answer.status, 200, answer.text);
  const text: string = answer.body.access_token;
  return { jti: decodeJwt(text).jti ?? '', text };
}

const consume = (jti: string, by: TestAgent = storage, body: object = {}): Attempt => ({
  path: `/v1/tokens/${jti}/consume`,
  json: { ...by.authenticated({}), ...body },
});
const SPENT = { rows: { spent: 1 } };

stage.run('L19: spending a token', [
  {
    id: 'TOK-13',
    name: 'a live one',
    ask: async () => consume((await requestToken()).jti),
    expected: 'OK',
    rows: { spent: 1, consumed: 1 },
  },
  {
    id: 'TOK-13',
    name: 'a live one, with a nonce that comes back',
    ask: async () => consume((await requestToken()).jti, storage, { nonce: 'n-1_~!"#' }),
    expected: 'OK',
    rows: { spent: 1, consumed: 1 },
    also: ({ body }) => {
      assert.deepEqual(Object.keys(body).sort(), ['consumed_at', 'jti', 'nonce']);
      assert.equal(body.nonce, 'n-1_~!"#');
      assert.ok(Math.abs(body.consumed_at - Date.now() / 1000) < 60);
    },
  },
  {
    id: 'TOK-13',
    name: 'one that was spent',
    ask: async () => {
      const { jti } = await requestToken();
      assert.equal((await stage.ask(consume(jti))).status, 200);
      return consume(jti);
    },
    expected: 'SPENT',
    reason: 'token_already_spent',
    ...SPENT,
  },
  {
    id: 'TOK-13',
    name: 'one of another resource',
    ask: async () => consume((await requestToken()).jti, customers),
    expected: 'UNKNOWN',
    reason: 'token_not_ours',
    ...SPENT,
  },
  {
    id: 'TOK-13',
    name: 'one of another resource that was spent there',
    ask: async () => {
      const { jti } = await requestToken();
      assert.equal((await stage.ask(consume(jti))).status, 200);
      return consume(jti, customers);
    },
    expected: 'UNKNOWN',
    ...SPENT,
  },
  {
    id: 'TOK-13',
    name: 'one of a session',
    ask: async () => {
      const { body } = await stage.mint({ key: newSessionKey() });
      return consume(decodeJwt(body.access_token).jti ?? '', customers);
    },
    expected: 'UNKNOWN',
    ...SPENT,
  },
  {
    id: 'TOK-13',
    name: 'one that never was',
    ask: () => consume(newIdentifier('tok', systemClock)),
    expected: 'UNKNOWN',
    ...SPENT,
  },
  {
    id: 'TOK-13',
    name: 'one that expired',
    ask: async () => {
      const { jti } = await requestToken();
      await stage.world.query(`update tokens set expires_at = now() where jti = $1`, [jti]);
      return consume(jti);
    },
    expected: 'DEAD',
    reason: 'token_expired_or_revoked',
    ...SPENT,
  },
  {
    id: 'TOK-13',
    name: 'one that was revoked',
    ask: async () => {
      const { jti, text } = await requestToken();
      assert.equal(
        (await stage.ask({ path: '/oauth/revoke', fields: agent.authenticated({ token: text }) })).status,
        200,
      );
      return consume(jti);
    },
    expected: 'DEAD',
    ...SPENT,
  },
  {
    id: 'TOK-13',
    name: 'one whose session was revoked',
    ask: async () => {
      const { jti, text } = await requestToken();
      await stage.world.query(
        `select append_revocation('rev_' || gen_random_uuid(), 'session', $1, false, null, 'r', 'a', 'aud_' || gen_random_uuid(), null)`,
        [decodeJwt(text).sid],
      );
      return consume(jti);
    },
    expected: 'DEAD',
    ...SPENT,
  },
  {
    id: 'TOK-13',
    name: 'by the agent that it was issued to',
    ask: async () => consume((await requestToken()).jti, agent),
    expected: 'UC',
    reason: 'client_is_no_resource',
  },
  {
    id: 'TOK-13',
    name: 'with an assertion that was used',
    ask: async () => {
      const used = consume(newIdentifier('tok', systemClock));
      assert.equal((await stage.ask(used)).status, 404);
      return { ...consume((await requestToken()).jti), json: used.json };
    },
    expected: 'IC',
    reason: 'assertion_replayed',
  },
]);

const noIdentifiers = [
  'x',
  'tok_',
  'TOK_01K5H0M2V3X8Q6D0W9R7T4Y1ZB',
  'ses_01k5h0m2v3x8q6d0w9r7t4y1zb',
  'tok_01k5h0m2v3x8q6d0w9r7t4y1zbx',
  'tok_01k5h0m2v3x8q6d0w9r7t4y1zu',
  'tok_%2e%2e%2f',
  'tok_01k5h0m2v3x8q6d0w9r7t4y1z%00',
  'tok_01k5h0m2v3x8q6d0w9r7t4y1z%0a',
  '%2e%2e',
  '__proto__',
  '*',
  'tok_%25',
  "tok_'--",
  'x'.repeat(5_000),
];
stage.run('L19: how it is asked', [
  ...noIdentifiers.map(
    (jti): Case => ({
      id: 'TOK-20',
      name: `a token called ${jti.slice(0, 40)}`,
      ask: () => consume(jti),
      expected: 'UNKNOWN',
    }),
  ),
  { id: 'TOK-20', name: 'a token without a name', ask: () => consume(''), expected: '404' },
  { id: 'TOK-20', name: 'a name with a slash', ask: () => consume('a/b'), expected: '404' },
  { id: 'TOK-20', name: 'a name that is no UTF-8', ask: () => consume('%FF'), expected: 'IR' },
  ...(
    [
      ['an unknown member', { tenant: 'x' }],
      ['a member in another case', { Nonce: 'x' }],
      ['a client_id', { client_id: RESOURCE }],
      ['a nonce that is a number', { nonce: 7 }],
      ['a nonce that is null', { nonce: null }],
      ['a nonce that is a list', { nonce: ['x'] }],
      ['an empty nonce', { nonce: '' }],
      ['a nonce of 129 characters', { nonce: 'n'.repeat(129) }],
      ['a nonce with a space', { nonce: 'a b' }],
      ['a nonce with a NUL', { nonce: 'a\u0000b' }],
      ['a nonce with an emoji', { nonce: '🦋' }],
      ['a nonce with a line feed', { nonce: 'a\n' }],
      ['an assertion that is a list', { client_assertion: ['x'] }],
      ['no assertion type', { client_assertion_type: undefined }],
    ] as const
  ).map(
    ([name, body]): Case => ({
      id: 'TRN-58',
      name,
      ask: async () => consume((await requestToken()).jti, storage, body),
      expected: 'IR',
    }),
  ),
  {
    id: 'TRN-58',
    name: 'no members',
    ask: () => ({ path: `/v1/tokens/${newIdentifier('tok', systemClock)}/consume`, json: {} }),
    expected: 'IC',
  },
  {
    id: 'TRN-58',
    name: 'a Bearer header beside the assertion',
    ask: async () => ({ ...consume((await requestToken()).jti), headers: [['Authorization', 'Bearer x']] }),
    expected: 'IR',
  },
  {
    id: 'TRN-58',
    name: 'a DPoP header in place of the assertion',
    ask: async () => ({
      path: `/v1/tokens/${(await requestToken()).jti}/consume`,
      json: {},
      headers: [['Authorization', `DPoP ${CANARY}`]],
    }),
    expected: 'IC',
  },
]);

/** JSON as text, around a good assertion. */
const withJson = (change: (text: string) => string | Buffer) => async (): Promise<Attempt> => ({
  path: `/v1/tokens/${(await requestToken()).jti}/consume`,
  headers: [['Content-Type', 'application/json']],
  body: change(JSON.stringify(storage.authenticated({}))),
});
const member = (text: string) => (json: string) => `${json.slice(0, -1)},${text}}`;
const deep = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const objects = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
stage.run('TRN: JSON that could be read in two ways', [
  ...(
    [
      ['TRN-50', 'arrays, 33 deep', member(`"nonce":${deep(33)}`)],
      ['TRN-50', 'arrays, 100 deep', member(`"nonce":${deep(100)}`)],
      ['TRN-50', 'arrays, 10,000 deep', member(`"nonce":${deep(10_000)}`)],
      ['TRN-50', 'objects, 33 deep', member(`"nonce":${objects(33)}`)],
      ['TRN-50', 'objects, 9,000 deep', member(`"nonce":${objects(9_000)}`)],
      ['TRN-50', 'brackets that never close', () => '['.repeat(60_000)],
      ['TRN-50', 'braces that never close', () => '{"a":'.repeat(12_000)],
      [
        'TRN-54',
        '4,000 members like numbers',
        member(Array.from({ length: 4_000 }, (_, i) => `"${i * 65_536}":1`).join(',')),
      ],
      ['TRN-56', 'a byte order mark', (json: string) => `\ufeff${json}`],
      ['TRN-56', 'a comma at the end', (json: string) => json.replace('}', ',}')],
      ['TRN-56', 'NaN', member('"nonce":NaN')],
      ['TRN-56', 'Infinity', member('"nonce":-Infinity')],
      ['TRN-56', 'single quotes', (json: string) => json.replaceAll('"', "'")],
      ['TRN-56', 'a comment', (json: string) => `${json}// x`],
      ['TRN-56', 'two documents', (json: string) => `${json}${json}`],
      ['TRN-56', 'two lines of documents', (json: string) => `${json}\n${json}`],
      ['TRN-56', 'bytes after it', (json: string) => `${json}\u0000`],
      ['TRN-56', 'UTF-16', (json: string) => Buffer.from(json, 'utf16le')],
      [
        'TRN-56',
        'UTF-32',
        (json: string) => Buffer.from([...json].flatMap((c) => [0, 0, 0, c.charCodeAt(0)])),
      ],
      [
        'TRN-56',
        'bytes that are no UTF-8',
        (json: string) =>
          Buffer.concat([
            Buffer.from(json.slice(0, -1)),
            Buffer.from(',"nonce":"'),
            Buffer.from([0xc3, 0x28]),
            Buffer.from('"}'),
          ]),
      ],
      ['TRN-56', 'a list of requests', (json: string) => `[${json}]`],
      ['TRN-56', 'null', () => 'null'],
      ['TRN-56', 'a number', () => '7'],
      ['TRN-56', 'a text', () => '"x"'],
      ['TRN-56', 'half of it', (json: string) => json.slice(0, 40)],
      ['TRN-56', 'only spaces', () => '    '],
      ['TRN-58', 'a member twice the same', member('"nonce":"a","nonce":"a"')],
      ['TRN-58', 'a member twice', member('"nonce":"a","nonce":"b"')],
      ['TRN-58', 'a member twice, once escaped', member('"nonce":"a","n\\u006fnce":"b"')],
      ['TRN-58', 'the assertion twice', member('"client_assertion":"x"')],
      ['TRN-58', '__proto__', member('"__proto__":{"nonce":"x"}')],
      ['TRN-58', 'constructor', member('"constructor":{"prototype":{}}')],
      ['TRN-58', 'an escaped lone surrogate', member('"nonce":"\\ud800"')],
      ['TRN-60', '1e400', member('"nonce":1e400')],
      ['TRN-60', '-0', member('"nonce":-0')],
      ['TRN-60', '2^53 + 1', member('"nonce":9007199254740993')],
      ['TRN-60', '1E+2', member('"nonce":1E+2')],
      ['TRN-60', '0.1e1', member('"nonce":0.1e1')],
      ['TRN-60', '01', member('"nonce":01')],
      ['TRN-60', '+1', member('"nonce":+1')],
      ['TRN-60', '1.', member('"nonce":1.')],
    ] as const
  ).map(([id, name, change]): Case => ({ id, name, ask: withJson(change), expected: 'IR' })),
  {
    id: 'TRN-54',
    name: '50,000 members like numbers',
    ask: withJson(member(Array.from({ length: 50_000 }, (_, i) => `"${i * 65_536}":1`).join(','))),
    expected: '413',
  },
  { id: 'TRN-50', name: 'arrays, 200,000 deep', ask: withJson(() => deep(200_000)), expected: '413' },
  {
    id: 'TRN-16',
    name: 'JSON called text',
    ask: async () => ({ ...consume((await requestToken()).jti), headers: [['Content-Type', 'text/plain']] }),
    expected: '415',
  },
  {
    id: 'TRN-16',
    name: 'JSON called UTF-16',
    ask: async () => ({
      ...consume((await requestToken()).jti),
      headers: [['Content-Type', 'application/json; charset=utf-16']],
    }),
    expected: '415',
  },
  {
    id: 'TRN-16',
    name: 'a form',
    ask: async () => ({
      path: `/v1/tokens/${(await requestToken()).jti}/consume`,
      fields: storage.authenticated({}),
    }),
    expected: '415',
  },
  {
    id: 'TRN-16',
    name: 'no body',
    ask: async () => ({ path: `/v1/tokens/${(await requestToken()).jti}/consume`, body: '' }),
    expected: ['IR', '415', 'IC'],
  },
]);

for (const parallel of [2, 100 * Math.min(soakFactor(), 10)]) {
  test(`L19: ${parallel} consumptions of one token at once are one success`, async () => {
    const { jti, text } = await requestToken();
    const answers = await Promise.all(Array.from({ length: parallel }, () => stage.ask(consume(jti))));
    const codes = answers.map(({ status, body }) => (status === 200 ? 'ok' : body.code)).sort();
    assert.deepEqual(codes, ['ok', ...Array.from({ length: parallel - 1 }, () => 'token_spent')]);
    const introspection = await stage.ask({
      path: '/oauth/introspect',
      fields: storage.authenticated({ token: text }),
    });
    assert.equal(introspection.text, '{"active":false}', 'and it is inactive');
  });
}

test('L19: the same request a hundred times at once is one success, and the others are not told whether', async () => {
  const request = consume((await requestToken()).jti);
  const answers = await Promise.all(Array.from({ length: 100 }, () => stage.ask(request)));
  const statuses = answers.map(({ status }) => status).sort();
  assert.deepEqual(statuses, [200, ...Array.from({ length: 99 }, () => 401)]);
});

test('L19: a consumption and a revocation at once never leave a spent token that was refused as dead', async () => {
  for (let round = 0; round < 10 * soakFactor(); round += 1) {
    const { jti, text } = await requestToken();
    const [consumed] = await Promise.all([
      stage.ask(consume(jti)),
      stage.ask({ path: '/oauth/revoke', fields: agent.authenticated({ token: text }) }),
    ]);
    const [row] = await stage.world.query<{ spent: boolean }>(
      'select consumed_at is not null as spent from tokens where jti = $1',
      [jti],
    );
    assert.equal(row?.spent, consumed.status === 200, consumed.text);
    if (consumed.status !== 200) assert.equal(consumed.body.code, 'token_dead');
  }
});

test('TOK-12: the call stands in the token, in the answer and in the introspection, as it was asked', async () => {
  const { text } = await requestToken();
  assert.deepEqual(decodeJwt(text).authorization_details, [call()]);
  const { body } = await stage.ask({
    path: '/oauth/introspect',
    fields: storage.authenticated({ token: text }),
  });
  assert.equal(body.active, true);
  assert.deepEqual(body.authorization_details, [call()]);
});
