/** JWK: our key set, our metadata, and the keys that others declare. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { calculateJwkThumbprint, decodeProtectedHeader } from 'jose';
import { newSessionKey } from '../test-agent.ts';
import { TEST_ISSUER } from '../test-broker.ts';
import { editedCatalogue, editScopes } from './edited-scopes.ts';
import { type Case, createStage } from './oracle.ts';
import { createRawClient, type Header } from './raw-request.ts';

const stage = await createStage();
const KEYS = '/.well-known/jwks.json';
const METADATA = '/.well-known/oauth-authorization-server';

const others = ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND'];
stage.run('JWK: what is only read', [
  ...[KEYS, METADATA].flatMap((path) =>
    others.map(
      (method): Case => ({
        id: 'JWK-02',
        name: `${method} ${path}`,
        ask: () => ({ method, path, body: '' }),
        expected: '405',
        also: ({ headers }) => void assert.equal(headers.get('allow')?.join(), 'GET, HEAD'),
      }),
    ),
  ),
  {
    id: 'JWK-01',
    name: 'a slash after it',
    ask: () => ({ method: 'GET', path: `${KEYS}/` }),
    expected: '404',
  },
  {
    id: 'JWK-01',
    name: 'in upper case',
    ask: () => ({ method: 'GET', path: '/.well-known/JWKS.json' }),
    expected: '404',
  },
  {
    id: 'JWK-01',
    name: 'by a dot segment',
    ask: () => ({ method: 'GET', path: '/x/../.well-known/jwks.json' }),
    expected: '404',
  },
  {
    id: 'JWK-01',
    name: 'metadata of a tenant',
    ask: () => ({ method: 'GET', path: `${METADATA}/tenant` }),
    expected: '404',
  },
  {
    id: 'JWK-01',
    name: 'metadata of OpenID',
    ask: () => ({ method: 'GET', path: '/.well-known/openid-configuration' }),
    expected: '404',
  },
]);

async function read(path: string, headers: readonly Header[] = []) {
  const answer = await stage.ask({ method: 'GET', path, headers });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers.get('etag'), undefined);
  assert.equal(answer.headers.get('x-powered-by'), undefined);
  assert.equal(answer.headers.get('content-type')?.join(), 'application/json');
  return answer;
}

test('JWK-01: the key set holds public members and no others, each key has a name of its own', async () => {
  const { keys } = (await read(KEYS)).body;
  assert.ok(keys.length > 0 && keys.length <= 50);
  for (const key of keys) {
    assert.deepEqual(Object.keys(key).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x']);
    assert.equal(key.use, 'sig');
  }
  assert.equal(new Set(keys.map(({ kid }: { kid: string }) => kid)).size, keys.length);
});

test('JWK-01: a token names a key of the set', async () => {
  const { keys } = (await read(KEYS)).body;
  const { kid } = decodeProtectedHeader((await stage.mint()).body.access_token);
  assert.ok(keys.some((key: { kid: string }) => key.kid === kid));
});

test('MET-02: nothing in a request changes what the metadata and the keys say', async () => {
  const strange: Header[][] = [
    [['Host', 'evil.test']],
    [
      ['X-Forwarded-Host', 'evil.test'],
      ['X-Forwarded-Proto', 'http'],
      ['X-Forwarded-Port', '1'],
      ['X-Forwarded-Prefix', '/evil'],
    ],
    [['Forwarded', 'for=1.2.3.4;host=evil.test;proto=http']],
    [
      ['X-Original-URL', '/evil'],
      ['X-Rewrite-URL', '/evil'],
      ['X-HTTP-Method-Override', 'POST'],
    ],
    [
      ['Origin', 'https://evil.test'],
      ['Referer', 'https://evil.test/'],
    ],
    [
      ['Accept', 'text/html'],
      ['Accept-Language', '../../etc'],
      ['Range', 'bytes=0-3'],
      ['If-None-Match', '*'],
    ],
  ];
  for (const path of [KEYS, METADATA]) {
    const { text } = await read(path);
    for (const headers of strange) {
      const raw = createRawClient(stage.broker.url);
      const answer = await raw.send({ method: 'GET', path, headers });
      raw.close();
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.text, text, JSON.stringify(headers));
      assert.equal(answer.headers.get('access-control-allow-origin'), undefined);
    }
    assert.equal((await read(`${path}?issuer=evil.test`)).text, text);
  }
});

test('MET-02: every address in the metadata is of the configured issuer', async () => {
  const { body } = await read(METADATA);
  assert.equal(body.issuer, TEST_ISSUER);
  const addresses = Object.entries(body).filter(([name]) => /_endpoint$|_uri$/.test(name));
  assert.ok(addresses.length >= 5);
  for (const [name, url] of addresses) assert.ok(String(url).startsWith(`${TEST_ISSUER}/`), `${name} ${url}`);
});

test('JWK-12: a key has one thumbprint whatever stands around its members', async () => {
  const session = newSessionKey();
  const { kty, crv, x, y } = session.publicJwk;
  const expected = await calculateJwkThumbprint(
    session.publicJwk as Parameters<typeof calculateJwkThumbprint>[0],
  );
  const spellings = [
    { kty, crv, x, y },
    { y, x, crv, kty },
    { kid: 'a', use: 'sig', alg: 'ES256', ext: true, key_ops: ['verify'], kty, crv, x, y, more: { x: 'y' } },
  ];
  const seen = new Set<string>();
  for (const jwk of spellings) {
    const dpop = stage.agent.proof(session, { header: { jwk } });
    const answer = await stage.ask(stage.tokenRequest({ dpop }));
    assert.equal(answer.status, 200, answer.text);
    seen.add(answer.body.session_id);
    const [, payload = ''] = answer.body.access_token.split('.');
    assert.deepEqual(JSON.parse(Buffer.from(payload, 'base64url').toString()).cnf, { jkt: expected });
  }
  assert.equal(seen.size, 1, 'one key, one session');
});

const jwkOf = (curve: string) =>
  generateKeyPairSync('ec', { namedCurve: curve }).publicKey.export({ format: 'jwk' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey.export({ format: 'jwk' });
const good = newSessionKey().publicJwk;
const edwards = newSessionKey('ed25519').publicJwk;
const declared: [string, object][] = [
  ['RSA of 1,024 bits', { ...rsa, alg: 'RS256', kid: 'k' }],
  ['RSA with e = 1', { ...rsa, e: 'AQ', kid: 'k' }],
  ['secp256k1', { ...jwkOf('secp256k1'), alg: 'ES256K', kid: 'k' }],
  ['P-384', { ...jwkOf('P-384'), alg: 'ES384', kid: 'k' }],
  ['a symmetric key', { kty: 'oct', k: 'c2VjcmV0', kid: 'k' }],
  ['a private member', { ...good, d: good.x, kid: 'k' }],
  ['a point off the curve', { ...good, y: good.x, kid: 'k' }],
  ['Ed25519 of small order', { ...edwards, x: Buffer.alloc(32).toString('base64url'), kid: 'k' }],
  [
    'Ed25519 of order 1',
    { ...edwards, x: Buffer.from([1, ...Buffer.alloc(31)]).toString('base64url'), kid: 'k' },
  ],
  ['Ed448', { kty: 'OKP', crv: 'Ed448', x: Buffer.alloc(57, 1).toString('base64url'), kid: 'k' }],
  ['a post-quantum key', { kty: 'AKP', alg: 'ML-DSA-44', pub: 'AAAA', kid: 'k' }],
  ['alg of another kind', { ...good, alg: 'RS256', kid: 'k' }],
  ['use enc', { ...good, use: 'enc', kid: 'k' }],
];

const REPORTER = 'agents/report-writer.yaml';
const declaring = (keys: readonly object[]) => ({
  [REPORTER]: (text: string) => text.replace(/^keys: .*$/m, `keys: ${JSON.stringify(keys)}`),
});
const problemsOf = async (keys: readonly object[]) =>
  (await editScopes(stage.world, declaring(keys))).problems;

for (const [name, key] of declared) {
  test(`CAS-28: an agent cannot declare ${name}`, async () => {
    assert.match(await problemsOf([key]), /report-writer\.yaml/);
  });
}

test('CAS-08: an agent cannot declare the same kid twice, nor one key under two names', async () => {
  const other = newSessionKey().publicJwk;
  assert.match(
    await problemsOf([
      { ...good, kid: 'same' },
      { ...other, kid: 'same' },
    ]),
    /report-writer\.yaml/,
  );
  assert.equal(
    await problemsOf([
      { ...good, kid: 'one' },
      { ...other, kid: 'two' },
    ]),
    '',
  );
});

test('CAS-08: with two declared keys, an assertion has to say which', async () => {
  const keys = [newSessionKey(), newSessionKey()];
  const catalogue = await editedCatalogue(
    stage.world,
    declaring(keys.map(({ publicJwk }, index) => ({ ...publicJwk, kid: `key-${index}` }))),
  );
  await stage.world.apply(catalogue);
  const stageOfTwo = await createStage({ world: stage.world, catalogue });
  const [first, second] = keys;
  assert.ok(first && second);
  const ask = (kid: string | undefined, key: typeof first) =>
    stageOfTwo.ask(
      stageOfTwo.tokenRequest({
        key: newSessionKey(),
        fields: { client_assertion: stageOfTwo.agent.assertion({ header: { kid }, key }) },
      }),
    );
  assert.equal((await ask('key-0', first)).status, 200);
  assert.equal((await ask('key-1', second)).status, 200);
  assert.equal((await ask('key-1', first)).status, 401, 'the other key under this name');
  assert.equal((await ask(undefined, first)).status, 401, 'no name');
  assert.equal((await ask(undefined, second)).status, 401, 'no name');
});
