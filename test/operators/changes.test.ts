/** What every change has: a reason, a record, a key to be sent again under, and a way to look before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPool, openKysely } from '../../src/database/pool.ts';
import { pruneIdempotencyKeys } from '../../src/database/upkeep.ts';
import { silentLog } from '../../src/errors/log.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';
import { createManagementStage, WHY } from './management-stage.ts';

const { world, olivia, omar, runOf, isActive, entries } = await createManagementStage();

test('a dry run counts exactly what would be hit, and leaves no trace in the ledger', async () => {
  const own = await createTestWorld();
  const there = await own.startBroker();
  const operator = own.operator(there, 'olivia');
  const agent = own.agent(there, 'report-writer');
  const sessions = [newSessionKey(), newSessionKey(), newSessionKey()];
  const tokens: { jti: string; sid: string; kid: string }[] = [];
  for (const session of sessions) {
    for (let count = 0; count < 2; count += 1) {
      const { body } = await agent.token(session);
      const [header = '', claims = ''] = String(body.access_token).split('.');
      const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString());
      tokens.push({ ...read(claims), kid: read(header).kid });
    }
  }
  await own.query(`update tokens set expires_at = now() - interval '1 second' where jti = $1`, [
    tokens[0]?.jti,
  ]);
  await operator.post(`/v1/sessions/${tokens[4]?.sid}/revoke`, 'mayfly:revoke:sessions', WHY);
  await operator.post(`/v1/tokens/${tokens[2]?.jti}/revoke`, 'mayfly:revoke:tokens', WHY);
  const [head] = await own.query('select epoch from revocation_head');
  const preview = async (path: string, action: Parameters<typeof operator.post>[1]) => {
    const { status, body } = await operator.post(path, action, { dry_run: true });
    assert.equal(status, 200);
    assert.equal(body.dry_run, true);
    return [body.sessions, body.live_tokens];
  };
  assert.deepEqual(await preview('/v1/agents/report-writer/revoke', 'mayfly:revoke:agents'), [2, 2]);
  assert.deepEqual(await preview('/v1/agents/report-writer/quarantine', 'mayfly:quarantine:agents'), [2, 2]);
  assert.deepEqual(await preview(`/v1/sessions/${tokens[0]?.sid}/revoke`, 'mayfly:revoke:sessions'), [1, 1]);
  assert.deepEqual(await preview(`/v1/sessions/${tokens[4]?.sid}/revoke`, 'mayfly:revoke:sessions'), [0, 0]);
  assert.deepEqual(await preview(`/v1/tokens/${tokens[3]?.jti}/revoke`, 'mayfly:revoke:tokens'), [0, 1]);
  assert.deepEqual(await preview(`/v1/tokens/${tokens[2]?.jti}/revoke`, 'mayfly:revoke:tokens'), [0, 0]);
  const [, signed = 0] = await preview(
    `/v1/signing-keys/${tokens[0]?.kid}/revoke`,
    'mayfly:revoke:signing-keys',
  );
  assert.ok(signed > 2, 'the tokens of the operator count too');
  assert.deepEqual(await own.query('select epoch from revocation_head'), [head]);
  assert.deepEqual(await own.query('select key from idempotency_keys'), []);
});

test('a request that is sent again under its idempotency key is done once, and another one is refused', async () => {
  const key = { 'Idempotency-Key': 'incident-1234/step-1' };
  const path = '/v1/agents/report-writer/revoke';
  const before = await entries();
  const first = await olivia.post(path, 'mayfly:revoke:agents', WHY, key);
  const second = await olivia.post(path, 'mayfly:revoke:agents', WHY, key);
  assert.equal(second.text, first.text);
  assert.equal(await entries(), before + 1);
  const other = await olivia.post(path, 'mayfly:revoke:agents', { reason: 'another' }, key);
  assert.deepEqual([other.status, other.body.code], [422, 'idempotency_key_reused']);
  const elsewhere = await olivia.post('/v1/agents/billing-runner/revoke', 'mayfly:revoke:agents', WHY, key);
  assert.equal(elsewhere.status, 422);
  assert.equal(await entries(), before + 1);
  const somebodyElse = await omar.post(path, 'mayfly:revoke:agents', WHY, key);
  assert.equal(somebodyElse.status, 200, 'keys are each operator’s own');
  assert.equal(await entries(), before + 2);
});

test('what failed under an idempotency key may be sent again', async () => {
  const key = { 'Idempotency-Key': 'retry-1' };
  const missing = await olivia.post('/v1/agents/nobody/revoke', 'mayfly:revoke:agents', WHY, key);
  assert.equal(missing.status, 404);
  const found = await olivia.post('/v1/agents/report-writer/revoke', 'mayfly:revoke:agents', WHY, key);
  assert.equal(found.status, 200);
});

test('a change is there with its record, or not at all', async () => {
  const run = await runOf('report-writer');
  const before = await entries();
  const token = await olivia.token('mayfly:revoke:sessions');
  await world.query(
    `alter table audit_entries add constraint no_line check (action <> 'session.revoked') not valid`,
  );
  const path = `/v1/sessions/${run.sid}/revoke`;
  try {
    const request = {
      method: 'POST',
      path,
      body: WHY,
      token,
      headers: { 'Idempotency-Key': 'half' },
    } as const;
    const answer = await olivia.send({ ...request, proof: olivia.proof(request) });
    assert.equal(answer.status, 500);
  } finally {
    await world.query('alter table audit_entries drop constraint no_line');
  }
  assert.equal(await entries(), before);
  assert.deepEqual(await world.query(`select key from idempotency_keys where key = 'half'`), []);
  assert.equal(await isActive(run), true);
  const again = await olivia.post(path, 'mayfly:revoke:sessions', WHY, { 'Idempotency-Key': 'half' });
  assert.deepEqual([again.status, again.body.effect], [200, 'revoked']);
});

test('a reason is one line of plain characters, and nothing else is read', async () => {
  const path = '/v1/agents/report-writer/revoke';
  const bodies: unknown[] = [
    undefined,
    {},
    [],
    null,
    'x',
    { reason: '' },
    { reason: ' ' },
    { reason: ' a' },
    { reason: '\u3164' },
    { reason: '\u2800\u2800' },
    { reason: '\ufe0f\u034f' },
    { reason: 'a\nb' },
    { reason: 'a\u202eb' },
    { reason: 'a\u0000b' },
    { reason: 'x'.repeat(501) },
    { reason: 7 },
    { reason: 'a', dry_run: 'false' },
    { reason: 'a', agent: 'x' },
    { reason: null },
  ];
  const before = await entries();
  for (const body of bodies) {
    const answer = await olivia.post(path, 'mayfly:revoke:agents', body);
    assert.deepEqual([answer.status, answer.body.code], [400, 'invalid_request'], JSON.stringify(body));
  }
  for (const key of ['', ' ', 'a b', 'é', 'x'.repeat(256)]) {
    const answer = await olivia.post(path, 'mayfly:revoke:agents', WHY, { 'Idempotency-Key': key });
    assert.equal(answer.status, 400, `[${key}]`);
  }
  assert.equal(await entries(), before);
  assert.equal((await olivia.post(path, 'mayfly:revoke:agents', { reason: 'Größe 😀 ok' })).status, 200);
});

test('a name is compared to the letter: a wildcard is nobody', async () => {
  const before = await entries();
  for (const name of [
    '%25',
    '_',
    'report_writer',
    'report-write%25',
    'REPORT-WRITER',
    'report-writer%20',
    'all',
    '*',
  ]) {
    for (const verb of ['revoke', 'quarantine', 'release'] as const) {
      const answer = await olivia.post(`/v1/agents/${name}/${verb}`, `mayfly:${verb}:agents`, WHY);
      assert.deepEqual([answer.status, answer.body.code], [404, 'not_found'], `${name} ${verb}`);
    }
  }
  assert.equal(await entries(), before);
});

test('an answer is kept under its key for a day, and then forgotten', async () => {
  const request = ['/v1/agents/report-writer/revoke', 'mayfly:revoke:agents', WHY] as const;
  for (const key of ['yesterday', 'today']) await olivia.post(...request, { 'Idempotency-Key': key });
  const age = (key: string, hours: number) =>
    world.query(
      `update idempotency_keys set created_at = now() - make_interval(hours => $2) where key = $1`,
      [key, hours],
    );
  await age('yesterday', 25);
  await age('today', 23);
  const application = openKysely<unknown>(
    createPool({ url: world.database.applicationUrl, size: 1, applicationName: 'test', log: silentLog }),
  );
  assert.equal(await pruneIdempotencyKeys(application), 1);
  await application.destroy();
  const before = await entries();
  await olivia.post(...request, { 'Idempotency-Key': 'today' });
  assert.equal(await entries(), before);
  await olivia.post(...request, { 'Idempotency-Key': 'yesterday' });
  assert.equal(await entries(), before + 1);
});
