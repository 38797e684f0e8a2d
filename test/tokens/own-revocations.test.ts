/** Clients that revoke their own tokens share a statement, and never crowd the head of the ledger. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { createRevocationStore } from '../../src/revocations/revocation-store.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';

const world = await createTestWorld();
const broker = await world.startBroker();
const agent = world.agent(broker, 'report-writer');
const TOKENS = 40;

async function mintMany(count: number): Promise<{ text: string; jti: string }[]> {
  const answers = await Promise.all(Array.from({ length: count }, () => agent.token(newSessionKey())));
  return answers.map(({ body }) => {
    const claims = Buffer.from(body.access_token.split('.')[1], 'base64url').toString();
    return { text: body.access_token, jti: JSON.parse(claims).jti };
  });
}

async function waitingForTheHead(): Promise<number> {
  const [row] = await world.query<{ waiting: number }>(
    `select count(distinct l.pid)::integer as waiting from pg_locks l join pg_stat_activity a on a.pid = l.pid
      where a.datname = current_database() and not l.granted`,
  );
  return row?.waiting ?? 0;
}

/** Statements give up after two seconds: so does this, and what is asserted next says what was missing. */
async function until(waiting: number): Promise<void> {
  const giveUpAt = performance.now() + 1_900;
  while ((await waitingForTheHead()) < waiting && performance.now() < giveUpAt);
}

type Line = Record<'action' | 'session_id' | 'token_id' | 'agent' | 'source', string | null>;

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());

test('each revocation has its entry, its line in the record, and an answer that comes after both', async () => {
  const tokens = await mintMany(TOKENS);
  const answers = await Promise.all(
    tokens.map(async ({ text, jti }) => {
      const { status, headers } = await agent.post('/oauth/revoke', agent.authenticated({ token: text }));
      const entries = await world.query('select epoch from revocations where key = $1', [`token:${jti}`]);
      return { status, text, jti, entries: entries.length, requestId: headers.get('request-id') };
    }),
  );
  for (const { status, text, jti, entries, requestId } of answers) {
    assert.deepEqual([status, entries], [200, 1]);
    const lines = await world.query<Line>(
      `select action, session_id, token_id, details->>'agent' as agent, details->>'source' as source
         from audit_entries where request_id = $1`,
      [requestId],
    );
    const { sid, sub } = claimsOf(text);
    assert.deepEqual(lines, [
      { action: 'token.revoked', session_id: sid, token_id: jti, agent: sub, source: '127.0.0.1' },
    ]);
  }
});

test('an assertion is good for one token of a batch, and the other one lives', async () => {
  const tokens = await mintMany(6);
  const assertion = agent.assertion();
  const answers = await Promise.all(
    tokens.map(({ text }) =>
      agent.post('/oauth/revoke', { ...agent.authenticated({ token: text }), client_assertion: assertion }),
    ),
  );
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 401, 401, 401, 401, 401]);
  const keys = tokens.map(({ jti }) => `token:${jti}`);
  assert.equal((await world.query('select epoch from revocations where key = any ($1)', [keys])).length, 1);
});

test('however many clients revoke at once, one statement of a broker waits for the head, and a kill gets past', async () => {
  const tokens = await mintMany(TOKENS);
  const holder = new pg.Client({ connectionString: world.database.ownerUrl });
  await holder.connect();
  await holder.query('begin');
  await holder.query('select from revocation_head for update');
  const revocations = tokens.map(({ text }) =>
    agent.post('/oauth/revoke', agent.authenticated({ token: text })),
  );
  await until(1);
  const ledger = createRevocationStore(world.owner, systemClock);
  const target = { kind: 'agent', id: 'billing-runner' } as const;
  const kill = ledger.append({
    target,
    standing: true,
    reason: 'a kill',
    actor: 'test',
    requestId: undefined,
  });
  await until(2);
  assert.equal(await waitingForTheHead(), 2, 'the batch and the kill');
  await holder.query('commit');
  await holder.end();
  await kill;
  assert.deepEqual(new Set((await Promise.all(revocations)).map(({ status }) => status)), new Set([200]));
});
