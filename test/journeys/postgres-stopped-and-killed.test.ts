/* A Postgres that stands still, that is killed in the middle of its work, that is restored from an older copy. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { decodeJwt } from 'jose';
import { cleanEnvironment, until } from '../broker-process.ts';
import { soakFactor } from '../soak.ts';
import { newSessionKey } from '../test-agent.ts';
import { CUSTOMERS, createFleet, type Minted, READ_CUSTOMERS } from './fleet.ts';
import { CAN_BE_STOPPED, createAddress, createPostgresServer, prepareTemplate } from './postgres-server.ts';

const LAUNCHER = fileURLToPath(new URL('../../src/launch.js', import.meta.url));
const ENGAGE = 'mayfly:engage:kill-switch';
const PATIENCE_MILLISECONDS = 15_000;
const ROUNDS = soakFactor() === 1 ? 1 : 20;

const address = await createAddress();
const postgres = await createPostgresServer();
await postgres.start();
await address.leadTo(postgres);
await prepareTemplate(postgres);
const fleet = await createFleet({
  verifiers: [{ resource: CUSTOMERS }, { resource: CUSTOMERS }],
  settings: { MAYFLY_DRAIN_SECONDS: '1' },
});
const [olivia, omar] = [fleet.operator('olivia', 0), fleet.operator('omar', 1)];
const target = { kind: 'agent', id: 'report-writer' };

const statuses = async () => (await Promise.all(fleet.verifiers.map((each) => each.status()))).flat();
const serves = async (sensitivity: 'HIGH' | 'LOW') =>
  (await statuses()).map(({ serving }) => serving[sensitivity] === 'granted');
const allServe = () =>
  until(async () => (await serves('HIGH')).every(Boolean), 'every verifier has its leases', 60_000);

const allSay = (outcome: string, minted: Minted) =>
  until(
    async () => (await fleet.everywhere(minted)).every((each) => each === outcome),
    `every verifier says ${outcome}`,
    60_000,
  );

async function worksEverywhere(): Promise<Minted> {
  let minted: Minted | null = null;
  await until(
    async () => {
      minted = await fleet.mint({ at: 1 }).catch(() => null);
      return minted !== null;
    },
    'something is minted',
    60_000,
  );
  await allSay('granted', minted as unknown as Minted);
  return minted as unknown as Minted;
}

/** Everything but its sending is done beforehand. */
async function prepareKill() {
  const [path, body] = ['/v1/kill-switch', { target, reason: 'a journey', wait_seconds: 25 }];
  const token = await olivia.token(ENGAGE);
  return () =>
    olivia.send({ method: 'POST', path, body, token, proof: olivia.proof({ method: 'POST', path, token }) });
}

async function killAndRelease(dead: Minted): Promise<number> {
  const body = { target, reason: 'a journey', wait_seconds: 25 };
  const killed = await olivia.post('/v1/kill-switch', ENGAGE, body);
  assert.equal(killed.status, 200, killed.text);
  assert.deepEqual([...new Set(await fleet.everywhere(dead))], ['token_revoked']);
  const path = `/v1/kill-switch/${killed.body.id}/release`;
  const released = await omar.post(path, 'mayfly:release:kill-switch', { reason: 'a journey' });
  assert.ok(released.status < 300, released.text);
  return killed.body.epoch;
}

const standingKills = () =>
  fleet.world.query<{ id: string }>(
    `select id from revocations where standing and released_epoch is null and key = 'agent:report-writer'`,
  );

async function timed<Answer>(work: Promise<Answer>): Promise<Answer> {
  const from = performance.now();
  const answer = await work;
  const taken = performance.now() - from;
  assert.ok(taken < PATIENCE_MILLISECONDS, `answered after ${taken} ms`);
  return answer;
}

describe('Postgres itself', { skip: !CAN_BE_STOPPED }, () => {
  test('while every process of it stands still nothing is promised, leases run out, and then all goes on', async (t) => {
    const before = await worksEverywhere();
    const sendKill = await prepareKill();
    t.after(() => postgres.resume());
    await postgres.pause();
    const [killed, ...minted] = await Promise.all([
      timed(sendKill()),
      ...fleet.agents.map((agent) => timed(agent.token(newSessionKey()))),
    ]);
    assert.equal(killed.status, 503, killed.text);
    for (const { status, body } of minted) assert.equal(status, 503, JSON.stringify(body));
    await until(async () => !(await serves('HIGH')).some(Boolean), 'short leases end');
    assert.ok((await serves('LOW')).every(Boolean), 'long ones do not');
    assert.deepEqual(
      [...new Set(await fleet.everywhere(before))],
      ['granted'],
      'nobody can have heard of it',
    );

    postgres.resume();
    await allServe();
    // What was on its way may have been done: an answer that says neither is one that promised neither.
    const found = await standingKills();
    await allSay(found.length === 1 ? 'token_revoked' : 'granted', before);
    await killAndRelease(before);
    await worksEverywhere();
  });

  test('killed under mints and revocations: what was acknowledged is there, and refused, when it is back', async () => {
    for (let round = 0; round < ROUNDS; round += 1) await killUnderLoad();
  });

  test('FLT-26: restored from an older copy it is not believed, by those who knew it nor by those who did not', async () => {
    const kept = await worksEverywhere();
    await postgres.stop();
    const backup = await postgres.backup();
    await postgres.start();
    await allServe();
    const lost = await worksEverywhere();
    const epoch = await killAndRelease(lost);
    await until(
      async () => (await statuses()).every((each) => each.epoch >= epoch),
      'every verifier has applied what will be lost',
    );

    await postgres.stop();
    await postgres.restore(backup);
    await postgres.start();
    await brokersRefuse();
    await until(async () => !(await serves('HIGH')).some(Boolean), 'no lease is granted by who knows better');

    await restartBrokers(); // they have seen nothing else
    await until(
      async () => (await statuses()).every(({ alarm }) => alarm === 'ledger_rolled_back'),
      'verifiers know better',
      60_000,
    );
    for (const each of [kept, lost]) {
      assert.deepEqual([...new Set(await fleet.everywhere(each))], ['ledger_rolled_back']);
    }

    await moveHead(epoch);
    await until(
      async () => (await statuses()).every(({ alarm }) => alarm === null),
      'it is believed',
      60_000,
    );
    await allServe();
    await worksEverywhere();
    for (const each of [kept, lost]) await allSay('token_revoked', each);
  });
});

/** Of which it is known that it was done. */
type Record = { minted: Minted[]; ended: { minted: Minted; epoch: number }[]; refused: number };

async function killUnderLoad(): Promise<void> {
  await worksEverywhere();
  const record: Record = { minted: [], ended: [], refused: 0 };
  const attempted = new Set<Minted>();
  let isOver = false;

  async function mintOn(at: number): Promise<void> {
    while (!isOver) {
      const session = newSessionKey();
      const { status, body } = await (fleet.agents[at] as (typeof fleet.agents)[0]).token(session, {
        scope: READ_CUSTOMERS.action,
      });
      if (status === 200) record.minted.push({ session, token: body.access_token, use: READ_CUSTOMERS });
      else {
        assert.equal(status, 503, JSON.stringify(body));
        record.refused += 1;
      }
    }
  }

  async function endSessions(): Promise<void> {
    while (!isOver) {
      const victim = record.minted.find((each) => !attempted.has(each));
      if (victim === undefined) {
        await new Promise((resolve) => setImmediate(resolve));
        continue;
      }
      attempted.add(victim);
      const path = `/v1/sessions/${decodeJwt(victim.token).sid}/revoke`;
      const answer = await olivia
        .post(path, 'mayfly:revoke:sessions', { reason: 'a journey' })
        .catch(() => null); // no token for it
      if (answer === null || answer.status >= 500) record.refused += 1;
      else record.ended.push({ minted: victim, epoch: answer.body.epoch });
    }
  }

  const load = [0, 1, 0, 1].map(mintOn).concat([endSessions(), endSessions()]);
  try {
    await until(() => record.ended.length >= 8 && record.minted.length >= 60, 'there is work to interrupt');
    await postgres.kill();
    const { refused } = record;
    await until(() => record.refused > refused + 4, 'what is asked of nobody is refused');
    await postgres.start();
    const endedBefore = record.ended.length;
    await until(() => record.ended.length > endedBefore + 2, 'it goes on by itself', 60_000);
  } finally {
    isOver = true;
  }
  await Promise.all(load);
  await allServe();
  await requireAllKept(record, attempted);
}

async function requireAllKept({ minted, ended }: Record, attempted: ReadonlySet<Minted>): Promise<void> {
  const tokens = minted.map(({ token }) => String(decodeJwt(token).jti));
  const [row] = await fleet.world.query<{ tokens: number; entries: number; head: number }>(
    `select (select count(*)::integer from tokens where jti = any ($1)) as tokens,
            (select count(*)::integer from revocations where epoch = any ($2)) as entries,
            (select epoch::float8 from revocation_head) as head`,
    [tokens, ended.map(({ epoch }) => epoch)],
  );
  assert.deepEqual(
    [row?.tokens, row?.entries],
    [tokens.length, ended.length],
    'nothing that was told is lost',
  );
  await until(
    async () => (await statuses()).every(({ epoch }) => epoch >= (row?.head ?? 0)),
    'every verifier has applied everything',
  );
  for (const each of ended) {
    assert.deepEqual([...new Set(await fleet.everywhere(each.minted))], ['token_revoked']);
  }
  for (const each of minted.filter((one) => !attempted.has(one)).slice(-20)) {
    assert.deepEqual([...new Set(await fleet.everywhere(each))], ['granted']);
  }
  assert.deepEqual(
    (await statuses()).map(({ alarm }) => alarm),
    [null, null],
  );
}

async function brokersRefuse(): Promise<void> {
  for (const [at, url] of fleet.urls.entries()) {
    await until(
      async () => (await (await fetch(`${url}/readyz`)).text()).includes('move-head'),
      'it is noticed',
    );
    const answer = await fleet.agents[at]?.token(newSessionKey());
    assert.deepEqual([answer?.status, answer?.body.access_token], [503, undefined]);
  }
}

async function restartBrokers(): Promise<void> {
  for (const { child, exited } of fleet.brokers) {
    child.kill('SIGKILL');
    await exited;
  }
  for (const url of fleet.urls) await fleet.startBroker({ MAYFLY_PORT: new URL(url).port });
}

async function moveHead(above: number): Promise<void> {
  const given = ['--database-url', fleet.world.database.ownerUrl, '--above', String(above)];
  await promisify(execFile)(
    process.execPath,
    [LAUNCHER, 'ledger', 'move-head', '--reason', 'a restore', '--yes', ...given],
    { env: cleanEnvironment({}) },
  );
}
