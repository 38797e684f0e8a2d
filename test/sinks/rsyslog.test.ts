import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { createPool, openKysely } from '../../src/database/pool.ts';
import { runSink } from '../../src/sinks/run-sink.ts';
import { noSinkMetrics } from '../../src/sinks/sink-metrics.ts';
import { createSinkStore } from '../../src/sinks/sink-store.ts';
import { createSyslogReceiver } from '../../src/sinks/syslog-receiver.ts';
import { beforeDrop, createTestDatabase } from '../test-database.ts';
import { tls } from './collectors.ts';
import { missing, startRsyslogd } from './rsyslogd.ts';
import {
  becomesTrue,
  firstArrivals,
  manualTime,
  type SampleLog,
  sampleDocument,
  sampleLog,
  silentLog,
} from './sample-log.ts';

const database = await createTestDatabase();
const kysely = openKysely<unknown>(
  createPool({ url: database.applicationUrl, size: 3, applicationName: 'test', log: silentLog }),
);
beforeDrop(() => kysely.destroy());
const store = createSinkStore(kysely);
const cursorOf = async (name: string) =>
  (await store.list()).find((sink) => sink.name === name)?.nextIndex ?? 0;

const receiverOf = (port: number) =>
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
    { timeoutMilliseconds: 5_000 },
  );

function start(t: TestContext, { name, log, port }: { name: string; log: SampleLog; port: number }) {
  const time = manualTime();
  const sink = runSink({
    name,
    receiver: receiverOf(port),
    reader: log,
    cursors: store,
    holder: 'broker-a',
    logSize: log.size,
    clock: time.clock,
    pause: time.pause,
    log: silentLog,
    metrics: noSinkMetrics,
  });
  t.after(() => sink.stop());
  return { sink, time };
}

function append(log: SampleLog, count: number): void {
  for (const { document } of sampleLog(log.entries.length + count).entries.slice(log.entries.length)) {
    log.entries.push({ index: log.entries.length, document });
  }
}

describe('Debian’s rsyslogd with TLS', { skip: missing }, () => {
  test('reads every message whole, in order and once', async (t) => {
    const rsyslogd = await startRsyslogd();
    t.after(() => rsyslogd.remove());
    const log = sampleLog(1_200);
    start(t, { name: 'whole', log, port: rsyslogd.port });
    await becomesTrue(async () => (await cursorOf('whole')) === 1_200);
    await becomesTrue(() => rsyslogd.heard().length >= 1_200);
    const heard = rsyslogd.heard();
    assert.deepEqual(
      heard.map(({ id }) => id),
      log.ids(),
    );
    const [first] = heard;
    assert.deepEqual(
      [first?.app, first?.host, first?.msgid, first?.pri],
      ['mayfly', 'broker.example', 'token.minted', '110'],
    );
    assert.deepEqual(
      heard.map(({ msg }) => JSON.parse(msg)),
      log.entries.map(({ document }) => document),
    );
  });

  test('finds one message in a name that tries to be two (AUD-10)', async (t) => {
    const rsyslogd = await startRsyslogd();
    t.after(() => rsyslogd.remove());
    const names = [
      'a\n<13>1 - forged forged - - - forged',
      '12 forged',
      '\u001b[2J"] forged',
      '\u2028\u202e',
    ];
    const log = sampleLog(names.length, (index) => sampleDocument(index, { actor: names[index] ?? '' }));
    start(t, { name: 'forged', log, port: rsyslogd.port });
    await becomesTrue(async () => (await cursorOf('forged')) === names.length);
    await becomesTrue(() => rsyslogd.heard().length >= names.length);
    assert.deepEqual(
      rsyslogd.heard().map(({ msg }) => JSON.parse(msg).actor),
      names,
    );
  });

  test('loses nothing over an outage of hours, nor when it is restarted in the middle', async (t) => {
    const rsyslogd = await startRsyslogd();
    t.after(() => rsyslogd.remove());
    const log = sampleLog(100);
    const { time } = start(t, { name: 'outage', log, port: rsyslogd.port });
    await becomesTrue(async () => (await cursorOf('outage')) === 100);
    await rsyslogd.stop();
    append(log, 100);
    time.in(6, () => rsyslogd.start());
    await becomesTrue(async () => (await cursorOf('outage')) === 200);
    await becomesTrue(() => rsyslogd.heard().length >= 200);
    assert.deepEqual(
      rsyslogd.heard().map(({ id }) => id),
      log.ids(),
      'nothing twice after an outage in order',
    );

    append(log, 3_000);
    await becomesTrue(() => rsyslogd.heard().length > 700);
    await rsyslogd.stop();
    await rsyslogd.start();
    await becomesTrue(async () => (await cursorOf('outage')) === 3_200);
    await becomesTrue(() => firstArrivals(rsyslogd.heard().map(({ id }) => id)).length === 3_200);
    assert.deepEqual(firstArrivals(rsyslogd.heard().map(({ id }) => id)), log.ids());
  });
});
