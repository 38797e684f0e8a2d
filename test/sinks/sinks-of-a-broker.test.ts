/** Four sinks of a real broker, each with a real receiver behind it, while tokens are minted. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { EntryDocument } from '../../src/audit/entry-document.ts';
import type { Broker } from '../../src/broker.ts';
import { readSinks } from '../../src/sinks/read-sinks.ts';
import type { SinkDeclaration } from '../../src/sinks/sink-declaration.ts';
import { until } from '../broker-process.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, type TestWorld } from '../test-broker.ts';
import { type HttpArrival, startHttpCollector, startSyslogCollector, tls } from './collectors.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const LIMIT_MILLISECONDS = 60_000;

const folder = mkdtempSync(join(tmpdir(), 'mayfly-sinks-of-a-broker-'));
const [ca, archive] = [join(folder, 'ca.pem'), join(folder, 'audit.jsonl')];
writeFileSync(ca, tls.certificate);
after(() => rmSync(folder, { recursive: true }));

let world: TestWorld;
before(async () => {
  world = await createTestWorld();
});

function declare(text: string): SinkDeclaration[] {
  const { sinks, problems } = readSinks({
    file: 'sinks.yaml',
    text,
    environment: { AUDIT_SINK_HOOK: SECRET },
  });
  assert.deepEqual(problems, []);
  return sinks;
}

async function mint(broker: Broker): Promise<void> {
  const { status, body } = await world.agent(broker, 'report-writer').token(newSessionKey());
  assert.equal(status, 200, JSON.stringify(body));
}

/** The log in its order, as far as a signed head covers it; null while lines wait for their place. */
async function wholeLog(): Promise<string[] | null> {
  const [row] = await world.query<{ done: boolean }>(
    `select (select count(*) from audit_entries) = h.size
        and h.size = (select max(size) from audit_checkpoints) as done from audit_log_head h`,
  );
  if (row?.done !== true) return null;
  const leaves = await world.query<{ id: string }>(
    'select entry_id as id from audit_leaves order by leaf_index',
  );
  return leaves.map(({ id }) => id);
}

const idsOfHook = ({ body }: HttpArrival): string[] =>
  (JSON.parse(body.toString()) as EntryDocument[]).map(({ id }) => id);

type OtlpRecord = { attributes: { key: string; value: { stringValue: string } }[] };
const idsOfOtlp = ({ body }: HttpArrival): string[] =>
  (JSON.parse(body.toString()).resourceLogs[0].scopeLogs[0].logRecords as OtlpRecord[]).map(
    ({ attributes }) => attributes.find(({ key }) => key === 'log.record.uid')?.value.stringValue ?? '',
  );

test('four sinks get everything once and in order, though the broker is stopped and another one goes on', async (t) => {
  const hook = await startHttpCollector();
  const otlp = await startHttpCollector({ secure: false });
  const siem = await startSyslogCollector();
  t.after(() => Promise.all([hook.stop(), otlp.stop(), siem.stop()]));
  const taken: string[] = [];
  let illFor = 3; // and then it is well
  hook.answer = (arrival) => {
    illFor -= 1;
    if (illFor >= 0) return { status: 503 };
    taken.push(...idsOfHook(arrival));
    return { status: 204 };
  };
  const sinks = declare(`
allowed_hosts: [localhost, 127.0.0.1]
sinks:
  archive: { kind: file, path: ${archive} }
  siem: { kind: syslog, host: 127.0.0.1, server_name: localhost, port: ${siem.port}, ca: ${ca} }
  hook: { kind: webhook, url: "https://localhost:${hook.port}/", secret: { env: AUDIT_SINK_HOOK }, ca: ${ca} }
  otel: { kind: otlp, endpoint: "http://127.0.0.1:${otlp.port}" }
`);
  const received: Record<string, () => string[]> = {
    archive: () =>
      readFileSync(archive, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line).id),
    siem: () => siem.messages.map((message) => / id="([^"]+)"/.exec(message)?.[1] ?? ''),
    hook: () => taken,
    otel: () => otlp.arrivals.flatMap(idsOfOtlp),
  };

  const first = await world.startBroker({ sinks });
  for (let round = 0; round < 6; round += 1) await Promise.all(Array.from({ length: 5 }, () => mint(first)));
  await until(() => otlp.arrivals.length > 0, 'the first batch', LIMIT_MILLISECONDS);
  await Promise.all([mint(first), mint(first)]);
  await first.stop(); // whatever has its place by now or not

  const second = await world.startBroker({ sinks });
  for (let round = 0; round < 4; round += 1) await Promise.all(Array.from({ length: 5 }, () => mint(second)));
  let log: string[] = [];
  await until(
    async () => {
      log = (await wholeLog()) ?? [];
      return log.length > 52;
    },
    'a head over everything',
    LIMIT_MILLISECONDS,
  );
  for (const [name, ids] of Object.entries(received)) {
    await until(() => ids().length >= log.length, `${name}: everything`, LIMIT_MILLISECONDS);
    assert.deepEqual(ids(), log, name);
  }

  await until(
    async () => (await readiness(second)).detail === '4 up to date',
    'up to date',
    LIMIT_MILLISECONDS,
  );
  for (const sink of Object.keys(received)) {
    // The farewell by which syslog says that it has read everything comes after seconds.
    await until(
      async () => (await counted(second, 'lag_entries', sink)) === 0,
      `${sink}: no lag`,
      LIMIT_MILLISECONDS,
    );
    assert.ok((await counted(second, 'sent_total', sink)) > 0, sink);
    assert.equal(await counted(second, 'parked_total', sink), 0, sink);
    assert.equal(await counted(second, 'lag_seconds', sink), 0, sink);
  }
});

test('AUD-22: a receiver that never answers and one that is gone delay neither mints nor the log nor a stop', async (t) => {
  const silent = await startHttpCollector();
  silent.answer = () => 'never';
  t.after(() => silent.stop());
  const gone = await startHttpCollector();
  await gone.stop();
  const lines: string[] = [];
  const tell = (details: object, message: string) => lines.push(JSON.stringify([details, message]));
  const hook = (port: number) =>
    `{ kind: webhook, url: "https://localhost:${port}/", secret: { env: AUDIT_SINK_HOOK }, ca: ${ca} }`;
  const broker = await world.startBroker({
    sinks: declare(
      `{ allowed_hosts: [localhost], sinks: { silent: ${hook(silent.port)}, gone: ${hook(gone.port)} } }`,
    ),
    log: { info: tell, warn: tell, error: tell },
  });
  await until(() => silent.arrivals.length > 0, 'something is sent', LIMIT_MILLISECONDS);
  const before = (await wholeLog())?.length ?? 0;
  await Promise.all(Array.from({ length: 10 }, () => mint(broker)));
  await until(
    async () => ((await wholeLog())?.length ?? 0) >= before + 10,
    'heads go on',
    LIMIT_MILLISECONDS,
  );
  assert.equal(silent.arrivals.length, 1);

  await until(
    async () => (await readiness(broker)).detail?.includes('gone') === true,
    'readiness names it',
    LIMIT_MILLISECONDS,
  );
  assert.equal((await fetch(`${broker.url}/readyz`)).status, 200);
  for (const sink of ['silent', 'gone']) {
    assert.ok((await counted(broker, 'lag_entries', sink)) >= 10, sink);
    assert.ok((await counted(broker, 'lag_seconds', sink)) > 0, sink);
    assert.equal(await counted(broker, 'sent_total', sink), 0, sink);
  }
  assert.ok((await counted(broker, 'failures_total', 'gone')) > 0);

  const stoppedAt = performance.now();
  await broker.stop();
  assert.ok(performance.now() - stoppedAt < 9_000, `${performance.now() - stoppedAt} ms`);
  assert.ok(lines.some((line) => line.includes('a sink of the audit log takes nothing')));
  for (const line of lines) assert.ok(!line.includes(SECRET.slice(6)), line);
  const [held] = await world.query(
    `select name from audit_sinks where holder is not null and name in ('silent', 'gone')`,
  );
  assert.equal(held, undefined);
});

async function readiness({ url }: Broker): Promise<{ ok: boolean; detail?: string }> {
  const { checks } = (await (await fetch(`${url}/readyz`)).json()) as {
    checks: { sinks: { ok: boolean; detail?: string } };
  };
  assert.equal(checks.sinks.ok, true);
  return checks.sinks;
}

/** NaN while there is no such series. */
async function counted({ metricsUrl }: Broker, name: string, sink: string): Promise<number> {
  const text = await (await fetch(`${metricsUrl}/metrics`)).text();
  const found = new RegExp(`^mayfly_audit_sink_${name}{sink="${sink}"} (\\S+)$`, 'm').exec(text);
  return Number(found?.[1]);
}
