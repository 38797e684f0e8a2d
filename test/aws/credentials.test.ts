/** AWS credentials for one action, from a broker with a local STS behind it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decodeJwt } from 'jose';
import { momentOf } from '../../src/aws/compile-policy.ts';
import { readOwnToken } from '../../src/tokens/access-token.ts';
import { READ_REPORT, ROLE } from '../catalogue/aws-fixture.ts';
import { blocksOf, textOf } from '../documents/documents.ts';
import { newSessionKey } from '../test-agent.ts';
import { TEST_ISSUER } from '../test-broker.ts';
import {
  ARGUMENTS,
  ASSUME_REPORT,
  type AwsStage,
  createAwsStage,
  ONE_REPORT,
  RESOURCE,
} from './aws-stage.ts';
import { BROKER_KEYS } from './local-sts.ts';
import { isAllowed } from './simulator.ts';

let stage: AwsStage;
before(async () => {
  process.env.AWS_ACCESS_KEY_ID = BROKER_KEYS.accessKeyId;
  process.env.AWS_SECRET_ACCESS_KEY = BROKER_KEYS.secretAccessKey;
  stage = await createAwsStage();
});
after(() => stage.sts.close());

const lastCall = () => stage.sts.calls.at(-1) ?? assert.fail('STS was not asked');

test('a token for an action gives credentials that end with it', async () => {
  const { session, token, body: granted } = await stage.tokenFor();
  const { status, body, headers } = await stage.ask({ session, token });
  assert.equal(status, 200, JSON.stringify(body));
  const { exp, jti, sid } = decodeJwt(token) as { exp: number; jti: string; sid: string };
  assert.equal(body.Expiration, momentOf(exp));
  assert.match(body.AccessKeyId, /^ASIALOCAL/);
  assert.deepEqual([body.RoleArn, body.Region, body.AccountId], [ROLE, 'eu-central-1', '123456789012']);
  assert.equal(headers.get('cache-control'), 'no-store');
  assert.equal(granted.expires_in <= 300, true);

  const { action, parameters, sourceIdentity, tags, identity } = lastCall();
  assert.equal(action, 'AssumeRoleWithWebIdentity');
  assert.equal(parameters.get('DurationSeconds'), '900');
  assert.equal(parameters.get('RoleSessionName'), jti);
  assert.deepEqual([identity?.sub, sourceIdentity], ['report-writer', 'report-writer']);
  assert.deepEqual([tags['mayfly-session'], tags['mayfly-zone']], [sid, 'analytics']);
  const asked = {
    policy: parameters.get('Policy') ?? '',
    action: 's3:GetObject',
    resource: 'arn:aws:s3:::reports/search/2026-11-23/a.csv',
  };
  assert.equal(await isAllowed({ ...asked, at: momentOf(exp - 1) }), true);
  assert.equal(await isAllowed({ ...asked, at: momentOf(exp) }), false);
});

test("the broker's own identity assumes the role where the action says so, signed", async () => {
  const { session, token } = await stage.tokenFor(ASSUME_REPORT);
  const { status, body } = await stage.ask({
    session,
    token,
    body: { action: ASSUME_REPORT, arguments: ARGUMENTS },
  });
  assert.equal(status, 200, JSON.stringify(body));
  const { action, sourceIdentity, tags } = lastCall();
  assert.deepEqual(
    [action, sourceIdentity, tags['mayfly-agent']],
    ['AssumeRole', 'report-writer', 'report-writer'],
  );
});

test('the answer has the shape that was asked for', async () => {
  const shape = async (format: string) => {
    const { body } = await stage.ask({ body: { action: READ_REPORT, arguments: ARGUMENTS, format } });
    return body;
  };
  const printed = await shape('credential_process');
  assert.deepEqual(
    [printed.Version, Object.keys(printed).sort()],
    [1, ['AccessKeyId', 'AccountId', 'Expiration', 'SecretAccessKey', 'SessionToken', 'Version']],
  );
  assert.deepEqual(Object.keys(await shape('container')).sort(), [
    'AccessKeyId',
    'AccountId',
    'Expiration',
    'RoleArn',
    'SecretAccessKey',
    'Token',
  ]);
});

test('whatever a request says of a role is refused, and AWS is asked for the one of the catalogue, to the letter (EGR-20)', async () => {
  const asked = { action: READ_REPORT, arguments: ARGUMENTS };
  const before = stage.sts.calls.length;
  for (const bend of [
    { role_arn: ROLE },
    { RoleArn: `${ROLE}-all` },
    { account: '999999999999' },
    { region: 'cn-north-1' },
    { policy: {} },
    { arguments: { ...ARGUMENTS, role_arn: ROLE } },
    { arguments: { ...ARGUMENTS, team: '../search' } },
    { arguments: { ...ARGUMENTS, team: 'Search' } },
    { action: `${READ_REPORT}/../x` },
    { action: READ_REPORT.toUpperCase() },
  ]) {
    const { status, body } = await stage.ask({ body: { ...asked, ...bend } });
    assert.ok(status === 400 || status === 403, `${JSON.stringify(bend)}: ${status}`);
    assert.match(body.code, /^(invalid_request|insufficient_scope)$/);
  }
  assert.equal(stage.sts.calls.length, before);
  assert.equal((await stage.ask()).status, 200);
  assert.equal(lastCall().parameters.get('RoleArn'), ROLE);
});

test('a token for one call is good for that call, once, however many ask at a time', async () => {
  const body = { action: ONE_REPORT, arguments: ARGUMENTS };
  const { session, token } = await stage.callToken(body);
  const other = await stage.ask({
    session,
    token,
    body: { ...body, arguments: { ...ARGUMENTS, team: 'billing' } },
  });
  assert.deepEqual([other.status, other.body.code], [401, 'invalid_token']);
  // all of them have read that it is unused before the first one uses it
  const answers = await stage.whileLocked(token, () =>
    Array.from({ length: 8 }, () => stage.ask({ session, token, body })),
  );
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(7).fill(401)]);
  assert.equal((await stage.ask({ session, token, body })).status, 401);
});

test('whoever lacks a part of what is needed gets nothing, and AWS is not asked', async () => {
  const { session, token } = await stage.tokenFor();
  const before = stage.sts.calls.length;
  const used = stage.proofFor(session, token);
  const foreign = await stage.tokenFor('db:read:customers');
  const cases: [number, string, Parameters<AwsStage['ask']>[0]][] = [
    [401, 'credentials_missing', { token: null }],
    [401, 'invalid_dpop_proof', { session, token, proof: null }],
    [401, 'invalid_token', { session: newSessionKey(), token }],
    [401, 'invalid_dpop_proof', { session, token, proof: stage.proofFor(session, `${token}x`) }],
    [401, 'invalid_dpop_proof', { session, token, proof: stage.proofFor(session, token, { htm: 'GET' }) }],
    [401, 'invalid_token', { session: foreign.session, token: foreign.token }],
    [403, 'insufficient_scope', { session, token, body: { action: ASSUME_REPORT, arguments: ARGUMENTS } }],
    [400, 'invalid_request', { session, token, body: { action: READ_REPORT, arguments: { team: '*' } } }],
    [
      400,
      'invalid_request',
      { session, token, body: { action: READ_REPORT, arguments: { ...ARGUMENTS, day: '*' } } },
    ],
    [
      400,
      'invalid_request',
      { session, token, body: { action: READ_REPORT, arguments: ARGUMENTS, duration: 3600 } },
    ],
  ];
  for (const [status, code, asking] of cases) {
    const answer = await stage.ask(asking);
    assert.deepEqual([answer.status, answer.body.code], [status, code], JSON.stringify(answer.body));
    if (status === 401) assert.match(answer.headers.get('www-authenticate') ?? '', /^DPoP .*v1\/aws"$/);
  }
  assert.equal(stage.sts.calls.length, before);
  assert.equal((await stage.ask({ session, token, proof: used })).status, 200);
  const again = await stage.ask({ session, token, proof: used });
  assert.deepEqual([again.status, again.body.code], [401, 'invalid_dpop_proof']);
});

test('a revoked session gets nothing more at once, also while AWS is being asked', async () => {
  const { session, token } = await stage.tokenFor();
  assert.equal((await stage.ask({ session, token })).status, 200);
  const open = stage.sts.hold();
  const before = stage.sts.calls.length;
  const waiting = stage.ask({ session, token });
  while (stage.sts.calls.length === before) await new Promise(setImmediate);
  const { sid } = decodeJwt(token) as { sid: string };
  const olivia = stage.world.operator(stage.broker, 'olivia');
  const { status } = await olivia.post(`/v1/sessions/${sid}/revoke`, 'mayfly:revoke:sessions', {
    reason: 'a test',
  });
  assert.ok([200, 202].includes(status));
  open();
  for (const answer of [await waiting, await stage.ask({ session, token })]) {
    assert.deepEqual([answer.status, answer.body.code], [401, 'invalid_token']);
    assert.match(answer.headers.get('www-authenticate') ?? '', /^DPoP error="invalid_token"/);
  }
});

test('many who ask with one token cause one question to AWS; other arguments are another question (EGR-22)', async () => {
  const { session, token } = await stage.tokenFor();
  const open = stage.sts.hold();
  const before = stage.sts.calls.length;
  const other = { action: READ_REPORT, arguments: { ...ARGUMENTS, team: 'billing' } };
  const waiting = [
    ...Array.from({ length: 20 }, () => stage.ask({ session, token })),
    stage.ask({ session, token, body: other }),
    stage.ask(),
  ];
  const admitted = async () => {
    const [row] = await stage.world.query<{ count: string }>(
      "select count(*) from audit_entries where action = 'aws.credentials_requested' and token_id = $1",
      [decodeJwt(token).jti],
    );
    return Number(row?.count);
  };
  while ((await admitted()) < 21 || stage.sts.calls.length < before + 3) await new Promise(setImmediate);
  open();
  const answers = await Promise.all(waiting);
  assert.deepEqual(
    answers.filter(({ status }) => status !== 200),
    [],
  );
  assert.equal(stage.sts.calls.length, before + 3);
  assert.equal(new Set(answers.map(({ body }) => body.AccessKeyId)).size, 3);
});

const FAULTS = [
  'throttled',
  'unreachable provider',
  'error',
  'down',
  'garbage',
  'incomplete',
  'another account',
  'another role',
  'another session',
  'over',
  'slow',
] as const;

test('what passes at AWS is tried again, and then answered 503 (EGR-26)', async () => {
  for (const fault of FAULTS) {
    const asked = stage.sts.calls.length;
    stage.sts.faults.push(fault);
    assert.equal((await stage.ask()).status, 200, fault);
    assert.equal(stage.sts.calls.length, asked + 2, fault);
  }
  const before = stage.sts.calls.length;
  stage.sts.faults.push('throttled', 'down', 'error');
  const { status, body, headers } = await stage.ask();
  assert.deepEqual([status, body.code, headers.get('retry-after')], [503, 'temporarily_unavailable', '5']);
  assert.equal(stage.sts.calls.length, before + 3);
});

test('what AWS would take for years ends with the token all the same', async () => {
  stage.sts.faults.push('for ever');
  const { session, token } = await stage.tokenFor();
  const { body } = await stage.ask({ session, token });
  assert.equal(body.Expiration, momentOf(decodeJwt(token).exp ?? 0));
});

test('what AWS will say again is not asked again, and the answer says what there is to mend', async () => {
  const mending = {
    denied: /trust policy has to let the OpenID provider of mayfly/,
    malformed: /AWS does not understand the policy of this action/,
    packed: /too large as AWS packs it: shorten it in the catalogue/,
    'bad identity': /needs an OpenID provider with the issuer of mayfly/,
    'bad claim': /needs an OpenID provider with the issuer of mayfly/,
    'late identity': /look at the clocks of the brokers/,
    'no region': /STS is switched off for its account in eu-central-1/,
    'unknown key': /the brokers have no AWS identity that AWS knows/,
    strange: /the log of mayfly says by which error/,
  } as const;
  for (const [fault, told] of Object.entries(mending)) {
    const before = stage.sts.calls.length;
    stage.sts.faults.push(fault as keyof typeof mending);
    const { status, headers, body } = await stage.ask();
    const answer = [status, body.code, headers.get('retry-after'), stage.sts.calls.length];
    assert.deepEqual(answer, [409, 'aws_refused', null, before + 1], fault);
    assert.match(body.hint, told);
    assert.ok(body.hint.includes(ROLE) && !JSON.stringify(body).includes('local-secret'), body.hint);
  }
  stage.sts.faults.push('denied');
  const { session, token } = await stage.tokenFor(ASSUME_REPORT);
  const body = { action: ASSUME_REPORT, arguments: ARGUMENTS };
  assert.match((await stage.ask({ session, token, body })).body.hint, /let the AWS identity of the brokers/);
});

test('no credential stands in the record, nor in the log', async () => {
  const lines: unknown[] = [];
  const write = (...line: unknown[]) => lines.push(line);
  const broker = await stage.startBroker({ log: { info: write, warn: write, error: write } });
  stage.sts.faults.push('denied');
  assert.equal((await stage.ask({}, broker)).status, 409);
  assert.equal((await stage.ask({}, broker)).status, 200);
  const identity = lastCall().parameters.get('WebIdentityToken') ?? '';
  const rows = await stage.world.query('select * from audit_entries');
  const written = JSON.stringify([lines, rows], (_key, value) =>
    value instanceof Error ? [value.message, value.stack, value.cause] : value,
  );
  assert.ok(lines.length > 0 && rows.length > 0 && identity.length > 100);
  for (const secret of ['local-secret', 'local-session-token', 'ASIALOCAL', identity, identity.slice(-40)]) {
    assert.ok(!written.includes(secret), secret);
  }
  const [issued] = await stage.world.query<{ details: Record<string, unknown> }>(
    "select details from audit_entries where action = 'aws.credentials_issued' order by at desc limit 1",
  );
  assert.deepEqual([issued?.details.action, issued?.details.role_arn], [READ_REPORT, ROLE]);
});

test('what mayfly tells AWS is no token of mayfly, and a token is nothing to AWS', async () => {
  const { session, token } = await stage.tokenFor();
  assert.equal((await stage.ask({ session, token })).status, 200);
  const identity = lastCall().parameters.get('WebIdentityToken') ?? '';
  assert.equal((await stage.ask({ session, token: identity })).body.code, 'invalid_token');
  const any = { issuer: TEST_ISSUER, keyOf: () => assert.fail('no key is looked for') };
  assert.equal(readOwnToken(identity, any), null);
  const keys = async (path: string) => {
    const { keys: found } = (await (await fetch(`${stage.broker.url}${path}`)).json()) as {
      keys: { kid: string; alg: string; d?: string }[];
    };
    return found;
  };
  const forAws = await keys('/.well-known/mayfly-aws-jwks.json');
  const ours = [
    ...(await keys('/.well-known/jwks.json')),
    ...(await keys('/.well-known/mayfly-ledger-jwks.json')),
  ].map(({ kid }) => kid);
  assert.deepEqual(
    forAws.map(({ alg, kid, d }) => [alg, d, ours.includes(kid)]),
    [['ES256', undefined, false]],
  );
});

test('the resource says of itself where its tokens are had', async () => {
  const response = await fetch(`${stage.broker.url}/.well-known/oauth-protected-resource/v1/aws`);
  const { resource, authorization_servers: servers } = (await response.json()) as Record<string, unknown>;
  assert.deepEqual([resource, servers], [RESOURCE, [TEST_ISSUER]]);
});

test('until when what is out lives can be read off the record, as the runbook has it', async () => {
  const { token, session } = await stage.tokenFor();
  assert.equal((await stage.ask({ session, token })).status, 200);
  const [block] = blocksOf(textOf('docs/runbook.md'), 'sql').filter((text) => text.includes('lives_until'));
  const [row] = await stage.world.query<{ actor: string; lives_until: string }>(block ?? '');
  assert.equal(row?.actor, 'report-writer');
  assert.ok(Number(row?.lives_until) >= Number(decodeJwt(token).exp));
});
