/**
 * The same against AWS itself, for whoever has an account to try it in, with an AWS identity in this environment and
 * TEST_AWS_REGION. Each part is skipped without what it needs, and says so:
 *
 *   TEST_AWS_ROLE_ARN       a role that this identity may assume, tag and give a source identity
 *   TEST_AWS_WEB_ROLE_ARN   a role that trusts TEST_AWS_ISSUER as OpenID provider; TEST_AWS_WEB_KEY is the path of a
 *                           private JWK (ES256, with kid) whose public half that issuer publishes
 *   TEST_AWS_DENY=yes       this identity may put and remove the policy mayfly-revoked on TEST_AWS_ROLE_ARN
 */
import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { compilePolicy } from '../../src/aws/compile-policy.ts';
import { denyPolicy } from '../../src/aws/deny-policy.ts';
import { createIam } from '../../src/aws/iam.ts';
import { sessionIdentity } from '../../src/aws/session-identity.ts';
import { type AwsCredentials, createSts, type StsOrder } from '../../src/aws/sts.ts';
import { createWebIdentity } from '../../src/aws/web-identity.ts';
import { silentLog } from '../../src/errors/log.ts';
import { systemClock } from '../../src/time/clock.ts';
import { until } from '../broker-process.ts';

const {
  TEST_AWS_REGION: region = '',
  TEST_AWS_ROLE_ARN: assumed = '',
  TEST_AWS_WEB_ROLE_ARN: trusting = '',
  TEST_AWS_ISSUER: issuer = '',
  TEST_AWS_WEB_KEY: keyFile = '',
  TEST_AWS_DENY: mayDeny = '',
} = process.env;

/** @returns what node:test says instead of running it, or false */
function skipWithout(settings: Record<string, string>): string | false {
  const missing = Object.entries(settings).flatMap(([name, value]) => (value === '' ? [name] : []));
  return missing.length > 0 && `not tried against AWS: ${missing.join(', ')} not set`;
}

const identity = sessionIdentity({
  jti: 'tok_01kdvdnad14k88pftagytay02x',
  sid: 'ses_01kdvdnad14k88pftagytay02x',
  client_id: 'report-writer',
  zone: 'analytics',
  epoch: 1,
});

function orderFor(roleArn: string, via: StsOrder['via']): StsOrder {
  const account = roleArn.split(':')[4] ?? '';
  const Statement = [
    { Effect: 'Allow' as const, Action: ['s3:GetObject'], Resource: ['arn:aws:s3:::mayfly-test/*'] },
  ];
  const until = Math.floor(Date.now() / 1000) + 60;
  const policy = compilePolicy({ Version: '2012-10-17', Statement }, { values: {}, until });
  return { account, roleArn, region, via, policy, ...identity };
}

async function whoHolds(credentials: AwsCredentials): Promise<string> {
  const { STSClient, GetCallerIdentityCommand } = await import('@aws-sdk/client-sts');
  const client = new STSClient({ region, credentials });
  const { Arn = '' } = await client.send(new GetCallerIdentityCommand({}));
  return Arn;
}

const ownIdentity = () =>
  createSts({
    clock: systemClock,
    endpoint: undefined,
    identityToken: () => assert.fail('the role is assumed by our own identity'),
    log: silentLog,
  });

test('AWS gives credentials of the role to our own identity, by the names of the token', {
  skip: skipWithout({ TEST_AWS_REGION: region, TEST_AWS_ROLE_ARN: assumed }),
}, async () => {
  const given = await ownIdentity().assume(orderFor(assumed, 'assume_role'));
  const holder = await whoHolds(given);
  assert.ok(holder.endsWith(`/${identity.sessionName}`), holder);
});

test('AWS gives credentials of the role by the word of mayfly, by the names of the token', {
  skip: skipWithout({
    TEST_AWS_REGION: region,
    TEST_AWS_WEB_ROLE_ARN: trusting,
    TEST_AWS_ISSUER: issuer,
    TEST_AWS_WEB_KEY: keyFile,
  }),
}, async () => {
  const jwk = JSON.parse(readFileSync(keyFile, 'utf8'));
  const signer = { kid: String(jwk.kid), privateKey: createPrivateKey({ key: jwk, format: 'jwk' }) };
  const sts = createSts({
    clock: systemClock,
    endpoint: undefined,
    identityToken: createWebIdentity({ issuer, signer: () => signer, clock: systemClock }),
    log: silentLog,
  });
  const holder = await whoHolds(await sts.assume(orderFor(trusting, 'web_identity')));
  assert.ok(holder.endsWith(`/${identity.sessionName}`), holder);
});

test('AWS takes a deny on the role, gives it back as it was put, and removes it', {
  skip: skipWithout({ TEST_AWS_ROLE_ARN: assumed, TEST_AWS_DENY: mayDeny }),
}, async () => {
  const iam = createIam({ endpoint: undefined });
  const policy = denyPolicy([
    { epoch: 2, kind: 'agent', target: 'report-writer', tokens: null },
    { epoch: 3, kind: 'session', target: identity.tags['mayfly-session'], tokens: null },
    { epoch: 4, kind: 'action', target: 'aws:read:reports', tokens: [identity.sessionName] },
  ]);
  assert.ok(policy !== null);
  await iam.put(assumed, policy);
  try {
    await until(async () => (await iam.read(assumed)) === policy, 'IAM says what was put');
  } finally {
    await iam.remove(assumed);
  }
  await until(async () => (await iam.read(assumed)) === null, 'IAM says that it is gone');
});
