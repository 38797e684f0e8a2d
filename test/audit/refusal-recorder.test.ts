import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompiledQuery } from 'kysely';
import type { AuditEntry } from '../../src/audit/audit-entry.ts';
import { createAuditStore } from '../../src/audit/audit-store.ts';
import {
  createRefusalRecorder,
  FOLD_AFTER,
  FOLD_WINDOW_MILLISECONDS,
  type RefusalEntry,
} from '../../src/audit/refusal-recorder.ts';
import { createPool, openKysely } from '../../src/database/pool.ts';
import { silentLog } from '../../src/errors/log.ts';
import { beforeDrop, createTestDatabase } from '../test-database.ts';

const database = await createTestDatabase();
const kysely = openKysely<unknown>(
  createPool({ url: database.applicationUrl, size: 2, applicationName: 'test', log: silentLog }),
);
beforeDrop(() => kysely.destroy());
const store = createAuditStore(kysely);

function manualClock() {
  const clock = { now: 1_000_000, milliseconds: () => Date.now(), monotonicMilliseconds: () => clock.now };
  return clock;
}

type Overrides = Partial<Omit<RefusalEntry, 'source'>> & { source?: string; network?: string };

const refusal = ({ source = '192.0.2.1', network = source, ...overrides }: Overrides = {}): RefusalEntry => ({
  action: 'token.refused',
  reason: 'proof_replayed',
  requestId: 'req_1',
  actor: 'report-writer',
  source: { address: source, network },
  ...overrides,
});

async function lines(source: string): Promise<{ count: number; repetitions: number }> {
  const { rows } = await kysely.executeQuery<{ count: string; repetitions: string | null }>(
    CompiledQuery.raw(
      `select count(*) as count, sum(repetitions) as repetitions from audit_entries where details->>'source' = $1`,
      [source],
    ),
  );
  return { count: Number(rows[0]?.count), repetitions: Number(rows[0]?.repetitions ?? 0) };
}

test('a refusal is on record when its recording has resolved', async () => {
  const recorder = createRefusalRecorder({ store, clock: manualClock(), log: silentLog });
  await recorder.record(refusal({ source: 'single' }));
  assert.deepEqual(await lines('single'), { count: 1, repetitions: 1 });
});

test('identical refusals beyond the threshold become one line with a count, and none is lost', async () => {
  const clock = manualClock();
  const recorder = createRefusalRecorder({ store, clock, log: silentLog });
  const times = FOLD_AFTER + 2_345;
  await Promise.all(Array.from({ length: times }, () => recorder.record(refusal({ source: 'flood' }))));
  assert.equal((await lines('flood')).count, FOLD_AFTER);
  await recorder.writeFolded();
  assert.equal((await lines('flood')).count, FOLD_AFTER, 'the minute is not over');
  clock.now += FOLD_WINDOW_MILLISECONDS;
  await recorder.writeFolded();
  assert.deepEqual(await lines('flood'), { count: FOLD_AFTER + 1, repetitions: times });
  await recorder.record(refusal({ source: 'flood' }));
  assert.equal((await lines('flood')).count, FOLD_AFTER + 2, 'the next minute begins anew');
});

test('refusals of another reason, client or address are not folded together', async () => {
  const recorder = createRefusalRecorder({ store, clock: manualClock(), log: silentLog });
  for (let count = 0; count < FOLD_AFTER; count += 1) await recorder.record(refusal({ source: 'apart' }));
  await recorder.record(refusal({ source: 'apart', reason: 'proof_time' }));
  await recorder.record(refusal({ source: 'apart', actor: 'mailer' }));
  assert.equal((await lines('apart')).count, FOLD_AFTER + 2);
});

test('refusals from one IPv6 network fold as those of one caller', async () => {
  const recorder = createRefusalRecorder({ store, clock: manualClock(), log: silentLog });
  const network = '2001:db8:0:1::/64';
  for (let count = 0; count < FOLD_AFTER + 9; count += 1) {
    await recorder.record(refusal({ source: `2001:db8:0:1::${count.toString(16)}`, network }));
  }
  await recorder.writeFolded({ all: true });
  assert.deepEqual(await lines(network), { count: 1, repetitions: 9 });
  assert.deepEqual(
    await lines('2001:db8:0:1::1'),
    { count: 1, repetitions: 1 },
    'a line of its own says it all',
  );
});

test('a folded line says what all of its refusals have in common, and what a caller makes up multiplies no lines', async () => {
  const appended: AuditEntry[] = [];
  const recorder = createRefusalRecorder({
    store: { append: async (entries) => void appended.push(...entries) },
    clock: manualClock(),
    log: silentLog,
  });
  for (let count = 0; count < FOLD_AFTER + 5; count += 1) {
    const made = { jkt: `key-${count}`, scope_sha256: `${count}`, catalogue: 3, zone: 'analytics' };
    const sessionId = count % 2 === 0 ? 'ses_even' : 'ses_odd';
    await recorder.record(refusal({ requestId: `req_${count}`, sessionId, details: made }));
  }
  await recorder.writeFolded({ all: true });
  assert.equal(appended.length, FOLD_AFTER + 1);
  assert.deepEqual(
    { ...appended.at(-1), id: '' },
    {
      id: '',
      action: 'token.refused',
      outcome: 'refused',
      reason: 'proof_replayed',
      actor: 'report-writer',
      repetitions: 5,
      details: { catalogue: 3, zone: 'analytics', source: '192.0.2.1' },
    },
  );
});

test('a client that is only claimed is told apart from one that was proved', async () => {
  const recorder = createRefusalRecorder({ store, clock: manualClock(), log: silentLog });
  const source = 'claimed';
  for (let count = 0; count < FOLD_AFTER; count += 1) await recorder.record(refusal({ source }));
  const { actor: _, ...nobody } = refusal({ source, details: { claimed_client: 'report-writer' } });
  await recorder.record(nobody);
  assert.equal((await lines(source)).count, FOLD_AFTER + 1);
});

test('challenges for a nonce are counted, and have no lines of their own', async () => {
  const recorder = createRefusalRecorder({ store, clock: manualClock(), log: silentLog });
  const challenge = refusal({
    source: 'challenged',
    action: 'proof.challenged',
    reason: 'proof_nonce_missing',
  });
  for (let count = 0; count < 7; count += 1) await recorder.record(challenge);
  assert.deepEqual(await lines('challenged'), { count: 0, repetitions: 0 });
  await recorder.writeFolded({ all: true });
  assert.deepEqual(await lines('challenged'), { count: 1, repetitions: 7 });
});

test('what many callers did is folded into a line that names none of them', async () => {
  const appended: AuditEntry[] = [];
  const recorder = createRefusalRecorder({
    store: { append: async (entries) => void appended.push(...entries) },
    clock: manualClock(),
    log: silentLog,
  });
  await Promise.all(
    Array.from({ length: 10_000 }, (_, n) =>
      recorder.record(refusal({ source: `10.0.${n >> 8}.${n & 255}` })),
    ),
  );
  const late = { source: '198.51.100.1', reason: 'assertion_signature', actor: 'mailer' } as const;
  await recorder.record(refusal({ source: '198.51.100.2', reason: 'assertion_signature' }));
  for (let count = 0; count < 3 * FOLD_AFTER; count += 1) await recorder.record(refusal(late));
  await recorder.record(refusal({ source: '198.51.100.3', reason: 'proof_time' }));
  await recorder.writeFolded({ all: true });
  const [folded, ...more] = appended.filter(({ repetitions = 1 }) => repetitions > 1);
  assert.deepEqual(more, []);
  assert.deepEqual(
    { ...folded, id: '' },
    {
      id: '',
      action: 'token.refused',
      outcome: 'refused',
      reason: 'assertion_signature',
      repetitions: 2 * FOLD_AFTER + 1,
      details: { mixed: true },
    },
  );
});

test('a stop writes what was counted so far', async () => {
  const recorder = createRefusalRecorder({ store, clock: manualClock(), log: silentLog });
  for (let count = 0; count < FOLD_AFTER + 7; count += 1) await recorder.record(refusal({ source: 'stop' }));
  await recorder.writeFolded({ all: true });
  assert.deepEqual(await lines('stop'), { count: FOLD_AFTER + 1, repetitions: FOLD_AFTER + 7 });
});

test('a flood from many addresses is bounded in memory and still counted', async () => {
  const clock = manualClock();
  const appended: AuditEntry[] = [];
  const recorder = createRefusalRecorder({
    store: { append: async (entries) => void appended.push(...entries) },
    clock,
    log: silentLog,
  });
  const sources = 12_000;
  await Promise.all(
    Array.from({ length: sources }, (_, n) =>
      recorder.record(refusal({ source: `10.0.${n >> 8}.${n & 255}` })),
    ),
  );
  clock.now += FOLD_WINDOW_MILLISECONDS;
  await recorder.writeFolded();
  const total = appended.reduce((sum, { repetitions = 1 }) => sum + repetitions, 0);
  assert.equal(total, sources);
  assert.ok(appended.length < sources);
});

test('when the record cannot be written the caller is answered all the same, and the loss is counted', async () => {
  let lost = 0;
  const recorder = createRefusalRecorder({
    store: { append: () => Promise.reject(new Error('the database is away')) },
    clock: manualClock(),
    log: silentLog,
    onLost: (entries) => {
      lost += entries;
    },
  });
  await recorder.record(refusal());
  await recorder.record(refusal());
  assert.equal(lost, 2);
});

test('AUD-12: an entry that cannot be written becomes one that says so, and those it came with are written as they are', async () => {
  const cyclic: Record<string, unknown> = {};
  cyclic.self = cyclic;
  let deep: unknown = 1;
  for (let depth = 0; depth < 10_000; depth += 1) deep = { deep };
  const strange: readonly (readonly [Record<string, unknown>, string])[] = [
    [cyclic, 'cycle'],
    [{ deep }, 'too-deep'],
    [{ count: 1n }, 'bigint'],
    [{ text: '\ud800' }, 'lone-surrogate'],
    [{ text: 'a\0b' }, 'nul'],
    [{ text: 'a'.repeat(60_000) }, 'too-large'],
  ];
  const entry = (n: number, over: Partial<AuditEntry> = {}): AuditEntry => ({
    id: `aud_strange_${n}`,
    action: 'request.refused',
    outcome: 'refused',
    ...over,
  });
  await store.append([
    ...strange.map(([details], n) => entry(n, { details })),
    entry(90, { actor: 'a\0b\ud800c', details: { source: '192.0.2.90' } }),
    entry(91, { details: { source: 'a backslash, then u0000: \\u0000' } }),
  ]);
  const { rows } = await kysely.executeQuery<{
    id: string;
    actor: string | null;
    details: Record<string, unknown>;
  }>(
    CompiledQuery.raw(
      `select id, actor, details from audit_entries where id like 'aud_strange_%' order by id`,
    ),
  );
  assert.deepEqual(
    rows.slice(0, strange.length).map(({ details }) => details),
    strange.map(([, unwritable]) => ({ unwritable })),
  );
  const [whole, literal] = rows.slice(strange.length);
  assert.deepEqual([whole?.actor, whole?.details], ['a\ufffdb\ufffdc', { source: '192.0.2.90' }]);
  assert.deepEqual(literal?.details, { source: 'a backslash, then u0000: \\u0000' });
});

test('details that nobody described stay out, their entry is written and somebody is told', async () => {
  const told: string[] = [];
  const watched = createAuditStore(kysely, { onUndescribed: ({ id }) => void told.push(id) });
  const line = { action: 'request.refused', outcome: 'refused' } as const;
  await watched.append([
    {
      ...line,
      id: 'aud_leaking',
      reason: 'client_rate',
      details: { source: '192.0.2.1', access_token: 'eyJ' },
    },
    { ...line, id: 'aud_well', details: { source: '192.0.2.1' } },
  ]);
  const { rows } = await kysely.executeQuery(
    CompiledQuery.raw(
      `select id, reason, details from audit_entries where id = any ('{aud_leaking,aud_well}') order by id`,
    ),
  );
  assert.deepEqual(rows, [
    { id: 'aud_leaking', reason: 'client_rate', details: { unwritable: 'undescribed' } },
    { id: 'aud_well', reason: null, details: { source: '192.0.2.1' } },
  ]);
  assert.deepEqual(told, ['aud_leaking']);
});
