/** What the table says, page by page: gapless, whole, and to the same effect as the whole ledger. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createPool, openKysely } from '../../src/database/pool.ts';
import { pruneRevocations, pruneVerifiers, raiseLedgerFloor } from '../../src/database/upkeep.ts';
import { silentLog } from '../../src/errors/log.ts';
import { copyOfSnapshot } from '../../src/revocations/ledger-copy.ts';
import type { LedgerPage } from '../../src/revocations/ledger-entry.ts';
import { createLedgerStore, type LedgerStore } from '../../src/revocations/ledger-store.ts';
import type { Revocation } from '../../src/revocations/revocation.ts';
import { isDead } from '../../src/revocations/rule.ts';
import { fc } from '../properties.ts';
import { soakFactor } from '../soak.ts';
import { asSuperuser } from '../test-cluster.ts';
import { createTestDatabase, type TestDatabase } from '../test-database.ts';

async function openLedger(t: TestContext) {
  const database = await createTestDatabase(t);
  const pool = createPool({ url: database.applicationUrl, size: 2, applicationName: 'test', log: silentLog });
  const kysely = openKysely<unknown>(pool);
  t.after(() => kysely.destroy());
  const store = createLedgerStore(pool);
  return { database, kysely, pool, store };
}

type Entry = { kind: string; target: string; standing: boolean; releases: number | null; aged: boolean };

async function write(database: TestDatabase, entries: readonly Entry[]): Promise<void> {
  await asSuperuser(
    database.socketDirectory,
    async (client) => {
      for (const { kind, target, standing, releases } of entries) {
        await client.query(
          `select append_revocation('rev_' || gen_random_uuid(), $1, $2, $3, $4, 'r', 'a',
                                                     'aud_' || gen_random_uuid(), null)`,
          [kind, target, standing, releases],
        );
      }
      const lastAged = entries.findLastIndex(({ aged }) => aged) + 1;
      await client.query(
        `update revocations set created_at = created_at - interval '2 hours' where epoch <= $1`,
        [lastAged],
      );
    },
    database.name,
  );
}

async function beginAnew(database: TestDatabase): Promise<void> {
  await asSuperuser(
    database.socketDirectory,
    async (client) => {
      await client.query('truncate revocations cascade');
      await client.query(`update revocation_head set epoch = 0, floor = 0, digest = sha256('begin')`);
    },
    database.name,
  );
}

async function wholeCopy(store: LedgerStore): Promise<LedgerPage[]> {
  const pages: LedgerPage[] = [];
  for (;;) {
    const since = pages.at(-1)?.through ?? 0;
    const [page] = await store.readPages([{ since, generation: null, goOn: pages.length > 0 }]);
    assert.ok(page);
    pages.push(page);
    if (page.through === page.head.epoch) return pages;
  }
}

const entry: fc.Arbitrary<Entry & { pick: number }> = fc.record({
  kind: fc.constantFrom('agent', 'zone', 'session', 'signing-key', 'all'),
  target: fc.constantFrom('a', 'b', 'c'),
  standing: fc.boolean(),
  releases: fc.constant(null),
  aged: fc.boolean(),
  pick: fc.nat(5),
});

/** Some entries become releases of standing ones that nobody has released; a release names what it releases. */
function history(drawn: readonly (Entry & { pick: number })[]): Entry[] {
  const open: number[] = [];
  const entries: Entry[] = [];
  for (const { pick, ...one } of drawn) {
    const released = pick === 0 ? open.shift() : undefined;
    const engaged = released === undefined ? undefined : entries[released - 1];
    if (engaged !== undefined && released !== undefined) {
      entries.push({ ...engaged, standing: false, releases: released, aged: one.aged });
      continue;
    }
    entries.push({ ...one, target: one.kind === 'all' ? '' : one.target });
    if (one.standing) open.push(entries.length);
  }
  return entries;
}

function revocationsOf(entries: readonly Entry[]): Revocation[] {
  return entries.map(({ kind, target, standing, releases }, index) => {
    const released = entries.findIndex((other) => other.releases === index + 1);
    return {
      epoch: index + 1,
      key: kind === 'all' ? 'all' : `${kind}:${target}`,
      standing,
      releases,
      releasedEpoch: released === -1 ? null : released + 1,
    };
  });
}

test('a copy above the floor kills exactly what the whole ledger kills, and nothing below it is alive', async (t) => {
  const { database, kysely, store } = await openLedger(t);
  const check = fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 24 }), async (drawn) => {
    await beginAnew(database);
    const entries = history(drawn);
    await write(database, entries);
    const floor = await raiseLedgerFloor(kysely);
    assert.equal(floor, entries.findLastIndex(({ aged }) => aged) + 1);
    const copy = copyOfSnapshot(await wholeCopy(store));
    assert.ok(copy);
    assert.deepEqual([copy.epoch, copy.floor], [entries.length, floor]);
    const ledger = { entries: revocationsOf(entries), floor };
    for (const subject of subjectsUpTo(entries.length)) {
      assert.equal(
        copy.isDead(subject),
        isDead(subject, ledger),
        `${[...subject.keys][0]} at ${subject.epoch}`,
      );
    }
  });
  await fc.assert(check, { numRuns: 40 * soakFactor() });
});

function subjectsUpTo(newest: number) {
  return Array.from({ length: newest + 1 }, (_, epoch) =>
    ['a', 'b', 'c', 'other'].map((name) => ({
      epoch,
      keys: new Set([`agent:${name}`, 'zone:a', `session:${name}`, 'all']),
      signingKey: `signing-key:${name}`,
      exemptFromWide: name === 'c',
    })),
  ).flat();
}

test('many entries come in pages without a gap, each with its digest, and the last reaches the head', async (t) => {
  const { database, store } = await openLedger(t);
  await asSuperuser(
    database.socketDirectory,
    (client) =>
      client.query(`select append_revocation('rev_' || n, 'session', 'ses_' || n, false, null, 'r', 'a', 'aud_' || n, null)
                      from generate_series(1, 2345) n`),
    database.name,
  );
  const pages = await wholeCopy(store);
  assert.deepEqual(
    pages.map(({ entries }) => entries.length),
    [1000, 1000, 345],
  );
  pages.forEach((page, index) => {
    assert.equal(page.snapshot, index === 0, 'above the floor any page is one of a whole copy');
    assert.equal(page.since_digest, pages[index - 1]?.entries.at(-1)?.digest ?? null);
    assert.ok(page.entries.every(({ epoch }, at) => epoch === page.since + at + 1));
  });
  assert.equal(pages.at(-1)?.head.digest, pages.at(-1)?.entries.at(-1)?.digest);

  const asked = [0, 7, 2345, 9999].map((since) => ({ since, generation: 1, goOn: false }));
  const [all, some, none, ahead] = await store.readPages(asked);
  assert.equal(all?.snapshot, true);
  assert.deepEqual([some?.snapshot, some?.since, some?.entries[0]?.epoch], [false, 7, 8]);
  assert.deepEqual([none?.entries.length, none?.since_digest], [0, none?.head.digest]);
  assert.deepEqual([ahead?.since, ahead?.through, ahead?.snapshot], [2345, 2345, false]);
  const [stranger] = await store.readPages([{ since: 7, generation: 2, goOn: true }]);
  assert.deepEqual([stranger?.snapshot, stranger?.since], [true, 0], 'another generation begins anew');
});

test('what lasts is never pruned; the rest goes below the floor, after a week', async (t) => {
  const { database, kysely, store } = await openLedger(t);
  const ordinary = { kind: 'session', target: 's', standing: false, releases: null, aged: true };
  const entries: Entry[] = [
    ordinary,
    { ...ordinary, kind: 'agent', target: 'stopped', standing: true },
    { ...ordinary, kind: 'agent', target: 'free', standing: true },
    { ...ordinary, kind: 'agent', target: 'free', releases: 3 },
    { ...ordinary, kind: 'signing-key', target: 'k' },
    ordinary,
  ];
  await write(database, entries);
  assert.equal(await pruneRevocations(kysely), 0, 'not above the floor');
  assert.equal(await raiseLedgerFloor(kysely), 6);
  assert.equal(await pruneRevocations(kysely), 0, 'not within a week');
  const epochs = () =>
    asSuperuser(
      database.socketDirectory,
      async (client) => {
        const { rows } = await client.query('select epoch::integer as epoch from revocations order by epoch');
        return rows.map(({ epoch }) => epoch);
      },
      database.name,
    );
  await asSuperuser(
    database.socketDirectory,
    (client) => client.query(`update revocations set created_at = created_at - interval '8 days'`),
    database.name,
  );
  assert.equal(await pruneRevocations(kysely), 2);
  assert.deepEqual(await epochs(), [2, 3, 4, 5]);
  const [page] = await wholeCopy(store);
  assert.deepEqual(
    page?.entries.map(({ target }) => target),
    ['stopped', 'k'],
  );
  assert.equal(page?.head.epoch, 6, 'the head is the head row, not the newest entry that is left');
  await assert.rejects(
    kysely.executeQuery({ sql: 'select prune_revocations(1, 10)', parameters: [], query: {} } as never),
  );
});

test('verifiers are forgotten a week after they ended, not before', async (t) => {
  const { database, kysely } = await openLedger(t);
  await asSuperuser(
    database.socketDirectory,
    async (client) => {
      const add = (name: string, ends: string, closed: string | null) =>
        client.query(
          `insert into verifiers values ($1, 'r', now(), 1, 0, now(), 3, now() + $2::interval, now() + $3::interval)`,
          [name, ends, closed],
        );
      await add('live', '3 s', null);
      await add('ended lately', '-6 days', null);
      await add('ended', '-8 days', null);
      await add('closed lately', '1 s', '-6 days');
      await add('closed', '1 s', '-8 days');
      await client.query(`insert into acknowledgements values ('closed', 1, now()), ('live', 1, now())`);
    },
    database.name,
  );
  assert.equal(await pruneVerifiers(kysely), 2);
  const left = await asSuperuser(
    database.socketDirectory,
    async (client) => ({
      verifiers: (await client.query('select instance from verifiers order by 1')).rows.map(
        (row) => row.instance,
      ),
      acknowledgements: (await client.query('select instance from acknowledgements')).rows.map(
        (row) => row.instance,
      ),
    }),
    database.name,
  );
  assert.deepEqual(left, {
    verifiers: ['closed lately', 'ended lately', 'live'],
    acknowledgements: ['live'],
  });
});
