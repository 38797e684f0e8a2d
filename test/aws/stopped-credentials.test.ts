/** What receipts say of AWS credentials that are out: how many, and until when AWS takes them. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { decodeJwt } from 'jose';
import { CompiledQuery } from 'kysely';
import { verifyReceipt } from '../../src/cli/verify-receipt.ts';
import { pruneAwsCredentials } from '../../src/database/upkeep.ts';
import { until } from '../broker-process.ts';
import { READ_REPORT, ROLE } from '../catalogue/aws-fixture.ts';
import type { Loose } from '../catalogue/policy-fixture.ts';
import { newSessionKey } from '../test-agent.ts';
import { TEST_ISSUER } from '../test-broker.ts';
import type { TestOperator } from '../test-operator.ts';
import { type AwsStage, createAwsStage, RESOURCE } from './aws-stage.ts';

const PATH = '/v1/kill-switch';
let stage: AwsStage;
let olivia: TestOperator;
let omar: TestOperator;
before(async () => {
  stage = await createAwsStage();
  olivia = stage.world.operator(stage.broker, 'olivia');
  omar = stage.world.operator(stage.broker, 'omar');
});
after(() => stage.sts.close());
beforeEach(() => stage.world.query('delete from aws_credentials'));

const engage = (target: object) =>
  olivia.post(PATH, 'mayfly:engage:kill-switch', { target, reason: 'a stolen key', wait_seconds: 0 });

afterEach(async () => {
  const { body } = await olivia.get(`${PATH}?state=engaged`, 'mayfly:read:kill-switch');
  for (const { id } of body.data) {
    await omar.post(`${PATH}/${id}/release`, 'mayfly:release:kill-switch', { reason: 'it is over' });
  }
});

/** Credentials that are out. @returns what the token says of them */
async function given(by: AwsStage['agent'], session = newSessionKey()) {
  const { token } = await stage.tokenFor(READ_REPORT, session, {}, by);
  assert.equal((await stage.ask({ session, token })).status, 200);
  const { sub, ...claims } = decodeJwt(token) as { jti: string; sid: string; sub: string; exp: number };
  return { ...claims, sub, session, token };
}

const endOf = (...credentials: { exp: number }[]) =>
  new Date(Math.max(...credentials.map(({ exp }) => exp)) * 1_000).toISOString();

const receiptOf = (id: string) => olivia.get(`${PATH}/${id}/receipt`, 'mayfly:read:kill-switch');
const statedIn = (receipt: string) => decodeJwt(receipt) as Loose;

test('a receipt of each kind of kill counts the credentials that it stopped too late, and no neighbour’s', async () => {
  const kinds = (own: { sub: string }) => [
    { kind: 'agent', id: 'report-writer' },
    { kind: 'subject', id: own.sub },
    { kind: 'zone', id: 'analytics' },
    { kind: 'action', id: READ_REPORT },
    { kind: 'resource', id: RESOURCE },
    { kind: 'all' },
  ];
  for (const index of [0, 1, 2, 3, 4, 5]) {
    await stage.world.query('delete from aws_credentials');
    const own = [await given(stage.agent), await given(stage.agent)];
    const other = await given(stage.neighbour);
    const [target = {}] = kinds(own[0] ?? other).slice(index);
    const stopped = index > 2 ? [...own, other] : own; // the wider ones stop the neighbour, too
    const { body } = await engage(target);
    const { aws } = statedIn(body.receipt);
    const exactly = { credentials: stopped.length, live_until: endOf(...stopped) };
    assert.deepEqual(
      aws,
      { ...exactly, roles: [{ role_arn: ROLE, ...exactly, deny: { state: 'none' } }] },
      JSON.stringify(target),
    );
    assert.deepEqual(body.aws, aws, 'the answer says what the receipt says');
    await omar.post(`${PATH}/${body.id}/release`, 'mayfly:release:kill-switch', { reason: 'it is over' });
  }
});

test('a receipt of a revoked session, and of a token, counts its own alone', async () => {
  const session = newSessionKey();
  const [first, second, other] = [
    await given(stage.agent, session),
    await given(stage.agent, session),
    await given(stage.agent),
  ];
  const token = await olivia.post(`/v1/tokens/${first.jti}/revoke`, 'mayfly:revoke:tokens', {
    reason: 'a test',
  });
  assert.deepEqual([token.body.aws.credentials, token.body.aws.live_until], [1, endOf(first)], token.text);
  const ended = await olivia.post(`/v1/sessions/${first.sid}/revoke`, 'mayfly:revoke:sessions', {
    reason: 'a test',
  });
  assert.deepEqual([ended.body.aws.credentials, ended.body.aws.live_until], [2, endOf(first, second)]);
  const left = await olivia.post(`/v1/sessions/${other.sid}/revoke`, 'mayfly:revoke:sessions', {
    reason: 'a test',
  });
  assert.equal(left.body.aws.credentials, 1);
  const nothing = await given(stage.neighbour);
  const none = await engage({ kind: 'zone', id: 'support' });
  assert.deepEqual(none.body.aws, { credentials: 0, roles: [] });
  assert.ok(nothing.exp > 0);
});

test('what an entry stopped stays in its receipt, to the letter, whenever and wherever it is read', async () => {
  await given(stage.agent);
  const { body } = await engage({ kind: 'agent', id: 'report-writer' });
  assert.ok(body.aws.credentials >= 1);
  await stage.world.query('delete from aws_credentials');
  const other = await stage.startBroker();
  const elsewhere = stage.world.operator(other, 'olivia');
  const again = await elsewhere.get(`${PATH}/${body.id}/receipt`, 'mayfly:read:kill-switch');
  assert.equal(again.body.receipt, body.receipt);
  const released = await omar.post(`${PATH}/${body.id}/release`, 'mayfly:release:kill-switch', {
    reason: 'it is over',
  });
  assert.equal('aws' in statedIn(released.body.receipt), false, 'a release stops nothing');
});

test('a receipt of before this was counted is verified, and says nothing of it', async () => {
  const { body } = await engage({ kind: 'zone', id: 'support' });
  await stage.world.query('update receipts set aws_stated = false');
  const read = await receiptOf(body.id);
  const jwks = await (await fetch(`${stage.broker.url}/.well-known/mayfly-ledger-jwks.json`)).text();
  const verified = verifyReceipt(read.body.receipt, { jwks, issuer: TEST_ISSUER });
  assert.equal(verified.aws, undefined);
  assert.equal(verifyReceipt(body.receipt, { jwks, issuer: TEST_ISSUER }).aws?.credentials, 0);
});

test('credentials that AWS gives while a kill comes in are refused or counted, whichever was first', async () => {
  const { session, token } = await stage.tokenFor();
  const open = stage.sts.hold();
  const before = stage.sts.calls.length;
  const waiting = stage.ask({ session, token });
  await until(() => stage.sts.calls.length > before, 'AWS is being asked');
  const first = await engage({ kind: 'agent', id: 'report-writer' });
  open();
  assert.deepEqual([(await waiting).status, first.body.aws.credentials], [401, 1], 'both: nobody knew yet');
  await omar.post(`${PATH}/${first.body.id}/release`, 'mayfly:release:kill-switch', {
    reason: 'it is over',
  });
  const [row] = await stage.world.query<{ open: string }>(
    'select count(*) as open from aws_credentials where token_id = $1 and withdrawn_at is null',
    [decodeJwt(token).jti],
  );
  assert.equal(row?.open, '0');

  // The statement that hands them out has found the token alive, and ends after everything that the kill does.
  await stage.world.query(`create function wait_in_test() returns trigger language plpgsql as $$
    begin perform pg_advisory_xact_lock(20290029); return new; end $$`);
  await stage.world.query(`create trigger wait_in_test before insert on audit_entries for each row
    when (new.action = 'aws.credentials_issued') execute function wait_in_test()`);
  const { session: another, token: late } = await stage.tokenFor();
  const answer = await stage.world.owner.transaction().execute(async (transaction) => {
    await transaction.executeQuery(CompiledQuery.raw('select pg_advisory_xact_lock(20290029)'));
    const handedOut = stage.ask({ session: another, token: late });
    await until(async () => {
      const [lock] = await stage.world.query<{ waiting: string }>(
        "select count(*) as waiting from pg_locks where locktype = 'advisory' and objid = 20290029 and not granted",
      );
      return lock?.waiting === '1';
    }, 'the line is being written');
    const second = await engage({ kind: 'agent', id: 'report-writer' });
    return { handedOut, second };
  });
  assert.equal((await answer.handedOut).status, 200, 'they are out');
  assert.equal(answer.second.body.aws.credentials, 1, 'and the receipt had counted them');
  await stage.world.query('drop trigger wait_in_test on audit_entries');
});

test('what AWS did not give is not counted', async () => {
  stage.sts.faults.push('denied');
  assert.notEqual((await stage.ask()).status, 200);
  const { body } = await engage({ kind: 'agent', id: 'report-writer' });
  assert.equal(body.aws.credentials, 0);
});

test('credentials that ended an hour ago are forgotten, and later ones kept', async () => {
  await given(stage.agent);
  await given(stage.agent);
  await stage.world.query(`update aws_credentials set expires_at = now() - interval '61 minutes'
    where id = (select min(id) from aws_credentials)`);
  assert.equal(await pruneAwsCredentials(stage.world.owner), 1);
  const { body } = await engage({ kind: 'agent', id: 'report-writer' });
  assert.equal(body.aws.credentials, 1);
});

test('after a failover that lost something a receipt says by when the forgotten credentials end', async () => {
  await stage.world.query("select move_revocation_head(0, 'rev_moved', 'a failover', 'test', 'aud_moved')");
  const { body } = await engage({ kind: 'agent', id: 'report-writer' });
  const left = Date.parse(body.aws.unlisted_live_until) - Date.parse(body.committed_at);
  assert.ok(left > 800_000 && left < 902_000, `${left} ms: the longest token`);
});
