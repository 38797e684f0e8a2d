/**
 * The same against AWS itself, for whoever has an account to try it in: TEST_AWS_ROLE_ARN is a role that the identity of
 * this environment may assume, tag and give a source identity, TEST_AWS_REGION where. Skipped without them, and says so.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compilePolicy } from '../../src/aws/compile-policy.ts';
import { sessionIdentity } from '../../src/aws/session-identity.ts';
import { createSts } from '../../src/aws/sts.ts';
import { silentLog } from '../../src/errors/log.ts';

const { TEST_AWS_ROLE_ARN: roleArn = '', TEST_AWS_REGION: region = '' } = process.env;
const skip =
  (roleArn === '' || region === '') &&
  'not tried against AWS: TEST_AWS_ROLE_ARN and TEST_AWS_REGION are not set';

test('AWS gives credentials of the role, by the names of the token', { skip }, async () => {
  const account = roleArn.split(':')[4] ?? '';
  const until = Math.floor(Date.now() / 1000) + 60;
  const Resource = ['arn:aws:s3:::mayfly-test/*'];
  const Statement = [{ Effect: 'Allow' as const, Action: ['s3:GetObject'], Resource }];
  const policy = compilePolicy({ Version: '2012-10-17', Statement }, { values: {}, until });
  const identity = sessionIdentity({
    jti: 'tok_01kdvdnad14k88pftagytay02x',
    sid: 'ses_01kdvdnad14k88pftagytay02x',
    client_id: 'report-writer',
    zone: 'analytics',
    epoch: 1,
  });
  const identityToken = () => assert.fail('the role is assumed by our own identity');
  const sts = createSts({ endpoint: undefined, identityToken, log: silentLog });
  const given = await sts.assume({ account, roleArn, region, via: 'assume_role', policy, ...identity });
  const { STSClient, GetCallerIdentityCommand } = await import('@aws-sdk/client-sts');
  const client = new STSClient({ region, credentials: given });
  const { Arn = '' } = await client.send(new GetCallerIdentityCommand({}));
  assert.ok(Arn.endsWith(`/${identity.sessionName}`), Arn);
});
