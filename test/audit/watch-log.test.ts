/** What a broker says of its log to whoever watches it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { createLogStateStore } from '../../src/audit/log-state-store.ts';
import { watchLog } from '../../src/audit/watch-log.ts';
import { type Log, silentLog } from '../../src/errors/log.ts';
import { until as becomesTrue } from '../broker-process.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';
import { beforeDrop } from '../test-database.ts';

const said: string[] = [];
const log = { ...silentLog, error: (_: unknown, text: string) => said.push(text) } as unknown as Log;
const world = await createTestWorld();
const broker = await world.startBroker({ log });
const newClient = () => new pg.Client({ connectionString: world.database.superuserUrl, ssl: false });
const [superuser, other] = [newClient(), newClient()];
await Promise.all([superuser.connect(), other.connect()]);
beforeDrop(async () => {
  await Promise.all([superuser.end(), other.end()]);
});

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

async function readiness(): Promise<{
  status: string;
  checks: { audit_log: { ok: boolean; detail: string } };
}> {
  return (await (await fetch(`${broker.url}/readyz`)).json()) as Awaited<ReturnType<typeof readiness>>;
}

const until = (what: string, condition: () => Promise<boolean>) => becomesTrue(condition, what, 60_000);

test('entries are counted, and none waits long', async () => {
  const agent = world.agent(broker, 'report-writer');
  for (let times = 0; times < 3; times += 1) assert.equal((await agent.token(newSessionKey())).status, 200);
  await until('three entries have their places', async () => (await metric('mayfly_audit_log_entries')) >= 3);
  await until('none waits', async () => (await metric('mayfly_audit_waiting_seconds')) === 0);
  assert.equal(await metric('mayfly_audit_log_disagrees'), 0);
  assert.equal(await metric('mayfly_audit_witnesses_silent'), 0);
  const { checks } = await readiness();
  assert.match(checks.audit_log.detail, /^\d+ entries, all under a signed head$/);
});

test('an entry that is none of those described has its place, and is counted', async () => {
  await world.query(`insert into audit_entries (id, action, outcome, details)
    values ('aud_undescribed', 'token.minted', 'allowed', '{"token": "eyJ"}')`);
  await until('it is told', async () => (await metric('mayfly_audit_undescribed_total')) === 1);
  const placed = `select leaf_index from audit_leaves where entry_id = 'aud_undescribed'`;
  await until('it has its place', async () => (await world.query(placed)).length === 1);
  await superuser.query('set session_replication_role = replica'); // what every test leaves is looked at
  await superuser.query(`delete from audit_entries where id = 'aud_undescribed'`);
  await superuser.query('reset session_replication_role');
});

test('an entry waits from its commit until a signed head covers it, wherever it is on its way', async () => {
  const store = createLogStateStore(superuser);
  await superuser.query('begin');
  await superuser.query('select from audit_log_head for update'); // no sequencer goes on meanwhile
  await other.query(
    `insert into audit_entries (id, at, action, outcome, details)
     values ('aud_waits', now() - interval '30 seconds', 'request.refused', 'refused', '{"mixed": true}')`,
  );
  const { waitingSeconds } = await store.read();
  assert.ok(waitingSeconds >= 30 && waitingSeconds < 90, `${waitingSeconds}`);
  await superuser.query('commit');
  await until('it has its head', async () => (await store.read()).waitingSeconds === 0);
});

test('AUD-18: a log that was changed is an alarm, and no reason to send nobody here', async () => {
  await superuser.query('set session_replication_role = replica');
  await superuser.query(`update audit_log_head set frontier[1] = sha256(frontier[1])`);
  await until('the alarm', async () => (await metric('mayfly_audit_log_disagrees')) === 1);
  await until('it is said', async () => said.some((text) => /is not what was signed/.test(text)));
  await until('readyz says it', async () =>
    /not to be believed/.test((await readiness()).checks.audit_log.detail),
  );
  const { status, checks } = await readiness();
  assert.deepEqual([status, checks.audit_log.ok], ['ready', true]);
  assert.equal((await world.agent(broker, 'report-writer').token(newSessionKey())).status, 200);
});

test('AUD-18: what the examination found is said as long as it stands, also while nobody can ask', async () => {
  const fault = { table: 'audit_entries' as const, index: 4, why: 'the line says something else' };
  const sound = { entries: 9, waitingSeconds: 0, doubt: null, fault: null, soundSeconds: 5 };
  const states = [sound, { ...sound, fault }, null, sound];
  let now = 0;
  const watch = watchLog({
    keeper: { disagrees: () => false },
    readState: async () => states.shift() ?? Promise.reject(new Error('away')),
    clock: { monotonicMilliseconds: () => (now += 2_000), milliseconds: () => 0 } as never,
  });
  const wrong = 'audit_entries is wrong at entry 4: the line says something else';
  for (const doubt of [null, wrong, wrong, null]) assert.equal(await watch.doubt(), doubt);
});
