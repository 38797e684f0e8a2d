/** Orders to STS: which of them are one, what they carry, and what becomes of many when AWS throttles. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sessionIdentity } from '../../src/aws/session-identity.ts';
import { createSts, type StsOrder } from '../../src/aws/sts.ts';
import { silentLog } from '../../src/errors/log.ts';
import { systemClock } from '../../src/time/clock.ts';
import { until } from '../broker-process.ts';
import { ROLE } from '../catalogue/aws-fixture.ts';
import { TEST_ISSUER } from '../test-broker.ts';
import { BROKER_KEYS, type LocalSts, startLocalSts } from './local-sts.ts';

const OTHER_ACCOUNT = ROLE.replace('123456789012', '999999999999');
const CLAIMS = {
  jti: 'tok_01kdvdnad14k88pftagytay02x',
  sid: 'ses_01kdvdnad14k88pftagytay02x',
  client_id: 'report-writer',
  zone: 'analytics',
  epoch: 7,
};
const POLICY =
  '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}';
const ORDER: StsOrder = {
  account: '123456789012',
  roleArn: ROLE,
  region: 'eu-central-1',
  via: 'assume_role',
  policy: POLICY,
  ...sessionIdentity(CLAIMS),
};

let local: LocalSts;
before(async () => {
  process.env.AWS_ACCESS_KEY_ID = BROKER_KEYS.accessKeyId;
  process.env.AWS_SECRET_ACCESS_KEY = BROKER_KEYS.secretAccessKey;
  local = await startLocalSts({ roles: [ROLE, OTHER_ACCOUNT], issuer: TEST_ISSUER, provider: () => '' });
});
after(() => local.close());

const warnings: unknown[] = [];
const log = { ...silentLog, warn: (...line: unknown[]) => warnings.push(line) };
const sts = () =>
  createSts({
    clock: systemClock,
    endpoint: local.url,
    identityToken: () => assert.fail('the role is assumed by our own identity'),
    log,
    pause: async () => {},
  });

test('only orders that are the same to the letter are one: role, account, session, policy, region, tags (EGR-22)', async () => {
  const others: StsOrder[] = [
    { ...ORDER, account: '999999999999', roleArn: OTHER_ACCOUNT },
    { ...ORDER, region: 'eu-west-1' },
    { ...ORDER, policy: POLICY.replace('GetObject', 'PutObject') },
    { ...ORDER, ...sessionIdentity({ ...CLAIMS, jti: 'tok_01kdvdnad14k88pftagytay02y' }) },
    { ...ORDER, ...sessionIdentity({ ...CLAIMS, sid: 'ses_01kdvdnad14k88pftagytay02y' }) },
    { ...ORDER, ...sessionIdentity({ ...CLAIMS, client_id: 'clerk' }) },
    { ...ORDER, ...sessionIdentity({ ...CLAIMS, epoch: 8 }) },
  ];
  const asker = sts();
  const open = local.hold();
  const before = local.calls.length;
  const answers = [ORDER, { ...ORDER }, ...others, ...others].map((order) => asker.assume(order));
  await until(() => local.calls.length === before + 1 + others.length, 'each of them is asked for');
  open();
  const keys = (await Promise.all(answers)).map(({ accessKeyId }) => accessKeyId);
  assert.equal(local.calls.length, before + 1 + others.length, 'and none twice');
  assert.equal(new Set(keys).size, 1 + others.length);
  assert.equal(keys[0], keys[1]);
  assert.deepEqual(keys.slice(2, 2 + others.length), keys.slice(2 + others.length));
});

test('nothing that came back is kept: whoever asks later is answered anew (EGR-22)', async () => {
  const asker = sts();
  const first = await asker.assume(ORDER);
  assert.notEqual((await asker.assume(ORDER)).accessKeyId, first.accessKeyId);
});

test('what AWS knows of the session are plain names of ours, each tag once and none handed on (EGR-24)', async () => {
  await sts().assume(ORDER);
  const { parameters, tags, sourceIdentity } = local.calls.at(-1) ?? assert.fail();
  assert.deepEqual(tags, ORDER.tags);
  assert.equal(
    Object.keys(tags).length,
    [...parameters.keys()].filter((key) => /^Tags\..*Key$/.test(key)).length,
  );
  assert.deepEqual(
    [...parameters.keys()].filter((key) => /Transitive/i.test(key)),
    [],
  );
  assert.deepEqual([parameters.get('RoleSessionName'), sourceIdentity], [CLAIMS.jti, 'report-writer']);
  const plain = /^[A-Za-z0-9_-]{1,64}$/;
  for (const name of [CLAIMS.jti, sourceIdentity ?? '', ...Object.values(tags)]) assert.match(name, plain);
});

test('however many ask while AWS throttles, it is asked three times, and each of them is told to come later (EGR-26)', async () => {
  const before = local.calls.length;
  local.faults.push('throttled', 'throttled', 'throttled');
  const asker = sts();
  const asked = await Promise.allSettled(Array.from({ length: 200 }, () => asker.assume(ORDER)));
  for (const each of asked) {
    assert.ok(each.status === 'rejected');
    const { code, status, headers } = each.reason;
    assert.deepEqual([code, status, headers['Retry-After']], ['temporarily_unavailable', 503, '5']);
  }
  assert.equal(local.calls.length, before + 3);
});

test('a policy that is nearly too large as AWS packs it is told once in the log', async () => {
  const asker = sts();
  const large = { ...ORDER, policy: POLICY.replace('"*"', `"arn:aws:s3:::${'x'.repeat(1_850)}"`) };
  await asker.assume(ORDER);
  assert.equal(warnings.filter((line) => JSON.stringify(line).includes('percent')).length, 0);
  await asker.assume(large);
  await asker.assume(large);
  assert.equal(warnings.filter((line) => JSON.stringify(line).includes('percent')).length, 1);
});
