/** `mayfly audit sink …` beside a running broker, with real receivers. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { EntryDocument } from '../../src/audit/entry-document.ts';
import type { Broker } from '../../src/broker.ts';
import { readSinks } from '../../src/sinks/read-sinks.ts';
import { until } from '../broker-process.ts';
import { blocksOf, textOf } from '../documents/documents.ts';
import { startHttpCollector, tls } from '../sinks/collectors.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, type TestWorld } from '../test-broker.ts';
import { type CommandLine, commandLine } from './command-line.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const LIMIT_MILLISECONDS = 60_000;
const folder = mkdtempSync(join(tmpdir(), 'mayfly-audit-sinks-'));
after(() => rmSync(folder, { recursive: true }));

const collector = await startHttpCollector();
after(() => collector.stop());
let world: TestWorld;
let broker: Broker;
let mayfly: CommandLine;
let settings: Record<string, string>;
let taken: EntryDocument[] = [];
/** What the receiver thinks of an entry. */
let isWanted = (_entry: EntryDocument) => true;

before(async () => {
  world = await createTestWorld();
  collector.answer = ({ body }) => {
    const entries = JSON.parse(body.toString()) as EntryDocument[];
    if (!entries.every(isWanted)) return { status: 422 };
    taken.push(...entries);
    return { status: 204 };
  };
  const [path, ca] = [join(folder, 'sinks.yaml'), join(folder, 'ca.pem')];
  const text = `
allowed_hosts: [localhost]
sinks:
  hook: { kind: webhook, url: "https://localhost:${collector.port}/", secret: { env: AUDIT_SINK_HOOK }, ca: ${ca} }
  archive: { kind: file, path: ${join(folder, 'audit.jsonl')} }
`;
  writeFileSync(ca, tls.certificate);
  writeFileSync(path, text);
  const { MAYFLY_KEK: _, ...withoutKeys } = world.environment();
  settings = { ...withoutKeys, MAYFLY_AUDIT_SINKS: path, AUDIT_SINK_HOOK: SECRET };
  mayfly = commandLine(settings);
  const { sinks } = readSinks({ file: path, text, environment: { AUDIT_SINK_HOOK: SECRET } });
  broker = await world.startBroker({ sinks });
});

type Listed = {
  name: string;
  next_index: number;
  lag_entries: number;
  parked: number;
  holder: string | null;
  dead_letters: { from: number; to: number; because: string }[];
};

async function listed(name: string): Promise<Listed> {
  const { code, stdout, stderr } = await mayfly('audit sink list -o json');
  assert.equal(code, 0, stderr);
  const found = (JSON.parse(stdout) as Listed[]).find((sink) => sink.name === name);
  return found ?? assert.fail(stdout);
}

test('list shows how far each declared sink has got, without a key of the broker', async () => {
  await world.agent(broker, 'report-writer').token(newSessionKey());
  await until(async () => (await listed('hook')).lag_entries === 0, 'no lag', LIMIT_MILLISECONDS);
  const hook = await listed('hook');
  assert.equal(hook.next_index, taken.length);
  assert.ok(hook.holder !== null);
  const { stdout } = await mayfly('audit sink list');
  assert.match(stdout, /^name +kind +next_index/);
  assert.match(stdout, /^hook +webhook/m);
  assert.match(stdout, /^archive +file/m);
  assert.ok(!stdout.includes(SECRET.slice(6)));
});

test('test sends one event that says that it is a test, and asks no database', async () => {
  taken = [];
  const { DATABASE_URL: _, ...withoutDatabase } = settings;
  const { code, stdout, stderr } = await commandLine(withoutDatabase)('audit sink test hook');
  assert.equal(code, 0, stderr);
  assert.deepEqual(
    taken.map(({ id, action }) => [id, action]),
    [[stdout.trim(), 'sink.tested']],
  );
});

test('test ends with 2 when the receiver does not take it', async (t) => {
  isWanted = () => false;
  t.after(() => {
    isWanted = () => true;
  });
  const { code, stderr } = await mayfly('audit sink test hook');
  assert.equal(code, 2);
  assert.match(stderr, /hook did not take aud_\w+: /);
});

test('replay sends leaves once more with their ids, and moves no cursor', async () => {
  taken = [];
  const before = await listed('hook');
  const leaves = await world.query<{ id: string }>(
    'select entry_id as id from audit_leaves where leaf_index <= 1 order by leaf_index',
  );
  const { code, stderr } = await mayfly('audit sink replay hook --from 0 --to 1');
  assert.equal(code, 0, stderr);
  assert.deepEqual(
    taken.map(({ id }) => id),
    leaves.map(({ id }) => id),
  );
  assert.equal((await listed('hook')).next_index, before.next_index);
});

test('what a receiver would not take is listed, and replayed when it is mended', async () => {
  isWanted = ({ action }) => action !== 'token.minted';
  await world.agent(broker, 'report-writer').token(newSessionKey());
  await until(async () => (await listed('hook')).parked > 0, 'something is put aside', LIMIT_MILLISECONDS);
  const { dead_letters } = await listed('hook');
  assert.match(dead_letters[0]?.because ?? '', /422/);
  isWanted = () => true;
  taken = [];
  const { code, stderr } = await mayfly('audit sink replay hook --parked');
  assert.equal(code, 0, stderr);
  assert.match(stderr, /Settled 1 dead letters/);
  assert.ok(taken.some(({ action }) => action === 'token.minted'));
  assert.equal((await listed('hook')).parked, 0);
});

test('a command line that cannot be followed ends with 1 and says why', async () => {
  const cases: [line: string, said: RegExp][] = [
    ['audit sink test hok', /There is no sink hok. Declared are: hook, archive/],
    ['audit sink replay hok --parked', /There is no sink hok/],
    ['audit sink replay hook', /--from and --to/],
    ['audit sink replay hook --from 3 --to 2', /--from and --to/],
    ['audit sink replay hook --from 0 --to 1 --parked', /--from and --to/],
    ['audit sink replay hook --from 0 --to 99999', /--to is at most \d+/],
    ['audit sink replay hook --from x --to 2', /index of a leaf/],
  ];
  for (const [line, said] of cases) {
    const { code, stderr } = await mayfly(line);
    assert.equal(code, 1, line);
    assert.match(stderr, said, line);
  }
  const { MAYFLY_AUDIT_SINKS: _, ...undeclared } = settings;
  const { code, stderr } = await commandLine(undeclared)('audit sink test hook');
  assert.equal(code, 1);
  assert.match(stderr, /MAYFLY_AUDIT_SINKS is needed/);
});

test('where no sinks are declared the list is empty, and says how they would be', async () => {
  const { MAYFLY_AUDIT_SINKS: _, DATABASE_URL: __, ...undeclared } = settings;
  const { code, stdout, stderr } = await commandLine(undeclared)('audit sink list');
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^name +kind .*\n$/);
  assert.match(stderr, /MAYFLY_AUDIT_SINKS names the file/);
  assert.equal((await commandLine(undeclared)('audit sink list -o json')).stdout, '[]\n');
});

test('what the README says about sinks can be typed, with the names of ours', async () => {
  const [block = ''] = blocksOf(textOf('README.md'), 'sh').filter((each) => each.includes('audit sink'));
  const lines = block.split('\n').filter((line) => line !== '');
  assert.deepEqual(
    lines.map((line) => line.split(' ')[3]),
    ['list', 'test', 'replay'],
  );
  for (const line of lines) {
    const ours = line
      .replace('mayfly ', '')
      .replace('siem', 'hook')
      .replace(/--from .*/, '--from 0 --to 1');
    const { code, stderr } = await mayfly(ours);
    assert.equal(code, 0, `${line}: ${stderr}`);
  }
});
