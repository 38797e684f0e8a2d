import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import type { EntryDocument } from '../../src/audit/entry-document.ts';
import { createPool, openKysely } from '../../src/database/pool.ts';
import { MAX_BATCH_ENTRIES } from '../../src/sinks/batch.ts';
import { createFileReceiver } from '../../src/sinks/file-receiver.ts';
import { createOtlpReceiver } from '../../src/sinks/otlp-receiver.ts';
import { createOutbound } from '../../src/sinks/outbound-request.ts';
import type { Receiver } from '../../src/sinks/receiver.ts';
import { replaySink, testSink } from '../../src/sinks/replay-sink.ts';
import { MAX_ATTEMPTS, MAX_PARKED_IN_A_ROW, runSink } from '../../src/sinks/run-sink.ts';
import { noSinkMetrics } from '../../src/sinks/sink-metrics.ts';
import { createSinkStore } from '../../src/sinks/sink-store.ts';
import { createSyslogReceiver } from '../../src/sinks/syslog-receiver.ts';
import { createWebhookReceiver } from '../../src/sinks/webhook-receiver.ts';
import type { Pause } from '../../src/time/pause.ts';
import { beforeDrop, createTestDatabase } from '../test-database.ts';
import { type HttpCollector, startHttpCollector, startSyslogCollector, tls } from './collectors.ts';
import {
  becomesTrue,
  countingMetrics,
  firstArrivals,
  manualTime,
  type SampleLog,
  sampleDocument,
  sampleLog,
  silentLog,
} from './sample-log.ts';

const database = await createTestDatabase();
const kysely = openKysely<unknown>(
  createPool({ url: database.applicationUrl, size: 6, applicationName: 'test', log: silentLog }),
);
beforeDrop(() => kysely.destroy());
const store = createSinkStore(kysely);
const folder = mkdtempSync(join(tmpdir(), 'mayfly-sinks-'));
after(() => rmSync(folder, { recursive: true }));

let names = 0;
const newName = () => `sink-${++names}`;
const stateOf = async (name: string) => (await store.list()).find((sink) => sink.name === name);
const cursorOf = async (name: string) => (await stateOf(name))?.nextIndex ?? 0;

function start(
  t: TestContext,
  { name, log, receiver }: { name: string; log: SampleLog; receiver: Receiver },
) {
  const time = manualTime();
  const { counts, metrics } = countingMetrics();
  const open = (holder: string, other: Receiver = receiver) =>
    runSink({
      name,
      receiver: other,
      reader: log,
      cursors: store,
      holder,
      logSize: log.size,
      clock: time.clock,
      pause: time.pause,
      random: () => 0.98,
      log: silentLog,
      metrics,
    });
  const sink = open('broker-a');
  t.after(() => sink.stop());
  return { sink, time, counts, open };
}

/** One kind of sink with a real receiver behind it. */
type Rig = {
  make(name: string): Receiver;
  /** Ids in the order in which they arrived, repetitions included. */
  ids(): string[];
  stop(): Promise<void>;
  startAgain(): Promise<void>;
};

const target = (port: number, path: string) => ({
  url: new URL(`https://localhost:${port}${path}`),
  allowPrivate: true,
  headers: {},
  tls: { ca: tls.certificate },
});
const secret = createSecretKey(randomBytes(32));
const post = createOutbound({
  resolve: async () => [{ address: '127.0.0.1', family: 4 }],
  timeoutMilliseconds: 2_000,
});
const clock = { milliseconds: () => Date.now(), monotonicMilliseconds: () => performance.now() };

const webhookIds = ({ arrivals }: HttpCollector) =>
  arrivals.flatMap(({ body }) => (JSON.parse(body.toString()) as EntryDocument[]).map(({ id }) => id));
type OtlpRecord = { attributes: { key: string; value: { stringValue: string } }[] };
const otlpIds = ({ arrivals }: HttpCollector) =>
  arrivals.flatMap(({ body }) =>
    (JSON.parse(body.toString()).resourceLogs[0].scopeLogs[0].logRecords as OtlpRecord[]).map(
      ({ attributes }) => attributes.find(({ key }) => key === 'log.record.uid')?.value.stringValue ?? '',
    ),
  );

async function httpRig(kind: 'webhook' | 'otlp'): Promise<Rig & { collector: () => HttpCollector }> {
  let collector = await startHttpCollector();
  const { port } = collector;
  const earlier: string[] = [];
  const idsNow = () => (kind === 'webhook' ? webhookIds : otlpIds)(collector);
  return {
    collector: () => collector,
    make: (name) =>
      kind === 'webhook'
        ? createWebhookReceiver({
            name,
            format: 'native',
            target: target(port, '/hook'),
            secret,
            clock,
            post,
          })
        : createOtlpReceiver({
            format: 'native',
            target: target(port, '/v1/logs'),
            compress: false,
            clock,
            post,
          }),
    ids: () => [...earlier, ...idsNow()],
    async stop() {
      await collector.stop();
    },
    async startAgain() {
      earlier.push(...idsNow());
      collector = await startHttpCollector({ port });
    },
  };
}

async function syslogRig(): Promise<
  Rig & { collector: () => Awaited<ReturnType<typeof startSyslogCollector>> }
> {
  let collector = await startSyslogCollector();
  const { port } = collector;
  const earlier: string[] = [];
  const idsNow = () => collector.messages.map((message) => / id="([^"]+)"/.exec(message)?.[1] ?? '');
  return {
    collector: () => collector,
    make: () =>
      createSyslogReceiver(
        {
          host: '127.0.0.1',
          port,
          serverName: 'localhost',
          tls: { ca: tls.certificate },
          format: 'native',
          hostName: 'broker.example',
          maxMessageBytes: 8_192,
        },
        { timeoutMilliseconds: 2_000 },
      ),
    ids: () => [...earlier, ...idsNow()],
    stop: () => collector.stop(),
    async startAgain() {
      earlier.push(...idsNow());
      collector = await startSyslogCollector({ port });
    },
  };
}

/** For a file an outage is a folder that is away. */
async function fileRig(): Promise<Rig> {
  const home = mkdtempSync(join(folder, 'file-'));
  const path = join(home, 'audit.jsonl');
  const lines = () => readFileSync(path, 'utf8').split('\n').filter(Boolean);
  return {
    make: () => createFileReceiver({ path, format: 'native' }),
    ids: () => {
      try {
        return lines().map((line) => (JSON.parse(line) as EntryDocument).id);
      } catch {
        return [];
      }
    },
    stop: async () => renameSync(home, `${home}-away`),
    startAgain: async () => renameSync(`${home}-away`, home),
  };
}

const RIGS: Readonly<Record<string, () => Promise<Rig>>> = {
  file: fileRig,
  webhook: () => httpRig('webhook'),
  otlp: () => httpRig('otlp'),
  syslog: syslogRig,
};

const OUTAGE_HOURS: Readonly<Record<string, number>> = { file: 6, webhook: 24, otlp: 6, syslog: 24 };

for (const [kind, makeRig] of Object.entries(RIGS)) {
  const hours = OUTAGE_HOURS[kind] ?? 24;
  describe(`a ${kind} sink`, () => {
    test('carries the whole log in its order, each entry once', async (t) => {
      const rig = await makeRig();
      t.after(() => rig.stop());
      const [name, log] = [newName(), sampleLog(1_700)];
      const { sink, counts } = start(t, { name, log, receiver: rig.make(name) });
      await becomesTrue(async () => (await cursorOf(name)) === 1_700);
      assert.deepEqual(rig.ids(), log.ids());
      assert.equal(counts.sent, 1_700);
      assert.deepEqual(await sink.status(), {
        name,
        holds: true,
        nextIndex: 1_700,
        lagEntries: 0,
        lagSeconds: 0,
        failure: null,
      });
    });

    test(`AUD-22: loses nothing, repeats nothing and keeps the order over an outage of ${hours} hours`, async (t) => {
      const rig = await makeRig();
      const [name, log] = [newName(), sampleLog(60)];
      const { sink, time, counts } = start(t, { name, log, receiver: rig.make(name) });
      await becomesTrue(async () => (await cursorOf(name)) === 60);
      await rig.stop();
      for (const { document } of sampleLog(140).entries.slice(60)) {
        log.entries.push({ index: log.entries.length, document });
      }
      let isBack = false;
      time.in(hours, async () => {
        const { lagEntries, lagSeconds, failure } = await sink.status();
        assert.equal(lagEntries, 80);
        assert.ok(Math.abs(lagSeconds - hours * 3_600) < 300, `${lagSeconds} s`);
        assert.notEqual(failure, null);
        assert.notEqual((await stateOf(name))?.failingSince, null);
        await rig.startAgain();
        isBack = true;
      });
      await becomesTrue(() => isBack, 'the outage’s end');
      t.after(() => rig.stop());
      await becomesTrue(async () => (await cursorOf(name)) === 140);
      assert.deepEqual(rig.ids(), log.ids());
      assert.ok(counts.failed > hours * 50, 'it tried all the time');
      assert.ok(Math.max(...time.waits) <= 60_000);
      assert.equal((await sink.status()).failure, null);
      assert.equal((await stateOf(name))?.failure, null);
    });

    test('goes on where it was when the broker is another one', async (t) => {
      const rig = await makeRig();
      t.after(() => rig.stop());
      const [name, log] = [newName(), sampleLog(900)];
      const { sink, open } = start(t, { name, log, receiver: rig.make(name) });
      await becomesTrue(() => rig.ids().length >= MAX_BATCH_ENTRIES);
      await sink.stop();
      const second = open('broker-b', rig.make(name));
      t.after(() => second.stop());
      await becomesTrue(async () => (await cursorOf(name)) === 900);
      assert.deepEqual(rig.ids(), log.ids());
    });
  });
}

for (const kind of ['webhook', 'otlp'] as const) {
  describe(`a ${kind} sink whose receiver is ill`, () => {
    test('sends a batch again under the same name when the answer was lost', async (t) => {
      const rig = await httpRig(kind);
      t.after(() => rig.stop());
      const [name, log] = [newName(), sampleLog(1_200)];
      let answers = 0;
      rig.collector().answer = () => (++answers === 2 ? 'hang up' : { status: 200, body: '{}' });
      start(t, { name, log, receiver: rig.make(name) });
      await becomesTrue(async () => (await cursorOf(name)) === 1_200);
      assert.deepEqual(firstArrivals(rig.ids()), log.ids());
      assert.equal(rig.ids().length, 1_200 + MAX_BATCH_ENTRIES);
      const [, second, third] = rig.collector().arrivals;
      assert.equal(second?.headers['webhook-id'], third?.headers['webhook-id']);
    });

    test('waits as long as it is told to', async (t) => {
      const rig = await httpRig(kind);
      t.after(() => rig.stop());
      const [name, log] = [newName(), sampleLog(10)];
      let answers = 0;
      rig.collector().answer = () =>
        ++answers === 1 ? { status: 429, headers: { 'Retry-After': '90' } } : { status: 200 };
      const { time } = start(t, { name, log, receiver: rig.make(name) });
      await becomesTrue(async () => (await cursorOf(name)) === 10);
      assert.equal(time.waits[0], 90_000);
    });

    test('parks the one entry that is refused, and carries all others once and in order', async (t) => {
      const rig = await httpRig(kind);
      t.after(() => rig.stop());
      const [name, log] = [newName(), sampleLog(777)];
      const poison = log.ids()[345] ?? '';
      const taken: string[] = [];
      rig.collector().answer = ({ body }) => {
        const ids: string[] = body.toString().match(/aud_01k5h0m2v3\d{16}/g) ?? [];
        if (ids.includes(poison)) return { status: 400 };
        taken.push(...firstArrivals(ids));
        return { status: 200 };
      };
      const { counts, time } = start(t, { name, log, receiver: rig.make(name) });
      await becomesTrue(async () => (await cursorOf(name)) === 777);
      assert.deepEqual(
        taken,
        log.ids().filter((id) => id !== poison),
      );
      const letters = await store.deadLetters(name, 10);
      assert.deepEqual(
        letters.map(({ first, last, refused, because }) => ({ first, last, refused, because })),
        [{ first: 345, last: 345, refused: 1, because: 'HTTP 400' }],
      );
      assert.deepEqual({ sent: counts.sent, parked: counts.parked }, { sent: 776, parked: 1 });
      assert.ok(rig.collector().arrivals.length < 40, 'the way to it is halved each time');
      assert.equal(time.waits.filter((wait) => wait !== 1_000).length, MAX_ATTEMPTS - 1);
    });

    for (const status of [301, 401, 403, 404, 410, 500, 503]) {
      test(`parks nothing for HTTP ${status}, which says nothing of an entry`, async (t) => {
        const rig = await httpRig(kind);
        t.after(() => rig.stop());
        const [name, log] = [newName(), sampleLog(3)];
        let isWell = false;
        rig.collector().answer = () =>
          isWell ? { status: 200 } : { status, headers: { Location: '/elsewhere' } };
        const { time, counts } = start(t, { name, log, receiver: rig.make(name) });
        time.in(0.2, async () => {
          isWell = true;
        });
        await becomesTrue(async () => (await cursorOf(name)) === 3);
        assert.deepEqual(await store.deadLetters(name, 1), []);
        assert.equal(counts.sent, 3);
      });
    }
  });
}

test('a receiver that refuses everything does not empty the log into the dead letters', async (t) => {
  const rig = await httpRig('webhook');
  t.after(() => rig.stop());
  const [name, log] = [newName(), sampleLog(100)];
  let isWell = false;
  rig.collector().answer = () => ({ status: isWell ? 200 : 400 });
  const { time, counts } = start(t, { name, log, receiver: rig.make(name) });
  time.in(2, async () => {
    isWell = true;
  });
  await becomesTrue(async () => (await cursorOf(name)) === 100);
  assert.equal((await store.deadLetters(name, 100)).length, MAX_PARKED_IN_A_ROW);
  assert.equal(counts.sent, 100 - MAX_PARKED_IN_A_ROW);
});

test('what a collector took in part is not sent again, and is among the dead letters', async (t) => {
  const rig = await httpRig('otlp');
  t.after(() => rig.stop());
  const [name, log] = [newName(), sampleLog(20)];
  const partialSuccess = { rejectedLogRecords: '3', errorMessage: 'too old' };
  rig.collector().answer = () => ({ status: 200, body: JSON.stringify({ partialSuccess }) });
  start(t, { name, log, receiver: rig.make(name) });
  await becomesTrue(async () => (await cursorOf(name)) === 20);
  assert.deepEqual(rig.ids(), log.ids());
  const [letter] = await store.deadLetters(name, 1);
  assert.deepEqual([letter?.first, letter?.last, letter?.refused], [0, 19, 3]);
});

test('a receiver that never answers holds up neither another sink nor the stop', async (t) => {
  const [slow, quick] = [await httpRig('webhook'), await httpRig('webhook')];
  t.after(() => Promise.all([slow.stop(), quick.stop()]));
  slow.collector().answer = () => 'never';
  const log = sampleLog(2_000);
  const [slowName, quickName] = [newName(), newName()];
  const patient = createWebhookReceiver({
    name: slowName,
    format: 'native',
    target: { ...target(slow.collector().port, '/hook') },
    secret,
    clock,
    post: createOutbound(),
  });
  const stuck = start(t, { name: slowName, log, receiver: patient });
  const { sink } = start(t, { name: quickName, log, receiver: quick.make(quickName) });
  await becomesTrue(async () => (await cursorOf(quickName)) === 2_000);
  assert.equal(await cursorOf(slowName), 0);
  const began = performance.now();
  await Promise.all([sink.stop(), stuck.sink.stop()]);
  assert.ok(performance.now() - began < 10_000);
});

test('AUD-22: a slow receiver gets one batch at a time, and no more is read than that', async (t) => {
  const rig = await httpRig('webhook');
  t.after(() => rig.stop());
  const [name, log] = [newName(), sampleLog(2_500)];
  let [underWay, most, widest] = [0, 0, 0];
  const { readFrom } = log;
  log.readFrom = async (index, limit) => {
    const batch = await readFrom(index, limit);
    widest = Math.max(widest, batch.length);
    return batch;
  };
  rig.collector().answer = async () => {
    underWay += 1;
    most = Math.max(most, underWay);
    await new Promise((resolve) => setTimeout(resolve, 50));
    underWay -= 1;
    return { status: 200 };
  };
  start(t, { name, log, receiver: rig.make(name) });
  await becomesTrue(async () => (await cursorOf(name)) === 2_500);
  assert.equal(most, 1);
  assert.ok(widest <= MAX_BATCH_ENTRIES);
  assert.deepEqual(rig.ids(), log.ids());
});

test('entries that are large go in smaller batches', async (t) => {
  const rig = await httpRig('webhook');
  t.after(() => rig.stop());
  const large = (index: number) => sampleDocument(index, { details: { text: 'x'.repeat(60_000) } });
  const [name, log] = [newName(), sampleLog(60, large)];
  start(t, { name, log, receiver: rig.make(name) });
  await becomesTrue(async () => (await cursorOf(name)) === 60);
  for (const { body } of rig.collector().arrivals) assert.ok(body.length < 1_200_000, `${body.length} bytes`);
  assert.deepEqual(rig.ids(), log.ids());
});

test('of two brokers one sends; when it is gone the other one goes on', async (t) => {
  const rig = await httpRig('webhook');
  t.after(() => rig.stop());
  const [name, log] = [newName(), sampleLog(300)];
  const { sink, open } = start(t, { name, log, receiver: rig.make(name) });
  await becomesTrue(async () => (await cursorOf(name)) === 300);
  const second = open('broker-b', rig.make(name));
  t.after(() => second.stop());
  assert.equal((await second.status()).holds, false);
  await sink.stop();
  for (const { document } of sampleLog(500).entries.slice(300)) {
    log.entries.push({ index: log.entries.length, document });
  }
  await becomesTrue(async () => (await cursorOf(name)) === 500);
  assert.equal((await second.status()).holds, true);
  assert.deepEqual(rig.ids(), log.ids());
});

test('what retention has removed from the log is passed over', async (t) => {
  const rig = await httpRig('webhook');
  t.after(() => rig.stop());
  const [name, log] = [newName(), sampleLog(1_000)];
  log.entries.splice(0, 200);
  log.entries.splice(300, 100);
  start(t, { name, log, receiver: rig.make(name) });
  await becomesTrue(async () => (await cursorOf(name)) === 1_000);
  assert.deepEqual(rig.ids(), log.ids());
});

describe('syslog, which acknowledges nothing', () => {
  test('sends the whole window again when the connection was lost before it was confirmed', async (t) => {
    const rig = await syslogRig();
    t.after(() => rig.stop());
    const [name, log] = [newName(), sampleLog(1_000)];
    let isCut = false;
    rig.collector().heard = (message, socket) => {
      if (isCut || !message.includes(log.ids()[620] ?? '-')) return;
      isCut = true;
      socket.destroy();
    };
    start(t, { name, log, receiver: rig.make(name) });
    await becomesTrue(async () => (await cursorOf(name)) === 1_000);
    const ids = rig.ids();
    assert.deepEqual(ids.slice(0, 621), log.ids().slice(0, 621), 'what was read before the cut');
    assert.deepEqual(ids.slice(621), log.ids(), 'all of it again');
    assert.ok(rig.collector().connections >= 2);
  });

  test('sends the whole window again when that is noticed while it is still being filled', async (t) => {
    const rig = await syslogRig();
    t.after(() => rig.stop());
    const [name, log] = [newName(), sampleLog(2_000)];
    let isCut = false;
    rig.collector().heard = (message, socket) => {
      if (isCut || !message.includes(log.ids()[620] ?? '-')) return;
      isCut = true;
      socket.destroy();
    };
    const receiver = rig.make(name);
    const watched: Receiver = {
      ...receiver,
      async deliver(batch) {
        const last = batch.at(-1)?.index ?? 0;
        if (last >= 1_000) await becomesTrue(() => rig.collector().closed > 0);
        return receiver.deliver(batch);
      },
    };
    start(t, { name, log, receiver: watched });
    await becomesTrue(async () => (await cursorOf(name)) === 2_000);
    assert.deepEqual(rig.ids().slice(621), log.ids(), 'all of it again');
  });

  test('moves the cursor only when the other side said that it had read everything', async (t) => {
    const rig = await syslogRig();
    t.after(() => rig.stop());
    const [name, log] = [newName(), sampleLog(40)];
    const receiver = rig.make(name);
    let confirmations = 0;
    const counting: Receiver = {
      ...receiver,
      confirm: async () => {
        assert.equal(await cursorOf(name), 0);
        confirmations += 1;
        return (await receiver.confirm?.()) ?? false;
      },
    };
    start(t, { name, log, receiver: counting });
    await becomesTrue(async () => (await cursorOf(name)) === 40);
    assert.equal(confirmations, 1);
    assert.deepEqual(rig.ids(), log.ids());
  });
});

describe('by hand', () => {
  test('a replay sends the leaves that were asked for once more, and the cursor stays', async (t) => {
    const rig = await httpRig('webhook');
    t.after(() => rig.stop());
    const [name, log] = [newName(), sampleLog(700)];
    await store.claim(name, 'broker-a');
    await store.park({
      sink: name,
      holder: 'broker-a',
      expected: 0,
      first: 5,
      last: 5,
      refused: 1,
      because: 'HTTP 400',
    });
    const replayed = await replaySink({
      name,
      from: 3,
      to: 640,
      receiver: rig.make(name),
      reader: log,
      store,
    });
    assert.deepEqual(replayed, { sent: 638, refused: [], stopped: null, settled: 1 });
    assert.deepEqual(rig.ids(), log.ids().slice(3, 641));
    assert.equal(await cursorOf(name), 6);
  });

  test('a replay says what was refused, and where it had to stop', async (t) => {
    const rig = await httpRig('webhook');
    t.after(() => rig.stop());
    const [name, log] = [newName(), sampleLog(50)];
    const poison = log.ids()[7] ?? '';
    rig.collector().answer = ({ body }) => ({ status: body.includes(poison) ? 422 : 200 });
    const refused = await replaySink({ name, from: 0, to: 49, receiver: rig.make(name), reader: log, store });
    assert.equal(refused.sent, 49);
    assert.deepEqual(refused.refused, [{ index: 7, id: poison, because: 'HTTP 422' }]);
    rig.collector().answer = () => ({ status: 503 });
    const stopped = await replaySink({
      name,
      from: 10,
      to: 20,
      receiver: rig.make(name),
      reader: log,
      store,
    });
    assert.deepEqual(stopped.stopped, { at: 10, because: 'HTTP 503' });
  });

  for (const [kind, makeRig] of Object.entries(RIGS)) {
    test(`a test event arrives at a ${kind} sink, marked as one`, async (t) => {
      const rig = await makeRig();
      t.after(() => rig.stop());
      const { id, delivery } = await testSink({ name: 'x', receiver: rig.make('x'), clock });
      assert.deepEqual(delivery, { outcome: 'accepted' });
      assert.deepEqual(rig.ids(), [id]);
    });
  }
});

describe('news of the log', () => {
  /** Waits until it is woken, and says how long it would have waited. */
  function held() {
    const waits: { milliseconds: number; signal: AbortSignal }[] = [];
    const pause: Pause = (milliseconds, signal) =>
      new Promise((resolve) => {
        waits.push({ milliseconds, signal });
        if (signal.aborted) resolve();
        else signal.addEventListener('abort', () => resolve(), { once: true });
      });
    return { waits, pause };
  }

  function open(
    t: TestContext,
    { log, receiver, pause }: { log: SampleLog; receiver: Receiver; pause: Pause },
  ) {
    const name = newName();
    const sink = runSink({
      name,
      receiver,
      reader: log,
      cursors: store,
      holder: 'broker-a',
      logSize: log.size,
      clock,
      pause,
      log: silentLog,
      metrics: noSinkMetrics,
    });
    t.after(() => sink.stop());
    return { sink, name };
  }

  test('end the waiting of a sink that has nothing to send', async (t) => {
    const { waits, pause } = held();
    const log = sampleLog(1);
    const receiver: Receiver = { deliver: async () => ({ outcome: 'accepted' }), close: async () => {} };
    const { sink, name } = open(t, { log, receiver, pause });
    await becomesTrue(() => waits.length === 1);
    log.entries.push({ index: 1, document: sampleDocument(1) });
    sink.wake();
    await becomesTrue(async () => (await cursorOf(name)) === 2);
  });

  test('that come while it looks are looked at before it waits', async (t) => {
    const { waits, pause } = held();
    const log = sampleLog(1);
    const receiver: Receiver = { deliver: async () => ({ outcome: 'accepted' }), close: async () => {} };
    const read = log.readFrom;
    let wake = () => {};
    log.readFrom = async (index, limit) => {
      const found = await read(index, limit);
      if (index === 1 && log.entries.length === 1) {
        log.entries.push({ index: 1, document: sampleDocument(1) });
        wake();
      }
      return found;
    };
    const { sink, name } = open(t, { log, receiver, pause });
    wake = sink.wake;
    await becomesTrue(async () => (await cursorOf(name)) === 2);
    assert.ok(waits.length <= 1, 'it waited before it looked again');
  });

  test('shorten no back-off, and a stop does', async (t) => {
    const { waits, pause } = held();
    let attempts = 0;
    const receiver: Receiver = {
      async deliver() {
        attempts += 1;
        return { outcome: 'failed', because: 'away' };
      },
      close: async () => {},
    };
    const { sink, name } = open(t, { log: sampleLog(3), receiver, pause });
    await becomesTrue(() => waits.length === 1);
    sink.wake();
    sink.wake();
    assert.equal(waits[0]?.signal.aborted, false);
    await sink.stop();
    assert.equal(attempts, 1);
    assert.equal((await stateOf(name))?.failure, 'away');
  });
});

test('a stop does not wait for a receiver that was ill before, nor calls it ill because of the stop', async () => {
  const log = sampleLog(1);
  const name = newName();
  let giveUp = () => {};
  let attempts = 0;
  const receiver: Receiver = {
    deliver() {
      attempts += 1;
      if (attempts === 1) return Promise.resolve({ outcome: 'failed', because: 'away' });
      return new Promise((resolve) => {
        giveUp = () => resolve({ outcome: 'failed', because: 'given up' });
      });
    },
    close: async () => giveUp(),
  };
  const { clock: manual, pause } = manualTime();
  const sink = runSink({
    name,
    receiver,
    reader: log,
    cursors: store,
    holder: 'broker-a',
    logSize: log.size,
    clock: manual,
    pause,
    log: silentLog,
    metrics: noSinkMetrics,
  });
  await becomesTrue(() => attempts === 2);
  const stoppedAt = performance.now();
  await sink.stop();
  assert.ok(performance.now() - stoppedAt < 4_000);
  const state = await stateOf(name);
  assert.deepEqual([state?.failure, state?.holder], ['away', null]);
});
