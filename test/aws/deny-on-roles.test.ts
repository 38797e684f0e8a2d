/** What is out when somebody is stopped is denied on its role, by brokers that die, and by an IAM that fails. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { decodeJwt } from 'jose';
import { createDenier, type Denier } from '../../src/aws/deny-on-roles.ts';
import { createDenyStore } from '../../src/aws/deny-store.ts';
import { createIam } from '../../src/aws/iam.ts';
import { createPool } from '../../src/database/pool.ts';
import { silentLog } from '../../src/errors/log.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { until as waitUntil } from '../broker-process.ts';
import { READ_REPORT, ROLE } from '../catalogue/aws-fixture.ts';
import type { Loose } from '../catalogue/policy-fixture.ts';
import { newSessionKey } from '../test-agent.ts';
import { beforeDrop } from '../test-database.ts';
import type { TestOperator } from '../test-operator.ts';
import { type AwsStage, createAwsStage } from './aws-stage.ts';
import { type IamFault, type LocalIam, startLocalIam } from './local-iam.ts';
import { BROKER_KEYS } from './local-sts.ts';
import { isAllowed } from './simulator.ts';

const PATH = '/v1/kill-switch';
const NAME = 'reports';
let stage: AwsStage;
let iam: LocalIam;
let olivia: TestOperator;
let omar: TestOperator;
let another: Denier;
before(async () => {
  process.env.AWS_ACCESS_KEY_ID = BROKER_KEYS.accessKeyId;
  process.env.AWS_SECRET_ACCESS_KEY = BROKER_KEYS.secretAccessKey;
  iam = await startLocalIam({ roles: [ROLE] });
  stage = await createAwsStage({ iam });
  olivia = stage.world.operator(stage.broker, 'olivia');
  omar = stage.world.operator(stage.broker, 'omar');
  [another = assert.fail()] = deniers(1);
});
after(async () => {
  await iam.close();
  await stage.sts.close();
});

/** Parts of other brokers. */
function deniers(count: number): Denier[] {
  return Array.from({ length: count }, () => {
    const url = stage.world.database.applicationUrl;
    const pool = createPool({ url, size: 1, applicationName: 'another broker', log: silentLog });
    beforeDrop(() => pool.end());
    return createDenier({
      store: createDenyStore(pool, { longestLeaseSeconds: 300 }),
      iam: createIam({ endpoint: iam.url }),
      log: silentLog,
      clock: systemClock,
      random: () => 0,
    });
  });
}

/** The broker looks each second, the other one whenever somebody waits: it is all the same which of them does it. */
const until = (condition: () => boolean | Promise<boolean>, what: string) =>
  waitUntil(async () => {
    await another.look();
    return condition();
  }, what);

/** Nothing is wanted any more, as when all that is out has ended. */
const endAll = () =>
  stage.world.query(`with ended as (update aws_credentials set expires_at = now() - interval '2 minutes'),
    forgotten as (update aws_role_denies set next_at = '-infinity', leased_until = '-infinity')
    update receipt_aws_roles set live_until = now() - interval '2 minutes'`);

/** No broker is at work on a role, or has to be. */
async function isAtRest(): Promise<boolean> {
  const busy = await stage.world.query(`select from aws_role_denies
    where policy_sha256 is distinct from '' or failures > 0 or leased_until > clock_timestamp()`);
  return busy.length === 0;
}

beforeEach(endAll);
afterEach(async () => {
  iam.faults.length = 0;
  const { body } = await olivia.get(`${PATH}?state=engaged`, 'mayfly:read:kill-switch');
  for (const { id } of body.data) await release(id);
  await endAll();
  await until(isAtRest, 'the policy is removed when nothing of it is left');
  assert.equal(iam.denied(NAME), undefined);
});

const engage = (target: object) =>
  olivia.post(PATH, 'mayfly:engage:kill-switch', { target, reason: 'a stolen key', wait_seconds: 0 });
const release = (id: string) =>
  omar.post(`${PATH}/${id}/release`, 'mayfly:release:kill-switch', { reason: 'it is over' });
const receiptOf = async (id: string) =>
  decodeJwt((await olivia.get(`${PATH}/${id}/receipt`, 'mayfly:read:kill-switch')).body.receipt) as Loose;
const denyIn = async (id: string) => (await receiptOf(id)).aws.roles[0]?.deny;

async function given(by: AwsStage['agent']) {
  const session = newSessionKey();
  const { token } = await stage.tokenFor(READ_REPORT, session, {}, by);
  assert.equal((await stage.ask({ session, token })).status, 200);
  const { parameters, tags } = stage.sts.calls.at(-1) ?? assert.fail('AWS was not asked');
  return {
    policy: parameters.get('Policy') ?? '',
    tags,
    ...(decodeJwt(token) as { jti: string; sid: string }),
  };
}

/** As AWS would decide it now for whoever holds these. */
const isStillGood = ({ policy, tags, jti }: Awaited<ReturnType<typeof given>>) =>
  isAllowed({
    policy,
    action: 's3:GetObject',
    resource: 'arn:aws:s3:::reports/search/2026-11-23/a.csv',
    at: new Date().toISOString(),
    sessionName: jti,
    ...(iam.denied(NAME) === undefined ? {} : { onRole: iam.denied(NAME) ?? '' }),
    context: Object.fromEntries(
      Object.entries(tags).map(([key, value]) => [`aws:PrincipalTag/${key}`, value]),
    ),
  });

test('what a killed agent holds is denied on its role within seconds, its neighbour goes on, and the receipt says when', async () => {
  const [mine, other] = [await given(stage.agent), await given(stage.neighbour)];
  assert.deepEqual([await isStillGood(mine), await isStillGood(other)], [true, true]);
  const { body } = await engage({ kind: 'agent', id: 'report-writer' });
  assert.equal(body.aws.roles[0].deny.state, 'wanted', 'the kill did not wait for it');
  await until(async () => (await denyIn(body.id)).state === 'put', 'IAM has it');
  assert.deepEqual([await isStillGood(mine), await isStillGood(other)], [false, true]);
  const receipt = await receiptOf(body.id);
  assert.ok(Date.parse(receipt.aws.roles[0].deny.put_at) >= Date.parse(receipt.committed_at));

  await release(body.id);
  const again = await given(stage.agent);
  assert.deepEqual(
    [await isStillGood(mine), await isStillGood(again)],
    [false, true],
    'what was denied stays denied, what comes after the release does not begin so',
  );
  assert.deepEqual((await receiptOf(body.id)).aws, receipt.aws, 'what is stated is never taken back');
});

test('what was put on a role and removed there stands in the record, each once', async () => {
  const lines = async () =>
    stage.world.query<{ action: string; details: Loose }>(
      "select action, details from audit_entries where action like 'aws.deny%' order by at, id",
    );
  const before = (await lines()).length;
  await given(stage.agent);
  const { body } = await engage({ kind: 'agent', id: 'report-writer' });
  await until(async () => (await denyIn(body.id)).state === 'put', 'IAM has it');
  await stage.world.query(`update aws_role_denies set checked_at = now() - interval '61 seconds'`);
  await until(async () => {
    const [role] = await stage.world.query<{ recent: boolean }>(
      "select checked_at > now() - interval '30 seconds' as recent from aws_role_denies",
    );
    return role?.recent === true;
  }, 'somebody has looked again');
  await release(body.id);
  await endAll();
  await until(isAtRest, 'it is removed');
  const [put, removed, ...more] = (await lines()).slice(before);
  assert.deepEqual([put?.action, removed?.action, more], ['aws.deny_put', 'aws.deny_removed', []]);
  const { epoch, entries, role_arn: role } = put?.details ?? {};
  assert.deepEqual([epoch, entries, role], [body.epoch, 1, ROLE]);
});

test('sessions that operators end one by one are denied together, each of them, and no other of the agent', async () => {
  const held = [await given(stage.agent), await given(stage.agent), await given(stage.agent)];
  const [first, second, third] = held as [(typeof held)[0], (typeof held)[0], (typeof held)[0]];
  for (const { sid } of [first, second]) {
    await olivia.post(`/v1/sessions/${sid}/revoke`, 'mayfly:revoke:sessions', { reason: 'a test' });
  }
  await until(async () => !(await isStillGood(first)) && !(await isStillGood(second)), 'both are denied');
  assert.equal(await isStillGood(third), true);
});

test('a kill is answered at once while IAM does not answer, and the deny is put when it does (L2)', async () => {
  await given(stage.agent);
  iam.faults.push(...Array<IamFault>(100).fill('denied'));
  const { body, status } = await engage({ kind: 'agent', id: 'report-writer' });
  assert.equal(status, 200);
  await until(async () => (await denyIn(body.id)).state === 'failed', 'the receipt says that it failed');
  const metrics = await (await fetch(`${stage.broker.metricsUrl}/metrics`)).text();
  assert.match(metrics, /^mayfly_aws_denies_failing 1$/m);
  iam.faults.length = 0;
  await until(async () => (await denyIn(body.id)).state === 'put', 'it was tried again');
  const { deny } = (await receiptOf(body.id)).aws.roles[0];
  assert.deepEqual(Object.keys(deny), ['state', 'put_at']);
});

test('what IAM may have done although it did not say so is put again', async () => {
  await given(stage.agent);
  iam.faults.push('done and down');
  const puts = () => iam.calls.filter((action) => action === 'PutRolePolicy').length;
  const earlier = puts();
  const { body } = await engage({ kind: 'agent', id: 'report-writer' });
  await until(async () => (await denyIn(body.id)).state === 'put', 'IAM says that it has it');
  assert.equal(puts() - earlier, 2);
});

test('where other policies leave no room, everything from before is denied on the role', async () => {
  const role = iam.roles.get(NAME) ?? assert.fail();
  const filling = JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Action: ['s3:GetObject'], Resource: [`arn:aws:s3:::${'x'.repeat(9_850)}`] },
    ],
  });
  role.policies.set('others', filling);
  const [mine, other] = [await given(stage.agent), await given(stage.neighbour)];
  const sid = mine.sid;
  await olivia.post(`/v1/sessions/${sid}/revoke`, 'mayfly:revoke:sessions', { reason: 'a test' });
  for (const each of ['a', 'b', 'c']) {
    const one = await given(stage.agent);
    await olivia.post(`/v1/sessions/${one.sid}/revoke`, 'mayfly:revoke:sessions', { reason: each });
  }
  await until(async () => !(await isStillGood(mine)), 'it is denied');
  await until(async () => !(await isStillGood(other)), 'and its neighbour, for its few minutes');
  role.policies.delete('others');
});

test('a role of the same name in another account, or on another path, is left alone', async () => {
  const role = iam.roles.get(NAME) ?? assert.fail();
  role.arn = role.arn.replace('123456789012', '999999999999');
  await given(stage.agent);
  const { body } = await engage({ kind: 'agent', id: 'report-writer' });
  await until(async () => (await denyIn(body.id)).state === 'failed', 'the receipt says so');
  assert.equal(iam.denied(NAME), undefined);
  role.arn = ROLE;
});

test('a policy that somebody removed is put back, and one that a dead broker left is removed by another', async () => {
  const mine = await given(stage.agent);
  const { body } = await engage({ kind: 'agent', id: 'report-writer' });
  await until(async () => (await denyIn(body.id)).state === 'put', 'it is there');
  iam.roles.get(NAME)?.policies.clear();
  assert.equal(await isStillGood(mine), true);
  await stage.world.query(`update aws_role_denies set checked_at = now() - interval '61 seconds'`);
  await until(async () => !(await isStillGood(mine)), 'it is there again');
});

test('a broker that dies at work leaves it to another, and what it says too late counts for nothing', async () => {
  await given(stage.agent);
  const pool = createPool({
    url: stage.world.database.applicationUrl,
    size: 2,
    applicationName: 'another broker',
    log: silentLog,
  });
  beforeDrop(() => pool.end());
  const store = createDenyStore(pool, { longestLeaseSeconds: 300 });
  assert.equal(await store.lease(ROLE, 'lea_dead'), true);
  const { body } = await engage({ kind: 'agent', id: 'report-writer' });
  assert.equal(await store.lease(ROLE, 'lea_other'), false, 'one at a time');
  assert.equal((await denyIn(body.id)).state, 'wanted');
  await stage.world.query(`update aws_role_denies set leased_until = now() - interval '1 second'`);
  const late = {
    roleArn: ROLE,
    lease: 'lea_dead',
    policySha256: 'x',
    epochs: [body.epoch],
    entries: 1,
    auditId: newIdentifier('aud', systemClock),
  };
  await until(async () => (await denyIn(body.id)).state === 'put', 'the running broker has put it');
  assert.equal(await store.put(late), false);
  const policy = iam.denied(NAME);
  iam.roles.get(NAME)?.policies.clear(); // as a late writer would have left it
  await until(() => iam.denied(NAME) === policy, 'nobody knew what stood there, so it was put again');
});

test('an entry whose broker died before it was answered is found in the ledger', async () => {
  const mine = await given(stage.agent);
  await stage.world.query(
    `select engage_kill_switch($1, 'agent', 'report-writer', 'around the brokers', 'break-glass:olivia', $2,
       null, null, null, null)`,
    [newIdentifier('rev', systemClock), newIdentifier('aud', systemClock)],
  );
  await until(async () => !(await isStillGood(mine)), 'it is denied, though nobody asked for a receipt');
});

test('what an agent ends of its own is not denied: it is its own', async () => {
  const mine = await given(stage.agent);
  const id = newIdentifier('rev', systemClock);
  await stage.world.query(
    `select engage_kill_switch($1, 'agent', 'report-writer', 'as its own', 'report-writer', $2, null, null, null, null)`,
    [id, newIdentifier('aud', systemClock)],
  );
  const { aws } = await receiptOf(id);
  assert.deepEqual(aws.roles[0].deny, { state: 'none' });
  assert.equal(await isStillGood(mine), true);
});

test('many brokers at once put one policy', async () => {
  await given(stage.agent);
  const earlier = iam.calls.filter((action) => action === 'PutRolePolicy').length;
  const { body } = await engage({ kind: 'agent', id: 'report-writer' });
  await Promise.all(deniers(4).map(({ look }) => look()));
  await until(async () => (await denyIn(body.id)).state === 'put', 'one of them has put it');
  assert.equal(iam.calls.filter((action) => action === 'PutRolePolicy').length - earlier, 1);
});
