/**
 * A broker that stands still at one step of its work, and goes on later as if nothing had been: between every two
 * messages of a kill, of a lease and of a mint. Which step it is, a proxy before its database sees.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import type { Receipt } from '../../src/revocations/receipt.ts';
import { until } from '../broker-process.ts';
import { newSessionKey } from '../test-agent.ts';
import { CUSTOMERS, createFleet, type Minted, READ_CUSTOMERS } from './fleet.ts';
import { createStepProxy, named, type Step } from './step-proxy.ts';

const fleet = await createFleet({ brokers: 1, verifiers: [] });
const proxy = await createStepProxy(fleet.world.database);
const stopped = await fleet.startBroker({ DATABASE_URL: proxy.applicationUrl });
const [url, other] = [await stopped.url, fleet.urls[0] ?? ''];
const verifiers = [
  [other, url],
  [url, other],
].map((brokers) => fleet.startVerifiers({ resource: CUSTOMERS, brokers }));
await Promise.all(verifiers.map((each) => each.ready()));

const [olivia, omar] = [fleet.world.operator({ url }, 'olivia'), fleet.operator('omar')];
const oliviaElsewhere = fleet.operator('olivia');
const target = { kind: 'agent', id: 'report-writer' };
const [PATH, ENGAGE] = ['/v1/kill-switch', 'mayfly:engage:kill-switch'] as const;
/** For so long a broker waits for its database; whoever stood still for longer may say that it does not know. */
const PATIENCE_MILLISECONDS = 6_000;

const standStill = () => stopped.child.kill('SIGSTOP');
const wakeUp = () => stopped.child.kill('SIGCONT');

const allSay = (outcome: string, minted: Minted, among = verifiers) =>
  until(
    async () => (await fleet.everywhere(minted, among)).every((each) => each === outcome),
    `every verifier says ${outcome}`,
    60_000,
  );

async function granted(): Promise<Minted> {
  const minted = await fleet.mint();
  await allSay('granted', minted);
  return minted;
}

async function standing(): Promise<string[]> {
  const rows = await fleet.world.query<{ id: string }>(
    `select id from revocations where standing and released_epoch is null and key = 'agent:report-writer'`,
  );
  return rows.map(({ id }) => id);
}

async function engage(by: typeof olivia, waitSeconds: number) {
  const token = await by.token(ENGAGE);
  const body = { target, reason: 'a journey', wait_seconds: waitSeconds };
  const request = { method: 'POST', path: PATH, token } as const;
  return by.send({ ...request, body, proof: by.proof(request) });
}

async function release(id: string): Promise<void> {
  const path = `${PATH}/${id}/release`;
  const answer = await omar.post(path, 'mayfly:release:kill-switch', { reason: 'a journey' });
  assert.ok(answer.status < 300, answer.text);
}

const KILL_STEPS: [what: string, step: Step][] = [
  ['before its statement is there', { statement: 'kill_switch_engage', at: 'request' }],
  ['when it is committed and nobody has heard', { statement: 'kill_switch_engage', at: 'answer' }],
  ['before it tells the others', { statement: `pg_notify('mayfly_ledger'`, at: 'request' }],
  ['when it has told the others', { statement: `pg_notify('mayfly_ledger'`, at: 'answer' }],
  ['before it lists who has to stop', { statement: 'receipt_settle', at: 'request' }],
  ['when it has listed them', { statement: 'receipt_settle', at: 'answer' }],
  ['before it answers', { statement: 'receipt_find', at: 'answer' }],
];

for (const [what, step] of KILL_STEPS) {
  test(`a broker stands still in a kill ${what}: verifiers stop all the same, and its answer is true`, async () => {
    const before = await granted();
    await olivia.token(ENGAGE);
    const reached = proxy.holdAt(step);
    const killing = engage(olivia, 25);
    await reached;
    const from = performance.now();
    standStill();
    proxy.goOn();
    await until(async () => (await standing()).length === 1, 'it is committed');
    await allSay('token_revoked', before);
    await assert.rejects(fleet.mint(), /agent_stopped/);
    wakeUp();
    const wasShort = performance.now() - from < PATIENCE_MILLISECONDS;
    await requireTrue(await killing, { before, wasShort });
  });
}

async function requireTrue(
  killed: Awaited<ReturnType<typeof engage>>,
  { before, wasShort }: { before: Minted; wasShort: boolean },
): Promise<void> {
  assert.equal(killed.status, wasShort || killed.status < 300 ? 200 : 503, killed.text);
  const ids = await standing();
  if (killed.status === 200) {
    assert.deepEqual(ids, [killed.body.id], 'one, and no other');
    const { verifiers: named } = decodeJwt<Receipt>(killed.body.receipt);
    assert.equal(named.length, verifiers.length);
    assert.ok(named.every(({ applied_at: at }) => at !== undefined));
  }
  assert.deepEqual([...new Set(await fleet.everywhere(before))], ['token_revoked']);
  for (const id of ids) await release(id);
}

/** Its trigger waits until there is something in `gate`. */
const GATE = `
  create table gate ();
  grant select on gate to mayfly_app;
  create function wait_at_gate() returns trigger language plpgsql as $$
    begin
      while not exists (select from gate) loop perform pg_sleep(0.01); end loop;
      return new;
    end $$;
  create trigger gate before insert on revocations for each row execute function wait_at_gate()`;

test('a broker stands still while its kill is under way in the database, and it commits meanwhile', async () => {
  const before = await granted();
  await olivia.token(ENGAGE);
  for (const statement of GATE.split(/;\n(?= {2}\S)/)) await fleet.world.query(statement);
  const killing = engage(olivia, 25);
  await until(async () => {
    const active = await fleet.world.query(
      `select from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep' and query like '%engage_kill_switch%'`,
    );
    return active.length > 0;
  }, 'its statement is at work');
  const from = performance.now();
  standStill();
  assert.deepEqual(await standing(), []);
  await fleet.world.query('insert into gate default values');
  await until(async () => (await standing()).length === 1, 'it is committed');
  await fleet.world.query('drop trigger gate on revocations');
  await allSay('token_revoked', before);
  wakeUp();
  await requireTrue(await killing, { before, wasShort: performance.now() - from < PATIENCE_MILLISECONDS });
});

const LEASE_STEPS: [what: string, step: Step][] = [
  ['before its rows are there', { statement: 'verifiers_register', at: 'request' }],
  ['when its rows are committed', { statement: 'verifiers_register', at: 'answer' }],
  ['before it reads the ledger', { statement: 'ledger_pages', at: 'request' }],
  ['when it has read and not signed', { statement: 'ledger_pages', at: 'answer' }],
];

test('a broker stands still in the renewal of a lease', async (t) => {
  const lonely = fleet.startVerifiers({ resource: CUSTOMERS, brokers: [url] });
  await lonely.ready();
  const all = [...verifiers, lonely];
  for (const [what, step] of LEASE_STEPS) {
    await t.test(`${what}: who knows no other broker is named until it has stopped`, async () => {
      const before = await fleet.mint();
      await allSay('granted', before, all);
      const [asking] = await lonely.status();
      await proxy.holdAt(step);
      standStill();
      const killed = await engage(oliviaElsewhere, 1);
      assert.equal(killed.status, 202, killed.text);
      const outstanding = decodeJwt<Receipt>(killed.body.receipt).verifiers.filter((each) => each.stops_at);
      assert.ok(
        outstanding.some(({ instance }) => instance === asking?.instance),
        'it cannot have heard',
      );
      await allSay('token_revoked', before, verifiers);
      proxy.goOn();
      wakeUp();
      await until(
        async () => (await omar.get(`${PATH}/${killed.body.id}`, 'mayfly:read:kill-switch')).body.complete,
        'every verifier has said that it applied it',
        60_000,
      );
      assert.deepEqual([...new Set(await fleet.everywhere(before, all))], ['token_revoked'], 'and so it has');
      await release(killed.body.id);
    });
  }
  await lonely.close();
});

async function mintHeldAt(step: Step, meanwhile: () => Promise<void>) {
  const agent = fleet.world.agent({ url }, 'report-writer');
  const session = newSessionKey();
  const reached = proxy.holdAt(step);
  const asking = agent.token(session, { scope: READ_CUSTOMERS.action });
  await reached;
  standStill();
  await meanwhile();
  proxy.goOn();
  wakeUp();
  const { status, body } = await asking;
  return { status, body, session };
}

test('a broker stands still before its mint is there: what comes after a kill is not minted', async () => {
  await granted();
  let id = '';
  const { body } = await mintHeldAt({ statement: named('mint'), at: 'request' }, async () => {
    id = (await engage(oliviaElsewhere, 0)).body.id;
  });
  assert.equal(body.code, 'agent_stopped', JSON.stringify(body));
  await release(id);
});

test('a broker stands still when its mint is committed and not signed: its token is older than the kill', async () => {
  await granted();
  let epoch = 0;
  const { status, body, session } = await mintHeldAt({ statement: named('mint'), at: 'answer' }, async () => {
    const killed = await engage(oliviaElsewhere, 0);
    epoch = killed.body.epoch;
    await release(killed.body.id);
  });
  assert.equal(status, 200, JSON.stringify(body));
  assert.ok(Number(decodeJwt(body.access_token).epoch) < epoch);
  await until(
    async () =>
      (await Promise.all(verifiers.map((each) => each.status()))).flat().every((each) => each.epoch > epoch),
    'every verifier has applied the kill and its release',
  );
  const minted = { session, token: String(body.access_token), use: READ_CUSTOMERS };
  assert.deepEqual([...new Set(await fleet.everywhere(minted))], ['token_revoked']);
});
