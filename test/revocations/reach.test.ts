/** What a dry run counts, over a whole database at once, is what the rule says of each session and each token. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompiledQuery, sql } from 'kysely';
import { createPool, openKysely } from '../../src/database/pool.ts';
import { silentLog } from '../../src/errors/log.ts';
import { createReachStore } from '../../src/revocations/reach-store.ts';
import type { RevocationTarget } from '../../src/revocations/revocation.ts';
import { SESSION_OPEN, TOKEN_LIVES } from '../../src/revocations/rule-store.ts';
import { until } from '../broker-process.ts';
import { fc } from '../properties.ts';
import { soakFactor } from '../soak.ts';
import { beforeDrop, createTestDatabase } from '../test-database.ts';

const { ownerUrl } = await createTestDatabase();
const owner = openKysely<unknown>(
  createPool({ url: ownerUrl, size: 1, applicationName: 'test', log: silentLog }),
);
beforeDrop(() => owner.destroy());

const run = async (text: string, values: unknown[] = []) =>
  owner.executeQuery(CompiledQuery.raw(text, values));
const reach = createReachStore(owner);

const CLIENTS = ['one', 'two', 'person'];
const ZONES = ['a', 'b', 'mayfly'];
const RESOURCES = ['https://a.example.com', 'https://b.example.com'];
const ACTIONS = ['db:read:a', 'db:read:b'];
const KIDS = ['k1', 'k2'];

for (const client of CLIENTS) {
  await run('insert into agents (id, name, kind) values ($1, $2, $3)', [`agt_${client}`, client, 'agent']);
}

const session = fc.record({
  client: fc.nat(2),
  back: fc.nat(4),
  expired: fc.boolean(),
});
const token = fc.record({
  session: fc.nat(5),
  resource: fc.nat(1),
  scope: fc.constantFrom('db:read:a', 'db:read:b', 'db:read:a db:read:b'),
  kid: fc.nat(1),
  back: fc.nat(4),
  use: fc.constantFrom('session', 'request', 'spent'),
  expired: fc.constantFrom(false, false, false, true),
});
const target: fc.Arbitrary<RevocationTarget> = fc.oneof(
  fc.nat(5).map((at) => ({ kind: 'session', id: `ses_${at}` }) as const),
  fc.nat(9).map((at) => ({ kind: 'token', id: `tok_${at}` }) as const),
  fc.constantFrom(...CLIENTS).map((id) => ({ kind: 'agent', id }) as const),
  fc.constantFrom(...CLIENTS).map((id) => ({ kind: 'subject', id: `agt_${id}` }) as const),
  fc.constantFrom(...ZONES).map((id) => ({ kind: 'zone', id }) as const),
  fc.constantFrom(...RESOURCES).map((id) => ({ kind: 'resource', id }) as const),
  fc.constantFrom(...ACTIONS).map((id) => ({ kind: 'action', id }) as const),
  fc.constantFrom(...KIDS).map((id) => ({ kind: 'signing-key', id }) as const),
  fc.constant({ kind: 'all' } as const),
);
const entry = fc.record({
  target,
  standing: fc.constantFrom(false, false, true),
  released: fc.boolean(),
});

test('counting over all and asking the rule one by one give the same', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(session, { minLength: 1, maxLength: 6 }),
      fc.array(token, { minLength: 3, maxLength: 10 }),
      fc.array(entry, { minLength: 1, maxLength: 3 }),
      async (sessions, tokens, entries) => {
        await clear();
        const head = await append(entries);
        for (const [at, each] of sessions.entries()) await open(at, each, head);
        for (const [at, each] of tokens.entries()) await mint(at, each, { head, sessions: sessions.length });
        for (const asked of questionsAbout(sessions.length, tokens.length)) {
          assert.deepEqual(await reach.count(asked), await oneByOne(asked), JSON.stringify(asked));
        }
      },
    ),
    { numRuns: 30 * soakFactor() },
  );
});

/** Every kind of target; a token by its name shows best which ones are dead. */
function questionsAbout(sessions: number, tokens: number): RevocationTarget[] {
  const numbered = (kind: 'session' | 'token', prefix: string, count: number): RevocationTarget[] =>
    Array.from({ length: count }, (_, at) => ({ kind, id: `${prefix}_${at}` }));
  return [
    ...numbered('session', 'ses', sessions),
    ...numbered('token', 'tok', tokens),
    ...CLIENTS.map((id): RevocationTarget => ({ kind: 'agent', id })),
    { kind: 'subject', id: 'agt_one' },
    { kind: 'zone', id: 'a' },
    { kind: 'resource', id: RESOURCES[0] ?? '' },
    { kind: 'action', id: ACTIONS[0] ?? '' },
    { kind: 'signing-key', id: KIDS[0] ?? '' },
    { kind: 'all' },
  ];
}

async function clear(): Promise<void> {
  for (const table of ['tokens', 'sessions', 'revocations']) await run(`delete from ${table}`);
  await run('update revocation_head set epoch = 0');
}

type Entry = { target: RevocationTarget; standing: boolean; released: boolean };

/** @returns the epoch of the last one */
async function append(entries: readonly Entry[]): Promise<number> {
  let head = 0;
  const add = async (to: RevocationTarget, standing: boolean, releases: number | null) => {
    head += 1;
    await run(
      `select append_revocation('rev_' || gen_random_uuid(), $1, $2, $3, $4, 'test', 'test', 'aud_' || gen_random_uuid(), null)`,
      [to.kind, to.kind === 'all' ? '' : to.id, standing, releases],
    );
    return head;
  };
  for (const { target: to, standing, released } of entries) {
    const epoch = await add(to, standing, null);
    if (standing && released) await add(to, false, epoch);
  }
  return head;
}

async function open(
  at: number,
  { client, back, expired }: { client: number; back: number; expired: boolean },
  head: number,
): Promise<void> {
  await run(
    `insert into sessions (id, agent_id, client_id, jkt, zone, exempt_from_wide, opened_epoch, opened_at, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, now(), now() + $8::interval)`,
    [
      `ses_${at}`,
      `agt_${CLIENTS[client]}`,
      CLIENTS[client],
      `jkt${at}`,
      ZONES[client],
      client === 2,
      Math.max(0, head - back),
      expired ? '-1 second' : '1 hour',
    ],
  );
}

async function mint(
  at: number,
  each: {
    session: number;
    resource: number;
    scope: string;
    kid: number;
    back: number;
    use: string;
    expired: boolean;
  },
  { head, sessions }: { head: number; sessions: number },
): Promise<void> {
  await run(
    `insert into tokens (hour, jti, session_id, resource, scope, kid, epoch, issued_at, expires_at, call, consumed_at)
     values (floor(extract(epoch from now()) / 3600)::integer, $1, $2, $3, $4, $5, $6, now(), now() + $7::interval,
             $8::jsonb, case when $9::boolean then now() end)`,
    [
      `tok_${at}`,
      `ses_${each.session % sessions}`,
      RESOURCES[each.resource],
      each.scope,
      KIDS[each.kid],
      Math.max(0, head - each.back),
      each.expired ? '-1 second' : '5 minutes',
      each.use === 'session' ? null : '{}',
      each.use === 'spent',
    ],
  );
}

/** The rule as every other statement asks it, of each one. */
async function oneByOne(asked: RevocationTarget): Promise<{ sessions: number; liveTokens: number }> {
  const id = asked.kind === 'all' ? '' : asked.id;
  const named = sql`(case ${asked.kind}
    when 'session' then s.id = ${id} when 'agent' then s.client_id = ${id} when 'subject' then s.agent_id = ${id}
    when 'zone' then s.zone = ${id} and not s.exempt_from_wide when 'all' then not s.exempt_from_wide
    else false end)`;
  const namedToken = sql`(case ${asked.kind}
    when 'token' then t.jti = ${id} when 'signing-key' then t.kid = ${id}
    when 'resource' then t.resource = ${id} and not s.exempt_from_wide
    when 'action' then ${id} = any (string_to_array(t.scope, ' ')) and not s.exempt_from_wide
    else ${named} end)`;
  const { rows } = await sql<{ sessions: number; liveTokens: number }>`
    select (select count(*) from sessions s where ${named} and ${SESSION_OPEN})::float8 as sessions,
           (select count(*) from tokens t join sessions s on s.id = t.session_id
             where ${namedToken} and ${TOKEN_LIVES} and (t.call is null or t.consumed_at is null)
           )::float8 as "liveTokens"
  `.execute(owner);
  return rows[0] ?? { sessions: -1, liveTokens: -1 };
}

test('however many ask, one connection counts, and who comes when many wait is told to wait', async () => {
  const many = openKysely<unknown>(
    createPool({ url: ownerUrl, size: 8, applicationName: 'test counting', log: silentLog }),
  );
  const counting = createReachStore(many);
  await run('begin');
  await run('lock table sessions in access exclusive mode');
  const asked = Array.from({ length: 40 }, () => counting.count({ kind: 'all' }));
  const outcomes = Promise.allSettled(asked);
  const waits = `select count(*)::integer as count from pg_stat_get_activity(null)
                  where application_name = 'test counting' and wait_event_type = 'Lock'`;
  const other = openKysely<unknown>(
    createPool({ url: ownerUrl, size: 1, applicationName: 'test', log: silentLog }),
  );
  const counted = async () =>
    (await other.executeQuery<{ count: number }>(CompiledQuery.raw(waits))).rows[0]?.count ?? 0;
  await until(async () => (await counted()) > 0, 'somebody counts');
  assert.equal(await counted(), 1);
  await run('rollback');
  const codes = (await outcomes).map((each) => (each.status === 'rejected' ? each.reason.code : each.value));
  assert.equal(codes.filter((code) => code === 'temporarily_unavailable').length, 8);
  assert.equal(codes.filter((code) => typeof code === 'object').length, 32);
  await Promise.all([many.destroy(), other.destroy()]);
});
