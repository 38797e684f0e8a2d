/** REV: revocation by the client itself (RFC 7009). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import { until } from '../broker-process.ts';
import { newSessionKey, type TestAgent } from '../test-agent.ts';
import { CANARY } from './after-checks.ts';
import { type Case, createStage } from './oracle.ts';
import { partsOf, signRawJws } from './raw-jws.ts';
import { type Answer, type Attempt, formOf } from './raw-request.ts';

const stage = await createStage();
const { agent } = stage;
const RESOURCE = 'https://customers.example.com';
const resource = stage.resourceNamed(RESOURCE);
const other = stage.agentNamed('support-assistant');

const revoke = (token: string, by: TestAgent = agent, fields: Attempt['fields'] = {}): Attempt => ({
  path: '/oauth/revoke',
  fields: { ...by.authenticated({ token }), ...fields },
});

async function isActive(token: string): Promise<boolean> {
  const answer = await stage.ask({ path: '/oauth/introspect', fields: resource.authenticated({ token }) });
  assert.equal(answer.status, 200, answer.text);
  return answer.body.active;
}

async function freshToken(by: TestAgent = agent): Promise<string> {
  const answer = await stage.mint({ by, key: newSessionKey() });
  assert.equal(answer.status, 200, answer.text);
  return answer.body.access_token;
}

const silent = ({ text, headers }: Answer) => {
  assert.equal(text, '');
  assert.equal(headers.get('content-type'), undefined);
};

const nothing = (id: string, name: string, token: () => string | Promise<string>): Case => ({
  id,
  name,
  ask: async () => revoke(await token()),
  expected: 'OK',
  rows: { spent: 1 },
  also: silent,
});

function forged(token: string, claims: object): string {
  const { header } = partsOf(token);
  const payload = JSON.stringify({ ...decodeJwt(token), ...claims });
  return signRawJws(Buffer.from(header, 'base64url'), payload, newSessionKey('ed25519').privateKey);
}

stage.run('REV: a token that is there, and one that is not', [
  {
    id: 'REV-02',
    name: 'a live token',
    ask: async () => revoke(await freshToken()),
    expected: 'OK',
    rows: { spent: 1, revocations: 1 },
    also: silent,
  },
  nothing('REV-02', 'the same token again', async () => {
    const token = await freshToken();
    assert.equal((await stage.ask(revoke(token))).status, 200);
    return token;
  }),
  nothing('REV-02', 'an expired token', async () => {
    const token = await freshToken();
    await expire(token);
    return token;
  }),
  nothing('REV-02', 'an unknown token', () => `${CANARY}-unknown`),
  nothing('REV-02', 'three dots', () => '...'),
  nothing('REV-02', 'a token signed by somebody else', async () => forged(await freshToken(), {})),
  nothing('REV-02', 'a token with another name in it', async () =>
    forged(await freshToken(), { client_id: 'support-assistant' }),
  ),
  nothing('REV-02', 'a token without its signature', async () => {
    const { header, payload } = partsOf(await freshToken());
    return `${header}.${payload}.`;
  }),
  nothing('REV-02', 'a token in another spelling', async () => `${await freshToken()}=`),
  nothing('REV-02', 'an assertion', () => agent.assertion()),
  nothing('REV-02', 'the identifier of a live token', async () => decodeJwt(await freshToken()).jti ?? ''),
  nothing('REV-16', 'a pattern', () => 'tok_%'),
  nothing('REV-16', 'a pattern of one place', () => `tok_${'_'.repeat(26)}`),
  nothing('REV-16', 'the thumbprint of a key', () => stage.session.jkt),
  nothing('REV-16', 'a wildcard', () => '*'),
  {
    id: 'REV-03',
    name: 'a live token under a hint that is wrong',
    ask: async () => revoke(await freshToken(), agent, { token_type_hint: 'refresh_token' }),
    expected: 'OK',
    rows: { spent: 1, revocations: 1 },
    also: silent,
  },
  {
    id: 'REV-03',
    name: 'a live token under a hint that nobody knows',
    ask: async () => revoke(await freshToken(), agent, { token_type_hint: CANARY }),
    expected: 'OK',
    rows: { spent: 1, revocations: 1 },
    also: silent,
  },
]);

async function expire(token: string): Promise<void> {
  await stage.world.query(`update tokens set expires_at = now() - interval '1 second' where jti = $1`, [
    decodeJwt(token).jti,
  ]);
}

const text = (fields: string) => async (): Promise<Attempt> => ({
  path: '/oauth/revoke',
  body: `${formOf(agent.authenticated({}))}${fields}`,
});

stage.run('REV: who asks, and how', [
  {
    id: 'REV-01',
    name: 'no token',
    ask: () => ({ path: '/oauth/revoke', fields: agent.authenticated({}) }),
    expected: 'IR',
    reason: 'parameter_missing',
  },
  { id: 'REV-01', name: 'an empty token', ask: () => revoke(''), expected: 'IR' },
  { id: 'REV-01', name: 'two tokens', ask: text('&token=a1&token=b2'), expected: 'IR' },
  { id: 'REV-01', name: 'the same token twice', ask: text('&token=a1&token=a1'), expected: 'IR' },
  { id: 'REV-01', name: 'an array in the style of PHP', ask: text('&token[]=a1'), expected: 'IR' },
  { id: 'REV-01', name: 'a NUL in the token', ask: text('&token=a%00b'), expected: 'IR' },
  { id: 'REV-01', name: 'a lone surrogate in the token', ask: text('&token=%ED%A0%80'), expected: 'IR' },
  { id: 'REV-01', name: 'a token of 40 kB', ask: () => revoke('t'.repeat(40_000)), expected: 'IR' },
  { id: 'REV-01', name: 'a token of 1 MB', ask: () => revoke('t'.repeat(1_000_000)), expected: '413' },
  {
    id: 'REV-01',
    name: 'the token in the query',
    ask: () => ({ path: '/oauth/revoke?token=x', fields: agent.authenticated({}) }),
    expected: 'IR',
  },
  {
    id: 'REV-04',
    name: 'no authentication',
    ask: async () => ({ path: '/oauth/revoke', fields: { token: await freshToken() } }),
    expected: 'IC',
    reason: 'client_authentication_missing',
  },
  {
    id: 'REV-04',
    name: 'no authentication and no token',
    ask: () => ({ path: '/oauth/revoke', fields: {} }),
    expected: 'IC',
  },
  {
    id: 'REV-04',
    name: 'a wrong key',
    ask: async () =>
      revoke(await freshToken(), agent, { client_assertion: agent.assertion({ key: newSessionKey() }) }),
    expected: 'IC',
  },
  {
    id: 'REV-04',
    name: 'an assertion for the endpoint',
    ask: async () =>
      revoke(await freshToken(), agent, {
        client_assertion: agent.assertion({ claims: { aud: `${stage.broker.issuer}/oauth/revoke` } }),
      }),
    expected: 'IC',
  },
  {
    id: 'REV-04',
    name: 'an assertion that was used',
    ask: async () => {
      const assertion = agent.assertion();
      const token = await freshToken();
      assert.equal((await stage.ask(revoke('x', agent, { client_assertion: assertion }))).status, 200);
      return revoke(token, agent, { client_assertion: assertion });
    },
    expected: 'IC',
    reason: 'assertion_replayed',
  },
  {
    id: 'REV-04',
    name: 'the token itself as authentication',
    ask: async () => {
      const token = await freshToken();
      return { path: '/oauth/revoke', fields: { token }, headers: [['Authorization', `DPoP ${token}`]] };
    },
    expected: 'IC',
  },
  {
    id: 'REV-10',
    name: 'without any proof, for whoever lost the key',
    ask: async () => revoke(await freshToken()),
    expected: 'OK',
    rows: { spent: 1, revocations: 1 },
  },
  {
    id: 'REV-10',
    name: 'with a proof of another key, which does not matter',
    ask: async () => ({ ...revoke(await freshToken()), headers: [['DPoP', agent.proof(newSessionKey())]] }),
    expected: 'OK',
    rows: { spent: 1, revocations: 1 },
  },
  {
    id: 'REV-10',
    name: 'with nonsense for a proof, which does not matter',
    ask: async () => ({ ...revoke(await freshToken()), headers: [['DPoP', 'nonsense']] }),
    expected: 'OK',
    rows: { spent: 1, revocations: 1 },
  },
  {
    id: 'REV-10',
    name: 'with two proofs',
    ask: async () => ({
      ...revoke(await freshToken()),
      headers: [
        ['DPoP', 'a'],
        ['DPoP', 'b'],
      ],
    }),
    expected: 'DP',
  },
  {
    id: 'REV-05',
    name: 'with GET',
    ask: () => ({ method: 'GET', path: '/oauth/revoke?token=x' }),
    expected: '405',
  },
  {
    id: 'REV-05',
    name: 'as JSON',
    ask: () => ({ path: '/oauth/revoke', json: { token: 'x' } }),
    expected: '415',
  },
  {
    id: 'REV-05',
    name: 'with a callback for JSONP, which nobody answers',
    ask: async () => revoke(await freshToken(), agent, { callback: 'alert' }),
    expected: 'OK',
    rows: { spent: 1, revocations: 1 },
    also: silent,
  },
]);

test('REV-06: a token that was revoked is inactive from the answer on, and stays so', async () => {
  const token = await freshToken();
  assert.equal(await isActive(token), true);
  assert.equal((await stage.ask(revoke(token))).status, 200);
  for (let times = 0; times < 5; times += 1) assert.equal(await isActive(token), false);
});

test('REV-06: it is inactive at another broker from the answer on', async () => {
  const second = await createStage({ world: stage.world });
  const token = await freshToken();
  const ask = async () =>
    (await second.ask({ path: '/oauth/introspect', fields: resource.authenticated({ token }) })).body.active;
  assert.equal(await ask(), true);
  assert.equal((await stage.ask(revoke(token))).status, 200);
  assert.equal(await ask(), false);
});

test('REV-06: the ledger has one entry that names the token, and the record has who and why', async () => {
  const token = await freshToken();
  const { jti } = decodeJwt(token);
  const answer = await stage.ask(revoke(token));
  const entries = await stage.world.query<{ kind: string; standing: boolean; actor: string }>(
    'select kind, standing, actor from revocations where target = $1',
    [jti],
  );
  assert.deepEqual(entries, [{ kind: 'token', standing: false, actor: 'report-writer' }]);
  const record = await stage.ledger.entriesOf(answer);
  assert.deepEqual(record.map(({ action, outcome, actor }) => `${actor} ${action} ${outcome}`).sort(), [
    'report-writer token.revoked allowed',
  ]);
});

test('REV-06: other tokens of the session live on', async () => {
  const key = newSessionKey();
  const [one, two] = [await stage.mint({ key }), await stage.mint({ key })];
  assert.equal((await stage.ask(revoke(one.body.access_token))).status, 200);
  assert.equal(await isActive(one.body.access_token), false);
  assert.equal(await isActive(two.body.access_token), true);
  assert.equal((await stage.mint({ key })).status, 200, 'and the session goes on');
});

test('REV-08: a client that revokes the token of another one changes nothing, and it is recorded', async () => {
  const token = await freshToken();
  const answer = await stage.ask(revoke(token, other));
  assert.equal(answer.status, 200);
  assert.equal(answer.text, '');
  assert.equal(await isActive(token), true);
  const alerts = async () =>
    (await stage.ledger.entriesOf(answer)).filter(({ reason }) => reason === 'token_of_another_client');
  await until(async () => (await alerts()).length === 1, 'the alert');
  assert.deepEqual(
    (await alerts()).map(({ actor }) => actor),
    ['support-assistant'],
  );
});

test('REV-08: a resource server cannot revoke a token of its callers', async () => {
  const token = await freshToken();
  assert.equal((await stage.ask(revoke(token, resource))).status, 200);
  assert.equal(await isActive(token), true);
});

test('REV-02: fifty revocations of one token at once are fifty answers and a dead token', async () => {
  const token = await freshToken();
  const answers = await Promise.all(Array.from({ length: 50 }, () => stage.ask(revoke(token))));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  assert.equal(await isActive(token), false);
});

test('REV-02: known and unknown tokens are answered by the same headers', async () => {
  const answers = [await stage.ask(revoke(await freshToken())), await stage.ask(revoke('unknown'))];
  const names = answers.map(({ headers }) => [...headers.keys()].sort());
  assert.deepEqual(names[0], names[1]);
});

test('REV-14: while a hundred tokens are revoked at once, tokens are minted as ever, each as alive as it should be', async () => {
  const doomed = await Promise.all(Array.from({ length: 100 }, () => freshToken()));
  const [, minted] = await Promise.all([
    Promise.all(doomed.map(async (token) => assert.equal((await stage.ask(revoke(token))).status, 200))),
    Promise.all(Array.from({ length: 50 }, () => freshToken())),
  ]);
  for (const token of doomed.slice(0, 20)) assert.equal(await isActive(token), false);
  for (const token of minted.slice(0, 20)) assert.equal(await isActive(token), true);
});
