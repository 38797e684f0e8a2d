/** Lists and reads of sessions: complete, filtered, paged, and the same as what the rule of the ledger says. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Broker } from '../../src/broker.ts';
import { createRevocationStore } from '../../src/revocations/revocation-store.ts';
import { isDead, sessionKeys } from '../../src/revocations/rule.ts';
import { systemClock } from '../../src/time/clock.ts';
import { fc } from '../properties.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, type TestWorld } from '../test-broker.ts';
import type { TestOperator } from '../test-operator.ts';

const ACTION = 'mayfly:read:sessions';
const WHY = { reason: 'a test' };

let world: TestWorld;
let broker: Broker;
let olivia: TestOperator;
before(async () => {
  world = await createTestWorld();
  broker = await world.startBroker();
  olivia = world.operator(broker, 'olivia');
});

type Session = { id: string; agent: string; zone: string; state: string; kind: string };

async function open(agent: string, scope: string): Promise<string> {
  const { body } = await world.agent(broker, agent).token(newSessionKey(), { scope });
  return body.session_id;
}

async function list(query: string): Promise<{ data: Session[]; next_cursor: string | null }> {
  const answer = await olivia.get(`/v1/sessions${query}`, ACTION);
  assert.equal(answer.status, 200, answer.text);
  return answer.body;
}

async function listAll(filters: string, limit: number): Promise<Session[]> {
  const found: Session[] = [];
  let cursor: string | null = null;
  do {
    const page = await list(`?limit=${limit}${filters}${cursor === null ? '' : `&cursor=${cursor}`}`);
    assert.ok(page.data.length <= limit);
    found.push(...page.data);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return found;
}

test('a list has each session once, the newest first, whatever the size of its pages', async () => {
  const opened: string[] = [];
  for (let count = 0; count < 5; count += 1) {
    opened.push(await open('report-writer', 'db:read:customers'));
    opened.push(await open('billing-runner', 'billing:read:invoices'));
  }
  const whole = await listAll('', 200);
  const ids = whole.map(({ id }) => id);
  assert.deepEqual(ids, [...new Set(ids)].sort().reverse());
  for (const id of opened) assert.ok(ids.includes(id), id);
  for (const limit of [1, 3, whole.length]) {
    assert.deepEqual(
      (await listAll('', limit)).map(({ id }) => id),
      ids,
      `pages of ${limit}`,
    );
  }
});

test('what opens while somebody pages is not shown twice, and disturbs nothing', async () => {
  const first = await list('?limit=2');
  await open('report-writer', 'db:read:customers');
  const second = await list(`?limit=2&cursor=${first.next_cursor}`);
  const ids = [...first.data, ...second.data].map(({ id }) => id);
  assert.equal(new Set(ids).size, 4);
  assert.deepEqual(ids, [...ids].sort().reverse());
});

test('filters hold for every session in the list, and leave none out', async () => {
  const ended = await open('report-writer', 'db:read:customers');
  await olivia.post(`/v1/sessions/${ended}/revoke`, 'mayfly:revoke:sessions', WHY);
  const expired = await open('report-writer', 'db:read:customers');
  await world.query(`update sessions set expires_at = now() - interval '1 second' where id = $1`, [expired]);
  const whole = await listAll('', 200);
  const states = new Map(whole.map(({ id, state }) => [id, state]));
  assert.deepEqual([states.get(ended), states.get(expired)], ['revoked', 'expired']);
  const cases: [string, (session: Session) => boolean][] = [
    ['&state=open', ({ state }) => state === 'open'],
    ['&state=ended', ({ state }) => state !== 'open'],
    ['&agent=report-writer', ({ agent }) => agent === 'report-writer'],
    ['&agent=olivia', ({ kind }) => kind === 'operator'],
    ['&kind=agent', ({ kind }) => kind === 'agent'],
    ['&kind=operator&state=open', ({ kind, state }) => kind === 'operator' && state === 'open'],
    ['&zone=finance', ({ zone }) => zone === 'finance'],
    ['&agent=report-writer&state=ended', ({ agent, state }) => agent === 'report-writer' && state !== 'open'],
    ['&agent=nobody', () => false],
    ['&agent=%25', () => false],
    ['&agent=report_writer', () => false],
  ];
  for (const [filters, fits] of cases) {
    assert.deepEqual(await listAll(filters, 4), whole.filter(fits), filters);
  }
});

test('a parameter that nobody knows, or that makes no sense, is refused and never ignored', async () => {
  const queries = [
    '?agnt=report-writer',
    '?state=Open',
    '?state=all',
    '?limit=0',
    '?limit=201',
    '?limit=1.5',
    '?limit=-1',
    '?limit=1e2',
    '?limit=99999999999999999999',
    '?cursor=x',
    '?cursor=..',
    `?cursor=${Buffer.from("ses_' or 1=1 --").toString('base64url')}`,
    `?cursor=${Buffer.from('tok_01kdvdnad14k88pftagytay02x').toString('base64url')}`,
    '?agent=a&agent=b',
    '?agent=%00',
    '?agent=%ZZ',
    '?__proto__=x',
  ];
  for (const query of queries) {
    const answer = await olivia.get(`/v1/sessions${query}`, ACTION);
    assert.deepEqual([answer.status, answer.body.code], [400, 'invalid_request'], query);
  }
});

test('a session is read with what ended it and with what it still has', async () => {
  const session = newSessionKey();
  const agent = world.agent(broker, 'report-writer');
  const { body } = await agent.token(session);
  await agent.token(session);
  const path = `/v1/sessions/${body.session_id}`;
  const living = await olivia.get(path, ACTION);
  assert.deepEqual([living.body.state, living.body.live_tokens, living.body.ended_by], ['open', 2, null]);
  assert.equal(living.body.jkt, session.jkt);
  const { body: end } = await olivia.post(`${path}/revoke`, 'mayfly:revoke:sessions', WHY);
  const dead = await olivia.get(path, ACTION);
  assert.deepEqual(
    [dead.body.state, dead.body.live_tokens, dead.body.ended_by],
    ['revoked', 0, { id: end.id, epoch: end.epoch }],
  );
});

test('what no session is called is not found, in the same words', async () => {
  const answers = new Set<string>();
  for (const id of [
    'ses_01kdvdnad1n0pak2y6v6w7wh3c',
    'x',
    'SES_01KDVDNAD1N0PAK2Y6V6W7WH3C',
    '%00',
    'ses_',
    '%F0%9F%98%80',
  ]) {
    const answer = await olivia.get(`/v1/sessions/${id}`, ACTION).catch(() => null);
    assert.ok(answer !== null && answer.status === 404, id);
    const { request_id: _id, ...told } = answer.body;
    answers.add(JSON.stringify(told));
  }
  assert.equal(answers.size, 1);
});

/** What the ledger says of sessions, as SQL and as the rule: the same, whatever was revoked and released. */
test('the list and the rule of the ledger agree on which sessions have ended', async () => {
  const own = await createTestWorld();
  const there = await own.startBroker();
  const ledger = createRevocationStore(own.owner, systemClock);
  const sessions: string[] = [];
  const opening = fc.record({
    kind: fc.constant('open' as const),
    agent: fc.constantFrom('report-writer', 'billing-runner', 'olivia'),
  });
  const step = fc.oneof(
    { arbitrary: opening, weight: 3 },
    fc.record({
      kind: fc.constantFrom(
        'session' as const,
        'agent' as const,
        'subject' as const,
        'zone' as const,
        'all' as const,
        'action' as const,
      ),
      which: fc.nat(5),
      standing: fc.constantFrom(false, false, true),
    }),
    fc.record({ kind: fc.constant('release' as const), which: fc.nat(5) }),
  );
  const SCOPES: Record<string, string> = {
    'report-writer': 'db:read:customers',
    'billing-runner': 'billing:read:invoices',
    olivia: ACTION,
  };
  const targetOf = (
    kind: 'session' | 'agent' | 'subject' | 'zone' | 'action',
    which: number,
    subjects: string[],
  ) =>
    ({
      session: sessions[which % Math.max(sessions.length, 1)] ?? 'none',
      agent: ['report-writer', 'billing-runner', 'olivia'][which % 3] ?? '',
      subject: subjects[which % subjects.length] ?? '',
      zone: ['analytics', 'finance', 'mayfly'][which % 3] ?? '',
      action: 'db:read:customers',
    })[kind];

  const release = (which: string) =>
    own.query(
      `select append_revocation('rev_' || gen_random_uuid(), r.kind, r.target, false, r.epoch, 'test', 'test',
                                'aud_' || gen_random_uuid(), null)
         from (select * from revocations r where standing and released_epoch is null and ${which}) r`,
    );

  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      const subjects = (await own.query<{ id: string }>('select id from agents order by name')).map(
        ({ id }) => id,
      );
      for (const each of steps) {
        if (each.kind === 'open') {
          const client = own.scopes.keys.has(each.agent) ? own.agent(there, each.agent) : null;
          const { body } = (await client?.token(newSessionKey(), { scope: SCOPES[each.agent] ?? '' })) ?? {
            body: {},
          };
          if (body.session_id !== undefined) sessions.push(body.session_id);
        } else if (each.kind === 'release') {
          await release(`true order by epoch offset ${each.which} limit 1`);
        } else {
          const { kind, which, standing } = each;
          const target = kind === 'all' ? { kind } : { kind, id: targetOf(kind, which, subjects) };
          await ledger.append({ target, standing, reason: 'test', actor: 'test', requestId: undefined });
        }
      }
      await release(`r.key in ('agent:olivia', 'subject:' || (select id from agents where name = 'olivia'))`);
      const rows = await own.query<{
        id: string;
        client_id: string;
        agent_id: string;
        zone: string;
        opened_epoch: string;
        exempt_from_wide: boolean;
      }>('select id, client_id, agent_id, zone, opened_epoch, exempt_from_wide from sessions');
      const entries = (
        await own.query<{
          epoch: string;
          key: string;
          standing: boolean;
          released_epoch: string | null;
          releases: string | null;
        }>('select epoch, key, standing, released_epoch, releases from revocations')
      ).map(({ epoch, key, standing, released_epoch, releases }) => ({
        epoch: Number(epoch),
        key,
        standing,
        releasedEpoch: released_epoch === null ? null : Number(released_epoch),
        releases: releases === null ? null : Number(releases),
      }));
      const expected = rows
        .filter((row) =>
          isDead(
            {
              epoch: Number(row.opened_epoch),
              keys: new Set(
                sessionKeys({
                  sessionId: row.id,
                  clientId: row.client_id,
                  subject: row.agent_id,
                  zone: row.zone,
                }),
              ),
              exemptFromWide: row.exempt_from_wide,
            },
            { entries, floor: 0 },
          ),
        )
        .map(({ id }) => id);
      const operator = own.operator(there, 'olivia');
      const found: string[] = [];
      let cursor: string | null = null;
      do {
        const { body } = await operator.get(
          `/v1/sessions?state=ended&limit=200${cursor === null ? '' : `&cursor=${cursor}`}`,
          ACTION,
        );
        found.push(...body.data.map(({ id }: Session) => id));
        cursor = body.next_cursor;
      } while (cursor !== null);
      assert.deepEqual(found.sort(), expected.sort());
      await release('true'); // so that the next run can open sessions
    }),
    { numRuns: 25 },
  );
});
