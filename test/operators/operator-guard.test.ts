import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { ManagementAction } from '../../src/operators/management-actions.ts';
import { OPERATOR_RATES } from '../../src/operators/request-bound.ts';
import { createRevocationStore } from '../../src/revocations/revocation-store.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newSessionKey, nowSeconds, signJwt } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';
import type { ManagementAnswer, TestOperator } from '../test-operator.ts';

const SAM = 'operator: sam\ntitle: Watches\nroles: [auditor]\ndevelopment_key: true\n';
const world = await createTestWorld({ files: { 'operators/sam.yaml': SAM } });
const broker = await world.startBroker();
const ledger = createRevocationStore(world.owner, systemClock);
const olivia = world.operator(broker, 'olivia');

const PATH = '/v1/sessions';
const ACTION = 'mayfly:read:sessions';
const NEEDED = `scope="${ACTION}", algs="ES256 Ed25519 EdDSA", resource_metadata="${TEST_ISSUER}/.well-known/oauth-protected-resource"`;
const TOKEN_HINT = 'It is unknown, expired, revoked or for somewhere else: get a new one.';

/** A good request but for what a case bends. */
async function ask(
  bend: {
    by?: TestOperator;
    action?: ManagementAction;
    token?: string | null;
    proof?: string | null;
    path?: string;
    headers?: Record<string, string>;
    claims?: (token: string) => object;
  } = {},
): Promise<ManagementAnswer> {
  const { by = olivia, action = ACTION, path = PATH, headers = {} } = bend;
  const token = bend.token === undefined ? await by.token(action) : bend.token;
  const claims = bend.claims?.(token ?? '') ?? {};
  const proof =
    bend.proof === undefined
      ? by.proof({ method: 'GET', path: PATH, token: token ?? '' }, { claims })
      : bend.proof;
  return by.send({ method: 'GET', path, token, proof, headers });
}

function refused(
  answer: ManagementAnswer,
  { status, code, challenge }: { status: number; code: string; challenge: string },
): void {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.body.code, code);
  assert.equal(answer.headers.get('www-authenticate'), challenge);
  assert.equal(answer.headers.get('content-type'), 'application/problem+json');
}

type RefusalLine = { action: string; reason: string; actor: string | null; claimed: string | null };

async function lastRefusal(): Promise<RefusalLine> {
  const [row] = await world.query<RefusalLine>(
    `select action, reason, actor, details->>'claimed_client' as claimed
       from audit_entries where outcome = 'refused' order by at desc, id desc limit 1`,
  );
  assert.ok(row);
  return row;
}

test('an operator gets a token for the actions of its roles, for the issuer, at the token endpoint', async () => {
  const text = await olivia.token('mayfly:revoke:sessions mayfly:read:sessions');
  const claims = JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString());
  assert.equal(claims.aud, TEST_ISSUER);
  assert.equal(claims.zone, 'mayfly');
  assert.match(claims.sub, /^opr_/);
  assert.equal(claims.scope, 'mayfly:read:sessions mayfly:revoke:sessions');
  assert.equal(claims.exp - claims.iat, 120);
});

test('an operator gets no action of another role, and no agent gets any', async () => {
  const session = newSessionKey();
  for (const scope of ['mayfly:read:audit', 'mayfly:be:root', 'db:read:customers']) {
    const { status, body } = await world.operator(broker, 'omar').agent.token(session, { scope });
    assert.deepEqual([status, body.code], [400, 'invalid_scope'], scope);
  }
  const agent = await world.agent(broker, 'report-writer').token(session, { scope: ACTION });
  assert.deepEqual([agent.status, agent.body.code], [400, 'invalid_scope']);
});

test('with a good token and a good proof an operator is let in, once, and the record says so', async () => {
  const token = await olivia.token(ACTION);
  const proof = olivia.proof({ method: 'GET', path: PATH, token });
  const answer = await ask({ token, proof });
  assert.equal(answer.status, 200, answer.text);
  const [row] = await world.query<{ actor: string; details: Record<string, unknown>; request_id: string }>(
    `select actor, details, request_id from audit_entries where action = 'operator.admitted' order by at desc limit 1`,
  );
  assert.equal(row?.actor, 'olivia');
  assert.equal(row?.request_id, answer.headers.get('request-id'));
  const { jti, sub, cnf } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  const { proof: spent, ...details } = row?.details ?? {};
  assert.deepEqual(details, {
    action: ACTION,
    source: '127.0.0.1',
    agent: sub,
    jkt: cnf.jkt,
    catalogue: 1,
    epoch: 0,
  });
  const [{ key } = { key: null }] = await world.query<{ key: string }>(
    'select key from spent_jti where token_id = $1 and key::text = $2',
    [jti, spent],
  );
  assert.equal(spent, key, 'the hash under which the proof is marked as used');
  const challenge = `DPoP error="invalid_dpop_proof", error_description="Make a new proof for each request.", ${NEEDED}`;
  refused(await ask({ token, proof }), { status: 401, code: 'invalid_dpop_proof', challenge });
  assert.deepEqual(await lastRefusal(), {
    action: 'login.failed',
    reason: 'proof_replayed',
    actor: null,
    claimed: 'olivia',
  });
});

test('without a token the challenge says what is needed and names no error', async () => {
  const challenge = `DPoP ${NEEDED}`;
  refused(await ask({ token: null, proof: null }), { status: 401, code: 'credentials_missing', challenge });
  const basic = { Authorization: 'Basic b2xpdmlhOg==' };
  const answer = await ask({ token: null, proof: null, headers: basic });
  refused(answer, { status: 401, code: 'credentials_missing', challenge });
});

test('a token in the query, as Bearer, in two schemes or in pieces is refused', async () => {
  const token = await olivia.token(ACTION);
  const bearer = { Authorization: `Bearer ${token}` };
  const asBearer = await ask({ token: null, proof: null, headers: bearer });
  refused(asBearer, {
    status: 401,
    code: 'invalid_token',
    challenge: `DPoP error="invalid_token", error_description="Tokens here are bound to a key: use the scheme DPoP and a proof.", ${NEEDED}`,
  });
  for (const authorization of [
    `DPoP  ${token}`,
    `DPoP ${token} `,
    `DPoP ${token},x`,
    'DPoP',
    `DPoP "${token}"`,
  ]) {
    const answer = await ask({ token: null, proof: null, headers: { Authorization: authorization } });
    assert.equal(answer.status, 401, authorization);
  }
  const inQuery = await ask({ token, path: `${PATH}?access_token=${token}` });
  assert.deepEqual([inQuery.status, inQuery.body.code], [400, 'invalid_request']);
});

test('a token that mayfly did not sign, for an agent, for one call or bent by a bit is refused', async () => {
  const challenge = `DPoP error="invalid_token", error_description="${TOKEN_HINT}", ${NEEDED}`;
  const good = await olivia.token(ACTION);
  const [header = '', claims = ''] = good.split('.');
  const decoded = JSON.parse(Buffer.from(claims, 'base64url').toString());
  const foreign = newSessionKey('ed25519');
  const kid = JSON.parse(Buffer.from(header, 'base64url').toString()).kid;
  const forged = signJwt({ alg: 'EdDSA', typ: 'at+jwt', kid }, decoded, foreign.privateKey);
  for (const token of [forged, `${good.slice(0, -8)}AAAAAAAA`, 'abc', `${header}.${claims}.`]) {
    refused(await ask({ token }), { status: 401, code: 'invalid_token', challenge });
    assert.deepEqual(await lastRefusal(), {
      action: 'login.failed',
      reason: 'token_unreadable',
      actor: null,
      claimed: null,
    });
  }
});

test("an agent's own token is refused, whatever it is for", async () => {
  const agent = world.agent(broker, 'report-writer');
  const session = newSessionKey();
  const { body } = await agent.token(session);
  const wearer = world.operator(broker, 'olivia', session);
  const challenge = `DPoP error="invalid_token", error_description="${TOKEN_HINT}", ${NEEDED}`;
  const answer = await ask({ by: wearer, token: body.access_token });
  refused(answer, { status: 401, code: 'invalid_token', challenge });
  assert.deepEqual(await lastRefusal(), {
    action: 'login.failed',
    reason: 'token_audience',
    actor: 'report-writer',
    claimed: null,
  });
});

test('a token for another action is refused with the complete scope', async () => {
  const token = await olivia.token('mayfly:read:agents');
  const challenge = `DPoP error="insufficient_scope", error_description="Get a token for the action that scope names.", ${NEEDED}`;
  refused(await ask({ token }), { status: 403, code: 'insufficient_scope', challenge });
  assert.deepEqual(await lastRefusal(), {
    action: 'request.refused',
    reason: 'action_not_covered',
    actor: 'olivia',
    claimed: null,
  });
});

test('a proof by another key, without ath, with the ath of another token or for another request is refused', async () => {
  const token = await olivia.token(ACTION);
  const other = await olivia.token(ACTION);
  const thief = world.operator(broker, 'olivia');
  const stolen = await ask({ token, proof: thief.proof({ method: 'GET', path: PATH, token }) });
  refused(stolen, {
    status: 401,
    code: 'invalid_token',
    challenge: `DPoP error="invalid_token", error_description="${TOKEN_HINT}", ${NEEDED}`,
  });
  assert.deepEqual(await lastRefusal(), {
    action: 'login.failed',
    reason: 'token_bound_to_another_key',
    actor: null,
    claimed: 'olivia',
  });
  const cases: [string, string | null][] = [
    ['proof_missing', null],
    ['proof_malformed', 'a.b.c'],
    ['proof_token_hash', olivia.proof({ method: 'GET', path: PATH, token }, { claims: { ath: undefined } })],
    ['proof_token_hash', olivia.proof({ method: 'GET', path: PATH, token: other })],
    ['proof_method', olivia.proof({ method: 'POST', path: PATH, token })],
    ['proof_url', olivia.proof({ method: 'GET', path: '/v1/agents', token })],
    [
      'proof_url',
      olivia.proof({ method: 'GET', path: PATH, token }, { claims: { htu: `${broker.url}${PATH}` } }),
    ],
    [
      'proof_time',
      olivia.proof(
        { method: 'GET', path: PATH, token },
        { claims: { nonce: undefined, iat: nowSeconds() - 61 } },
      ),
    ],
  ];
  for (const [reason, proof] of cases) {
    const answer = await ask({ token, proof });
    assert.deepEqual([answer.status, answer.body.code], [401, 'invalid_dpop_proof'], reason);
    assert.match(
      answer.headers.get('www-authenticate') ?? '',
      /^DPoP error="invalid_dpop_proof", error_description="[^"]+", scope="mayfly:read:sessions", algs=/,
    );
    assert.deepEqual(await lastRefusal(), { action: 'login.failed', reason, actor: null, claimed: 'olivia' });
  }
  assert.equal((await ask({ token })).status, 200, 'the token itself is good');
});

test('where nonces are required a proof without a fresh one is asked to carry it', async () => {
  const strict = await world.startBroker({ settings: { MAYFLY_DPOP_NONCE: 'required' } });
  const operator = world.operator(strict, 'olivia');
  const token = await operator.token(ACTION);
  for (const nonce of [undefined, 'AAAAAAAAAAAAAAAAAAAAAA']) {
    const proof = operator.proof({ method: 'GET', path: PATH, token }, { claims: { nonce } });
    const answer = await operator.send({ method: 'GET', path: PATH, token, proof });
    assert.deepEqual([answer.status, answer.body.code], [401, 'use_dpop_nonce']);
    assert.match(answer.headers.get('www-authenticate') ?? '', /^DPoP error="use_dpop_nonce"/);
    assert.match(answer.headers.get('dpop-nonce') ?? '', /^[A-Za-z0-9_-]{22}$/);
    const again = operator.proof(
      { method: 'GET', path: PATH, token },
      { claims: { nonce: answer.headers.get('dpop-nonce') ?? '' } },
    );
    assert.equal((await operator.send({ method: 'GET', path: PATH, token, proof: again })).status, 200);
  }
});

test('a revoked token, one of an ended session and one of a stopped operator are refused at once', async () => {
  const challenge = `DPoP error="invalid_token", error_description="${TOKEN_HINT}", ${NEEDED}`;
  const entry = { standing: false, reason: 'test', actor: 'test', requestId: undefined };
  for (const kind of ['token', 'session', 'agent', 'subject'] as const) {
    const operator = world.operator(broker, 'olivia');
    const token = await operator.token(ACTION);
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    const id = { token: claims.jti, session: claims.sid, agent: 'olivia', subject: claims.sub }[kind];
    assert.equal((await ask({ by: operator, token })).status, 200);
    await ledger.append({ target: { kind, id }, ...entry });
    refused(await ask({ by: operator, token }), { status: 401, code: 'invalid_token', challenge });
    assert.deepEqual(await lastRefusal(), {
      action: 'login.failed',
      reason: 'token_inactive',
      actor: 'olivia',
      claimed: null,
    });
  }
});

test('a token of a signing key that was revoked is refused', async (t) => {
  const own = await createTestWorld();
  const there = await own.startBroker();
  const operator = own.operator(there, 'olivia');
  const token = await operator.token(ACTION);
  const kid = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid;
  const target = { kind: 'signing-key', id: kid } as const;
  const entry = { standing: false, reason: 'test', actor: 'test', requestId: undefined };
  await createRevocationStore(own.owner, systemClock).append({ target, ...entry });
  const proof = operator.proof({ method: 'GET', path: PATH, token });
  const answer = await operator.send({ method: 'GET', path: PATH, token, proof });
  assert.deepEqual([answer.status, answer.body.code], [401, 'invalid_token']);
  t.diagnostic(answer.body.hint);
});

test('a token that expired is refused, by the clock of the database', async () => {
  const operator = world.operator(broker, 'olivia');
  const token = await operator.token(ACTION);
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  await world.query(`update tokens set expires_at = now() - interval '1 second' where jti = $1`, [
    claims.jti,
  ]);
  const challenge = `DPoP error="invalid_token", error_description="${TOKEN_HINT}", ${NEEDED}`;
  refused(await ask({ by: operator, token }), { status: 401, code: 'invalid_token', challenge });
});

test('a kill of everything leaves operators in, and only what names one throws one out', async () => {
  const operator = world.operator(broker, 'omar');
  const before = await operator.token(ACTION);
  const standing = { standing: true, reason: 'test', actor: 'test', requestId: undefined };
  const wide = [
    { kind: 'all' },
    { kind: 'zone', id: 'mayfly' },
    { kind: 'resource', id: TEST_ISSUER },
    { kind: 'action', id: ACTION },
  ] as const;
  for (const target of wide) await ledger.append({ target, ...standing });
  assert.equal((await ask({ by: operator, token: before })).status, 200);
  assert.equal((await ask({ by: operator })).status, 200);
  const agent = await world.agent(broker, 'report-writer').token(newSessionKey());
  assert.deepEqual([agent.status, agent.body.code], [400, 'agent_stopped']);
  const token = await operator.token(ACTION);
  await ledger.append({ target: { kind: 'agent', id: 'omar' }, ...standing });
  assert.equal((await ask({ by: operator, token })).status, 401);
  await assert.rejects(operator.token(ACTION), /agent_stopped/);
});

test('one proof at two brokers at once opens one of them', async () => {
  const second = await world.startBroker();
  const operator = world.operator(broker, 'olivia');
  for (let round = 0; round < 10; round += 1) {
    const token = await operator.token(ACTION);
    const proof = operator.proof(
      { method: 'GET', path: PATH, token },
      { claims: { nonce: undefined, jti: randomUUID() } },
    );
    const request = { method: 'GET', path: PATH, token, proof } as const;
    const there = world.operator(second, 'olivia');
    const answers = await Promise.all([operator.send(request), there.send(request), operator.send(request)]);
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 401, 401]);
  }
});

test('who may not is told the same of things that exist and of things that do not', async () => {
  const operator = world.operator(broker, 'olivia');
  const token = await operator.token('mayfly:read:agents');
  const [row] = await world.query<{ id: string }>('select id from sessions limit 1');
  const answers: unknown[] = [];
  for (const id of [row?.id ?? '', 'ses_01kdvdnad1n0pak2y6v6w7wh3c', 'nonsense']) {
    const path = `/v1/sessions/${id}`;
    const answer = await operator.send({
      method: 'GET',
      path,
      token,
      proof: operator.proof({ method: 'GET', path, token }),
    });
    const { request_id: _id, ...told } = answer.body;
    answers.push([answer.status, answer.headers.get('www-authenticate'), told]);
  }
  assert.deepEqual(answers[1], answers[0]);
  assert.deepEqual(answers[2], answers[0]);
});

/** At once: of more, a slow machine makes some wait for the database for too long. */
const BATCH = 10;

test('who changes without end is told to wait; reading and others go on', async () => {
  const stopped = { ...systemClock, monotonicMilliseconds: () => 1_000 };
  const own = await world.startBroker({ clock: stopped });
  const [busy, other] = [world.operator(own, 'olivia'), world.operator(own, 'sam')];
  const action = 'mayfly:revoke:agents';
  const request = {
    method: 'POST',
    path: '/v1/agents/nobody/revoke',
    body: {},
    token: await busy.token(action),
  } as const;
  const codes: Record<string, number> = {};
  for (let sent = 0; sent < OPERATOR_RATES.changing.burst + BATCH; sent += BATCH) {
    const answers = await Promise.all(
      Array.from({ length: BATCH }, () => busy.send({ ...request, proof: busy.proof(request) })),
    );
    for (const { body } of answers) codes[body.code] = (codes[body.code] ?? 0) + 1;
  }
  assert.deepEqual(codes, { invalid_request: OPERATOR_RATES.changing.burst, rate_limited: BATCH });
  assert.equal((await busy.get(PATH, ACTION)).status, 200);
  assert.equal((await other.get(PATH, ACTION)).status, 200);
});

test('KIL-16: whoever repeats a request, or goes on with a dead token, uses up nothing of the operator', async () => {
  const own = await world.startBroker({ clock: { ...systemClock, monotonicMilliseconds: () => 1_000 } });
  const [stolen, mine] = [world.operator(own, 'olivia'), world.operator(own, 'olivia')];
  const action = 'mayfly:engage:kill-switch';
  const request = {
    method: 'POST',
    path: '/v1/kill-switch',
    body: {},
    token: await stolen.token(action),
  } as const;
  const repeated = { ...request, proof: stolen.proof(request) };
  assert.equal((await stolen.send(repeated)).status, 400, 'admitted, and nothing is to be done');
  const flood = async (next: () => Parameters<TestOperator['send']>[0]) => {
    const statuses = new Set<number>();
    for (let sent = 0; sent < OPERATOR_RATES.changing.burst; sent += BATCH) {
      const answers = await Promise.all(Array.from({ length: BATCH }, () => stolen.send(next())));
      for (const { status } of answers) statuses.add(status);
    }
    return [...statuses];
  };
  assert.deepEqual(await flood(() => repeated), [401]);
  await ledger.append({
    target: {
      kind: 'session',
      id: JSON.parse(Buffer.from(request.token.split('.')[1] ?? '', 'base64url').toString()).sid,
    },
    standing: false,
    reason: 'stolen',
    actor: 'test',
    requestId: undefined,
  });
  assert.equal((await stolen.send({ ...request, proof: stolen.proof(request) })).status, 401);
  assert.deepEqual(await flood(() => ({ ...request, proof: stolen.proof(request) })), [401]);
  assert.equal((await mine.post(request.path, action, {})).status, 400, 'and not 429');
});

test('without the database nobody is let in, and it is said so', async () => {
  const own = await createTestWorld();
  const there = await own.startBroker();
  const operator = own.operator(there, 'olivia');
  const token = await operator.token(ACTION);
  await own.database.drop();
  const proof = operator.proof({ method: 'GET', path: PATH, token });
  const answer = await operator.send({ method: 'GET', path: PATH, token, proof });
  assert.deepEqual([answer.status, answer.body.code], [503, 'temporarily_unavailable']);
  assert.equal(answer.headers.get('www-authenticate'), null);
  assert.equal(answer.headers.get('retry-after'), '1');
});
