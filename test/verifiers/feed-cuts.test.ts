/**
 * The feed, cut wherever it can be: between any two events, in the middle of one, and while brokers are not woken. A
 * reader that comes back with the epoch that it has goes on without a gap, and never with half of a copy.
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Broker } from '../../src/broker.ts';
import type { LedgerPage } from '../../src/revocations/ledger-entry.ts';
import { createKnownLedger, type KnownLedger } from '../../src/verifier/known-ledger.ts';
import { until } from '../broker-process.ts';
import { createTestWorld, type TestWorld } from '../test-broker.ts';
import { asSuperuser } from '../test-cluster.ts';
import { pageIn } from '../test-verifier.ts';
import { type FeedReader, openFeed } from './feed-reader.ts';

const CUSTOMERS = 'https://customers.example.com';
const LASTING = 2_300;

let world: TestWorld;
let broker: Broker;
before(async () => {
  world = await createTestWorld();
  await write({ kind: 'signing-key', count: LASTING });
  await asSuperuser(
    world.database.socketDirectory,
    async (client) => {
      await client.query(`update revocations set created_at = created_at - interval '2 hours'`);
      await client.query('select raise_revocation_floor(1000)');
    },
    world.database.name,
  );
  broker = await world.startBroker();
});

/** Without a word to any broker. @returns the last epoch */
async function write({ kind, count }: { kind: 'signing-key' | 'session'; count: number }): Promise<number> {
  const rows = await world.query<{ epoch: number }>(
    `select max(a.epoch)::float8 as epoch
       from generate_series(1, $2::integer) n,
            append_revocation('rev_' || gen_random_uuid(), $1, 't' || n, false, null, 'r', 'a',
                              'aud_' || gen_random_uuid(), null) a`,
    [kind, count],
  );
  return rows[0]?.epoch ?? 0;
}

const headers = () => ({
  Authorization: `Bearer ${world.resourceServer(broker, CUSTOMERS).assertion()}`,
});

/** Says where it is as a verifier does, in both places. */
function connect(ledger: KnownLedger): Promise<FeedReader> {
  const { epoch } = ledger.position();
  return openFeed(broker.url, { since: epoch, headers: { ...headers(), 'Last-Event-ID': String(epoch) } });
}

/** Takes events until the reader is cut off, or everything is known. */
async function read(
  ledger: KnownLedger,
  { events, head }: { events: number; head: number },
): Promise<number> {
  const feed = await connect(ledger);
  let taken = 0;
  while (taken < events && ledger.position().epoch < head) {
    const page = await pageIn((await feed.event()).data, broker.url);
    const result = ledger.take(page, 'ledger-1');
    assert.ok(['applied', 'incomplete', 'nothing new'].includes(result), result);
    taken += 1;
  }
  feed.close();
  return taken;
}

const kills = (ledger: KnownLedger, kid: string) =>
  ledger.isDead({
    epoch: 9_999_999,
    keys: new Set(),
    signingKey: `signing-key:${kid}`,
    exemptFromWide: true,
  });

test('a copy that comes in several pages is whole or is none, wherever it is cut', async () => {
  const head = await write({ kind: 'session', count: 5 });
  const whole = createKnownLedger();
  const pages = await read(whole, { events: Number.POSITIVE_INFINITY, head });
  assert.ok(pages > 2);
  for (let cut = 1; cut < pages; cut += 1) {
    const ledger = createKnownLedger();
    await read(ledger, { events: cut, head });
    assert.equal(ledger.position().generation, 0, `half a copy is none (${cut})`);
    await read(ledger, { events: Number.POSITIVE_INFINITY, head });
    assert.deepEqual(ledger.position(), whole.position());
    assert.ok(kills(ledger, 't1') && kills(ledger, `t${LASTING}`) && !kills(ledger, 'other'));
  }
});

test('a part of a copy has no id to go on from; everything else has', async () => {
  const feed = await openFeed(broker.url, { since: 0, headers: headers() });
  const ids: (string | undefined)[] = [];
  let page: LedgerPage;
  do {
    const event = await feed.event();
    page = await pageIn(event.data, broker.url);
    ids.push(event.id);
  } while (page.through < page.head.epoch);
  feed.close();
  assert.deepEqual(ids, [...ids.slice(1).map(() => undefined), String(page.through)]);
});

test('what is written one by one comes without a gap, cut after every event', async () => {
  const start = createKnownLedger();
  const from = await write({ kind: 'session', count: 1 });
  await read(start, { events: Number.POSITIVE_INFINITY, head: from });
  for (let cut = 1; cut <= 4; cut += 1) {
    const epochs: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      const head = await write({ kind: 'session', count: 2 });
      await read(start, { events: cut, head });
      epochs.push(start.position().epoch);
      assert.equal(start.alarm(), null);
    }
    assert.deepEqual(
      epochs,
      epochs.toSorted((one, other) => one - other),
      'it never goes back',
    );
  }
  const head = await write({ kind: 'session', count: 1 });
  await read(start, { events: Number.POSITIVE_INFINITY, head });
  assert.equal(start.position().epoch, head);
  assert.equal(start.missing(), null);
});

test('a reader that is too far behind gets a whole copy, not a gap', async () => {
  const feed = await openFeed(broker.url, { since: 7, headers: headers() });
  const page = await pageIn((await feed.event()).data, broker.url);
  feed.close();
  assert.deepEqual([page.snapshot, page.since], [true, 0]);
});

test('a broker that nobody wakes reads the table all the same, and so does one whose listening was cut', async () => {
  const from = await write({ kind: 'session', count: 1 });
  const feed = await openFeed(broker.url, { since: from, headers: headers() });
  await feed.event();
  const first = await write({ kind: 'session', count: 1 });
  assert.equal((await feed.event()).id, String(first));
  await asSuperuser(world.database.socketDirectory, (client) =>
    client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = $1 and application_name = 'mayfly listen'`,
      [world.database.name],
    ),
  );
  const second = await write({ kind: 'session', count: 1 });
  assert.equal((await feed.event()).id, String(second));
  feed.close();
});

test('a stream that nobody reads holds its place and no pages: it gets all of it, in order, when it goes on', async () => {
  const from = await write({ kind: 'session', count: 1 });
  const feed = await openFeed(broker.url, { since: from, headers: headers() });
  let last = (await pageIn((await feed.event()).data, broker.url)).through;
  feed.pause();
  const head = await write({ kind: 'session', count: 3_000 });
  await until(async () => (await epochOfBroker()) === head, 'the broker has read it');
  feed.resume();
  while (last < head) {
    const page = await pageIn((await feed.event()).data, broker.url);
    assert.equal(page.since, last);
    assert.ok(page.entries.every(({ epoch }, index) => epoch === last + index + 1));
    last = page.through;
  }
  feed.close();
});

async function epochOfBroker(): Promise<number> {
  const text = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
  return Number(/^mayfly_ledger_epoch (\d+)$/m.exec(text)?.[1]);
}
