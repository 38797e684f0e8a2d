/** Whatever is asked for, no question looks through more than its bound, and the pages together are all there is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogReader, type EntryFilters } from '../../src/audit/entry-store.ts';
import { createLogWorld, runAll } from './log-world.ts';

const DAY_SECONDS = 86_400;
const MAX = 25;
const TODAY = Math.floor(Date.now() / (DAY_SECONDS * 1_000));

type World = Awaited<ReturnType<typeof createLogWorld>>;

/** Sixty lines a day for ten days: one of a session of its own, some of a busy one, others of none. */
async function fill({ owner, sequencer }: World): Promise<void> {
  for (let day = TODAY; day < TODAY + 10; day += 1) {
    await owner.query(
      `insert into audit_entries (day, id, at, action, outcome, actor, session_id, details)
       select d.day, format('aud_%s_%s', d.day, lpad(n::text, 2, '0')), to_timestamp(d.day * 86400.0 + n * 1400),
              'token.minted', 'allowed', 'agent-' || n % 7,
              case when n = 3 then 'ses_' || d.day when n % 4 = 0 and d.is_busy then 'ses_busy' end, '{"mixed": true}'
         from generate_series(0, 59) as n cross join (select $1::integer as day, $2::boolean as is_busy) as d`,
      [day, day >= TODAY + 2 && day <= TODAY + 5],
    );
  }
  await runAll(sequencer());
}

async function readAll(reader: ReturnType<typeof createLogReader>, filters: EntryFilters) {
  const found: string[] = [];
  let before: number | null = null;
  for (let pages = 1; ; pages += 1) {
    assert.ok(pages < 200, 'it ends');
    const page = await reader.list(filters, { before, limit: 10 });
    found.push(...page.entries.map(({ id }) => id));
    if (page.next === null) return { found, pages };
    before = page.next;
  }
}

test('the pages of every search together are what the table has, and few where an index or the time tells where', async (t) => {
  const world = await createLogWorld(t);
  await fill(world);
  const reader = createLogReader(world.pool, MAX);
  const moment = (day: number, second = 0) =>
    new Date(((TODAY + day) * DAY_SECONDS + second) * 1_000).toISOString();
  const searches: [string, EntryFilters, number][] = [
    ['true', {}, 61],
    [`e.actor = 'agent-3'`, { actor: 'agent-3' }, 25],
    ['false', { actor: 'nobody' }, 24],
    [`e.session_id = 'ses_${TODAY + 1}'`, { session: `ses_${TODAY + 1}` }, 1],
    ['false', { session: 'ses_nobody' }, 1],
    [`e.session_id = 'ses_busy'`, { session: 'ses_busy' }, 26],
    [`e.at >= '${moment(8, 9)}'`, { since: moment(8, 9) }, 16],
    [`e.at < '${moment(1, 9)}'`, { until: moment(1, 9) }, 14],
    [
      `e.at >= '${moment(4)}' and e.at < '${moment(5)}' and e.session_id = 'ses_busy'`,
      { session: 'ses_busy', since: moment(4), until: moment(5) },
      10,
    ],
    [`e.at < '1999-01-01'`, { until: '1999-01-01T00:00:00Z' }, 1],
    [`e.at >= '2999-01-01'`, { since: '2999-01-01T00:00:00Z' }, 1],
  ];
  for (const [where, filters, most] of searches) {
    const { rows } = await world.pool.query(
      `select e.id from audit_entries e join audit_leaves l on l.entry_id = e.id where ${where} order by l.leaf_index desc`,
    );
    const { found, pages } = await readAll(reader, filters);
    const wanted = rows.map(({ id }) => id);
    assert.deepEqual(found, wanted, where);
    assert.ok(pages <= most, `${where}: ${pages} pages`);
  }
});
