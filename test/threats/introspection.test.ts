/** INT: introspection (RFC 7662) by declared resource servers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import pg from 'pg';
import { until } from '../broker-process.ts';
import { soakFactor } from '../soak.ts';
import { newSessionKey, type TestAgent } from '../test-agent.ts';
import { CANARY } from './after-checks.ts';
import { type Case, createStage } from './oracle.ts';
import { base64url, macRawJws, partsOf, signRawJws } from './raw-jws.ts';
import { type Attempt, formOf } from './raw-request.ts';

const stage = await createStage();
const { agent } = stage;
const RESOURCE = 'https://customers.example.com';
const resource = stage.resourceNamed(RESOURCE);
const stranger = stage.resourceNamed('https://storage.example.com');

const introspect = (token: string, by: TestAgent = resource, fields: Attempt['fields'] = {}): Attempt => ({
  path: '/oauth/introspect',
  fields: { ...by.authenticated({ token }), ...fields },
});

async function freshToken(fields: NonNullable<Attempt['fields']> = {}): Promise<string> {
  const answer = await stage.mint({ key: newSessionKey(), fields });
  assert.equal(answer.status, 200, answer.text);
  return answer.body.access_token;
}

const inactive = (id: string, name: string, token: () => string | Promise<string>): Case => ({
  id,
  name,
  ask: async () => introspect(await token()),
  expected: 'INACT',
});

/** A token rewritten and signed anew, with a key that is not the broker's. */
function resigned(token: string, { header = {}, claims = {} }: { header?: object; claims?: object }): string {
  const parts = partsOf(token);
  const oldHeader = JSON.parse(Buffer.from(parts.header, 'base64url').toString());
  return signRawJws(
    JSON.stringify({ ...oldHeader, ...header }),
    JSON.stringify({ ...decodeJwt(token), ...claims }),
    newSessionKey('ed25519').privateKey,
  );
}

async function revokedBy(kind: string, target: (claims: Record<string, string>) => string): Promise<string> {
  const token = await freshToken();
  await append(kind, target(decodeJwt(token) as Record<string, string>));
  return token;
}

async function append(kind: string, target: string, standing = false): Promise<number> {
  const [row] = await stage.world.query<{ epoch: string }>(
    `select epoch from append_revocation('rev_' || gen_random_uuid(), $1, $2, $3, null, 'r', 'a', 'aud_' || gen_random_uuid(), null)`,
    [kind, target, standing],
  );
  return Number(row?.epoch);
}

stage.run('INT: what is not active, and says nothing more', [
  inactive('INT-06', 'an opaque text', () => `${CANARY}-opaque`),
  inactive('INT-06', 'an API key of somebody', () => 'sk-0123456789abcdef0123456789abcdef'),
  inactive('INT-06', 'three dots', () => '...'),
  inactive('INT-06', 'the identifier of a live token', async () => decodeJwt(await freshToken()).jti ?? ''),
  inactive('INT-06', 'a token of somebody else’s key under our kid', async () =>
    resigned(await freshToken(), {}),
  ),
  inactive('INT-06', 'a token of somebody else’s key without a kid', async () =>
    resigned(await freshToken(), { header: { kid: undefined } }),
  ),
  inactive('INT-06', 'a token with a key in its header', async () => {
    const own = newSessionKey('ed25519');
    const token = await freshToken();
    const header = { alg: 'EdDSA', typ: 'at+jwt', jwk: own.publicJwk };
    return signRawJws(JSON.stringify(header), JSON.stringify(decodeJwt(token)), own.privateKey);
  }),
  inactive('INT-06', 'alg none', async () => {
    const { payload } = partsOf(await freshToken());
    return `${base64url('{"alg":"none","typ":"at+jwt"}')}.${payload}.`;
  }),
  inactive('INT-06', 'a MAC with the public key', async () => {
    const { keys } = (await stage.ask({ method: 'GET', path: '/.well-known/jwks.json' })).body;
    const token = await freshToken();
    const header = JSON.stringify({ alg: 'HS512', typ: 'at+jwt', kid: keys[0].kid });
    return macRawJws(header, JSON.stringify(decodeJwt(token)), keys[0].x, 'sha512');
  }),
  inactive('INT-06', 'a longer life written into it', async () => {
    const { header, payload, signature } = partsOf(await freshToken());
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    return `${header}.${base64url(JSON.stringify({ ...claims, exp: claims.exp + 60 }))}.${signature}`;
  }),
  inactive('INT-06', 'another typ written into it', async () => {
    const { payload, signature } = partsOf(await freshToken());
    return `${base64url('{"alg":"EdDSA","typ":"JWT"}')}.${payload}.${signature}`;
  }),
  inactive('INT-06', 'padding after it', async () => `${await freshToken()}==`),
  inactive('INT-06', 'a space after it', async () => `${await freshToken()} `),
  inactive('INT-06', 'a line feed after it', async () => `${await freshToken()}\n`),
  inactive('INT-06', 'a scheme before it', async () => `DPoP ${await freshToken()}`),
  inactive('INT-06', 'a token in another case', async () => (await freshToken()).toLowerCase()),
  inactive('INT-06', 'the first half of it', async () => (await freshToken()).slice(0, 300)),
  inactive('INT-06', 'an assertion', () => agent.assertion()),
  inactive('INT-06', 'a proof', () => agent.proof(stage.session)),
  inactive('INT-06', 'a token of 16,000 characters', () => 't'.repeat(16_000)),
  inactive('INT-06', 'dots as far as it goes', () => '.'.repeat(10_000)),
  inactive('INT-06', 'JSON', () => '{"active":true}'),
  inactive('INT-06', 'SQL', () => "' or '1'='1"),
  inactive('INT-08', 'an expired token', async () => {
    const token = await freshToken();
    await stage.world.query(`update tokens set expires_at = now() - interval '1 second' where jti = $1`, [
      decodeJwt(token).jti,
    ]);
    return token;
  }),
  inactive('INT-08', 'a token that expires now', async () => {
    const token = await freshToken();
    await stage.world.query(`update tokens set expires_at = now() where jti = $1`, [decodeJwt(token).jti]);
    return token;
  }),
  inactive('INT-08', 'a token that is revoked', () => revokedBy('token', ({ jti }) => jti ?? '')),
  inactive('INT-08', 'a token whose session is revoked', () => revokedBy('session', ({ sid }) => sid ?? '')),
  inactive('INT-08', 'a token that is not in the database', async () => {
    const token = await freshToken();
    await stage.world.query('delete from tokens where jti = $1', [decodeJwt(token).jti]);
    return token;
  }),
  inactive('INT-08', 'a token whose session is not in the database', async () => {
    const token = await freshToken();
    await stage.world.query('delete from sessions where id = $1', [decodeJwt(token).sid]);
    return token;
  }),
  inactive('INT-02', 'a token for another resource', () => freshToken({ scope: 'storage:list:exports' })),
  {
    id: 'INT-02',
    name: 'a live token, asked by another resource server',
    ask: async () => introspect(await freshToken(), stranger),
    expected: 'INACT',
  },
  {
    id: 'INT-02',
    name: 'a live token, asked by the agent that it was issued to',
    ask: async () => introspect(await freshToken(), agent),
    expected: 'UC',
    reason: 'client_is_no_resource',
  },
]);

const text = (fields: string) => (): Attempt => ({
  path: '/oauth/introspect',
  body: `${formOf(resource.authenticated({}))}${fields}`,
});
stage.run('INT: who asks, and how', [
  {
    id: 'INT-04',
    name: 'no token',
    ask: () => ({ path: '/oauth/introspect', fields: resource.authenticated({}) }),
    expected: 'IR',
  },
  { id: 'INT-04', name: 'an empty token', ask: () => introspect(''), expected: 'IR' },
  { id: 'INT-04', name: 'two tokens', ask: text('&token=a1&token=b2'), expected: 'IR' },
  { id: 'INT-04', name: 'the same token twice', ask: text('&token=a1&token=a1'), expected: 'IR' },
  { id: 'INT-04', name: 'an array in the style of PHP', ask: text('&token[]=x'), expected: 'IR' },
  { id: 'INT-04', name: 'a NUL in the token', ask: text('&token=a%00b'), expected: 'IR' },
  { id: 'INT-04', name: 'a lone surrogate in the token', ask: text('&token=%ED%A0%80'), expected: 'IR' },
  { id: 'INT-04', name: 'half an escape in the token', ask: text('&token=%e'), expected: 'IR' },
  { id: 'INT-04', name: 'a token of 1 MB', ask: () => introspect('t'.repeat(1_000_000)), expected: '413' },
  { id: 'INT-04', name: 'a token of 60 kB', ask: () => introspect('t'.repeat(60_000)), expected: 'IR' },
  {
    id: 'INT-04',
    name: 'the token in the query',
    ask: () => ({ path: '/oauth/introspect?token=x', fields: resource.authenticated({}) }),
    expected: 'IR',
  },
  {
    id: 'INT-03',
    name: 'no authentication',
    ask: async () => ({ path: '/oauth/introspect', fields: { token: await freshToken() } }),
    expected: 'IC',
  },
  {
    id: 'INT-03',
    name: 'the token as its own authentication',
    ask: async () => {
      const token = await freshToken();
      return {
        path: '/oauth/introspect',
        fields: { token },
        headers: [['Authorization', `Bearer ${token}`]],
      };
    },
    expected: 'IC',
  },
  {
    id: 'INT-03',
    name: 'a wrong key',
    ask: async () =>
      introspect(await freshToken(), resource, {
        client_assertion: resource.assertion({ key: newSessionKey() }),
      }),
    expected: 'IC',
  },
  {
    id: 'INT-03',
    name: 'the key of another resource server',
    ask: async () =>
      introspect(await freshToken(), resource, {
        client_assertion: stranger.assertion({ claims: { iss: RESOURCE, sub: RESOURCE } }),
      }),
    expected: 'IC',
  },
  {
    id: 'INT-03',
    name: 'the resource with a slash',
    ask: async () =>
      introspect(await freshToken(), resource, {
        client_assertion: resource.assertion({ claims: { iss: `${RESOURCE}/`, sub: `${RESOURCE}/` } }),
      }),
    expected: 'IC',
  },
  {
    id: 'INT-03',
    name: 'an assertion that was used',
    ask: async () => {
      const request = introspect(await freshToken());
      assert.equal((await stage.ask(request)).body.active, true);
      return request;
    },
    expected: 'IC',
    reason: 'assertion_replayed',
  },
  {
    id: 'INT-05',
    name: 'with GET, which would leave tokens in logs',
    ask: () => ({ method: 'GET', path: '/oauth/introspect?token=x' }),
    expected: '405',
  },
  {
    id: 'INT-05',
    name: 'as JSON',
    ask: () => ({ path: '/oauth/introspect', json: { token: 'x' } }),
    expected: '415',
  },
  {
    id: 'INT-05',
    name: 'with a hint that is wrong',
    ask: async () => introspect(await freshToken(), resource, { token_type_hint: 'refresh_token' }),
    expected: 'OK',
    rows: { spent: 1 },
    also: ({ body }) => void assert.equal(body.active, true),
  },
]);

test('INT-07: a live token is told whole to its own resource, with the key that it is bound to', async () => {
  const key = newSessionKey();
  const { body } = await stage.mint({ key });
  const answer = await stage.ask(introspect(body.access_token));
  const { active, token_type, ...claims } = answer.body;
  assert.deepEqual({ active, token_type }, { active: true, token_type: 'DPoP' });
  assert.deepEqual(claims, decodeJwt(body.access_token));
  assert.deepEqual(claims.cnf, { jkt: key.jkt });
});

test('INT-08: a standing revocation of its zone makes it inactive, and its release does not raise the dead', async () => {
  const before = await freshToken();
  const epoch = await append('zone', 'analytics', true);
  assert.deepEqual((await stage.ask(introspect(before))).body, { active: false });
  await stage.world.query(
    `select append_revocation('rev_' || gen_random_uuid(), 'zone', 'analytics', false, $1, 'r', 'a', 'aud_' || gen_random_uuid(), null)`,
    [epoch],
  );
  assert.deepEqual((await stage.ask(introspect(before))).body, { active: false });
  const after = await freshToken();
  assert.equal((await stage.ask(introspect(after))).body.active, true);
});

test('INT-10: of a thousand introspections while it is revoked, none says active after one said inactive', async () => {
  const token = await freshToken();
  const count = 1_000 * soakFactor();
  const lanes = 40;
  const seen: { sent: number; answered: number; active: boolean }[] = [];
  let asked = 0;
  let revoking: Promise<number> | undefined;
  const revoke = async () => {
    const { status } = await stage.ask({ path: '/oauth/revoke', fields: agent.authenticated({ token }) });
    assert.equal(status, 200);
    return performance.now();
  };
  const lane = async () => {
    while (asked < count) {
      asked += 1;
      const sent = performance.now();
      const { body, status, text: raw } = await stage.ask(introspect(token));
      assert.equal(status, 200, raw);
      seen.push({ sent, answered: performance.now(), active: body.active });
      if (seen.length > count / 3) revoking ??= revoke();
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  const revokedAt = (await revoking) ?? Number.NaN;
  const firstDead = Math.min(...seen.filter(({ active }) => !active).map(({ answered }) => answered));
  const late = seen.filter(({ sent, active }) => active && (sent > firstDead || sent > revokedAt));
  assert.deepEqual(late, []);
  assert.ok(seen.some(({ active }) => active) && seen.some(({ active }) => !active), 'both were seen');
});

test('INT-10: an introspection that had to wait for its turn knows of a revocation that was made meanwhile', async () => {
  const token = await freshToken();
  const holder = new pg.Client(stage.world.database.ownerUrl);
  await holder.connect();
  try {
    await holder.query('begin');
    await holder.query('lock table spent_jti in share row exclusive mode');
    const asked = stage.ask(introspect(token));
    await until(async () => {
      const { rows } = await holder.query(
        "select from pg_locks where relation = 'spent_jti'::regclass and not granted",
      );
      return rows.length === 1;
    }, 'the introspection waits');
    await append('token', decodeJwt(token).jti ?? '');
    await holder.query('commit');
    const answer = await asked;
    assert.deepEqual(answer.body, { active: false });
    const [entry] = await stage.ledger.entriesOf(answer);
    assert.equal(entry?.details.active, false, 'the record says what was answered');
  } finally {
    await holder.end();
  }
});

test('CAS-32, for tokens: every byte of a live token, changed, makes it inactive', async () => {
  const token = await freshToken();
  const outside = '+/=!%~ ';
  const lanes = 8;
  const active: string[] = [];
  const lane = async (first: number) => {
    for (let index = first; index < token.length; index += lanes) {
      const code = index % 2 === 0 ? token.charCodeAt(index) ^ 1 : outside.charCodeAt(index % outside.length);
      const bent = `${token.slice(0, index)}${String.fromCharCode(code)}${token.slice(index + 1)}`;
      const { text: answer } = await stage.ask(introspect(bent));
      if (answer !== '{"active":false}') active.push(`byte ${index} as ${code}: ${answer}`);
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, first) => lane(first)));
  assert.deepEqual(active, []);
  assert.equal((await stage.ask(introspect(token))).body.active, true);
});
