/**
 * Compiled session policies, judged by an implementation of IAM that is not ours: allowed before the end of the token,
 * denied after it, denied for a neighbour, and for no arguments whatever wider than what was reviewed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compilePolicy, momentOf } from '../../src/aws/compile-policy.ts';
import { sessionIdentity } from '../../src/aws/session-identity.ts';
import type { AwsPolicy } from '../../src/catalogue/aws-policy.ts';
import type { Catalogue } from '../../src/catalogue/index.ts';
import { compileArgumentSchema } from '../../src/catalogue/index.ts';
import { loadAws, READ_REPORT } from '../catalogue/aws-fixture.ts';
import { fc } from '../properties.ts';
import { isAllowed } from './simulator.ts';

const UNTIL = 1_800_000_000;
const BEFORE = momentOf(UNTIL - 1);
const AT = momentOf(UNTIL);
const AFTER = momentOf(UNTIL + 1);

const { catalogue } = await loadAws();
const action = (catalogue as Catalogue).actions.get(READ_REPORT);
const reviewed = action?.aws?.policy as AwsPolicy;
const accepts = compileArgumentSchema(action?.arguments ?? {});
const values = { team: 'search', day: '2026-11-23' };
const policy = compilePolicy(reviewed, { values, until: UNTIL });
const read = { policy, action: 's3:GetObject', resource: 'arn:aws:s3:::reports/search/2026-11-23/a.csv' };

test('the policy is as small as it can be, and says its end', () => {
  assert.equal(
    policy,
    '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectVersion"],' +
      '"Resource":"arn:aws:s3:::reports/search/2026-11-23/*",' +
      `"Condition":{"DateLessThan":{"aws:CurrentTime":"${AT}"}}}}`,
  );
});

test('what was reviewed is allowed until the token ends, and not from then on', async () => {
  assert.equal(await isAllowed({ ...read, at: BEFORE }), true);
  for (const at of [AT, AFTER, momentOf(UNTIL + 900)])
    assert.equal(await isAllowed({ ...read, at }), false, at);
});

test("a neighbour's resource and another action are denied", async () => {
  const neighbours = [
    'arn:aws:s3:::reports/billing/2026-11-23/a.csv',
    'arn:aws:s3:::reports/search/2026-11-24/a.csv',
    'arn:aws:s3:::reports/search/2026-11-23',
    'arn:aws:s3:::other/search/2026-11-23/a.csv',
  ];
  for (const resource of neighbours) assert.equal(await isAllowed({ ...read, resource, at: BEFORE }), false);
  for (const other of ['s3:PutObject', 's3:DeleteObject', 's3:GetObjectAcl']) {
    assert.equal(await isAllowed({ ...read, action: other, at: BEFORE }), false, other);
  }
});

const withCondition = (Condition: Record<string, Record<string, string[]>>): string =>
  compilePolicy(
    { ...reviewed, Statement: reviewed.Statement.map((each) => ({ ...each, Condition })) },
    { values, until: UNTIL },
  );

test('conditions that were reviewed hold beside the end, each of them', async () => {
  const secure = withCondition({ Bool: { 'aws:SecureTransport': ['true'] } });
  const over = (transport: string, at: string) =>
    isAllowed({ ...read, policy: secure, at, context: { 'aws:SecureTransport': transport } });
  assert.deepEqual(
    [await over('true', BEFORE), await over('false', BEFORE), await over('true', AFTER)],
    [true, false, false],
  );
});

test('an earlier end that was reviewed stays, a later one gives way, in whatever spelling', async () => {
  const hourEarlier = momentOf(UNTIL - 3600);
  for (const key of ['aws:CurrentTime', 'AWS:currenttime']) {
    const early = withCondition({ DateLessThan: { [key]: [hourEarlier] } });
    assert.equal(await isAllowed({ ...read, policy: early, at: BEFORE }), false);
    assert.equal(await isAllowed({ ...read, policy: early, at: momentOf(UNTIL - 3601) }), true);
    const late = withCondition({ DateLessThan: { [key]: [momentOf(UNTIL + 3600)] } });
    assert.equal(await isAllowed({ ...read, policy: late, at: BEFORE }), true);
    assert.equal(await isAllowed({ ...read, policy: late, at: AFTER }), false);
  }
  const both = withCondition({ DateLessThan: { 'aws:TokenIssueTime': [AFTER] } });
  assert.deepEqual(JSON.parse(both).Statement.Condition.DateLessThan, {
    'aws:TokenIssueTime': AFTER,
    'aws:CurrentTime': AT,
  });
});

test('every statement ends, not only the first', () => {
  const [statement] = reviewed.Statement;
  assert.ok(statement);
  const Statement = [statement, { ...statement, Action: ['s3:ListBucket'] }];
  const compiled = JSON.parse(compilePolicy({ ...reviewed, Statement }, { values, until: UNTIL }));
  for (const { Condition } of compiled.Statement) {
    assert.deepEqual(Condition, { DateLessThan: { 'aws:CurrentTime': AT } });
  }
});

/** What the reviewer saw, with anything at all where an argument stands. */
const widest = JSON.stringify({
  ...reviewed,
  Statement: reviewed.Statement.map((each) => ({
    ...each,
    Resource: each.Resource.map((resource) => resource.replaceAll(/\$\{[^}]*\}/g, '*')),
  })),
});

test('no arguments that the schema takes make it wider than what was reviewed', async () => {
  const name = fc.oneof(
    fc.constantFrom('search', 'billing', '*', '?', 'search/*', '$', '..', '2026-11-23', ''),
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.stringMatching(/^[0-9]{4}-[0-9]{2}-[0-9]{2}$/),
  );
  const team = fc.oneof({ weight: 3, arbitrary: fc.constantFrom('search', 'billing') }, name);
  const day = fc.oneof({ weight: 3, arbitrary: fc.stringMatching(/^[0-9]{4}-[0-9]{2}-[0-9]{2}$/) }, name);
  let compared = 0;
  const compare = async (itsTeam: string, itsDay: string, other: string) => {
    const given = { team: itsTeam, day: itsDay };
    if (!accepts(given)) return;
    compared += 1;
    const compiled = compilePolicy(reviewed, { values: given, until: UNTIL });
    const ask = (resource: string, under: string) =>
      isAllowed({ ...read, policy: under, resource, at: BEFORE });
    assert.equal(await ask(`arn:aws:s3:::reports/${itsTeam}/${itsDay}/a`, compiled), true);
    for (const resource of [
      `arn:aws:s3:::reports/${other}/a`,
      `arn:aws:s3:::reports/${itsTeam}/${other}/a`,
    ]) {
      const isOwn = resource.startsWith(`arn:aws:s3:::reports/${itsTeam}/${itsDay}/`);
      if (/[\p{C}*?$]/u.test(other) || isOwn) continue;
      assert.equal(await ask(resource, compiled), false, resource);
    }
    assert.equal(await ask(`arn:aws:s3:::reports/${itsTeam}/${itsDay}/a`, widest), true);
  };
  await fc.assert(fc.asyncProperty(team, day, name, compare), {
    numRuns: 200,
    examples: [['search', '2026-11-23', 'billing']],
  });
  assert.ok(compared > 50);
});

test('whatever a schema lets through, a value that is no plain name is refused', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary-ascii' }), fc.constantFrom('*', 'a*', '..', 'a/b', 'a:b', '$', '')),
      (team) => {
        const compile = () => compilePolicy(reviewed, { values: { ...values, team }, until: UNTIL });
        if (/^[A-Za-z0-9_.@=+,-]{1,256}$/.test(team) && !/^\.+$/.test(team)) compile();
        else assert.throws(compile, { code: 'invalid_request' });
      },
    ),
    { numRuns: 200 },
  );
  for (const strange of [7, null, ['search'], { toString: () => 'search' }, undefined]) {
    const compile = () => compilePolicy(reviewed, { values: { ...values, team: strange }, until: UNTIL });
    assert.throws(compile, { code: 'invalid_request' });
  }
});

test('a policy that was measured too small is not sent, whatever the arguments are', () => {
  const day = 'd'.repeat(250);
  const [statement = assert.fail()] = reviewed.Statement;
  // biome-ignore lint/suspicious/noTemplateCurlyInString: as it stands in a policy
  const Resource = Array(10).fill('arn:aws:s3:::reports/${arguments.day}/*');
  const large = { ...reviewed, Statement: [{ ...statement, Resource }] };
  const compile = () => compilePolicy(large, { values: { ...values, day }, until: UNTIL });
  assert.throws(compile, /measured when it was loaded/);
});

const claims = {
  jti: 'tok_01kdvdnad14k88pftagytay02x',
  sid: 'ses_01kdvdnad14k88pftagytay02x',
  client_id: 'report-writer',
  zone: 'analytics',
  epoch: 7,
};

test('AWS knows the credentials by names that it takes, and that lead back to agent, session, zone and epoch', () => {
  assert.deepEqual(sessionIdentity(claims), {
    sessionName: claims.jti,
    sourceIdentity: 'report-writer',
    tags: {
      'mayfly-session': claims.sid,
      'mayfly-agent': 'report-writer',
      'mayfly-zone': 'analytics',
      'mayfly-epoch': '7',
    },
  });
  assert.equal(sessionIdentity({ ...claims, client_id: 'a', zone: 'z' }).sourceIdentity, 'a@mayfly');
});

test('a name that AWS would read as something else is never sent (EGR-24)', () => {
  for (const name of ['a b', 'a\nb', 'a=b&Policy=x'.padEnd(65, 'x'), 'x'.repeat(65), '', 'ä', 'a/b', 'a*']) {
    for (const member of ['jti', 'sid', 'client_id', 'zone'] as const) {
      assert.throws(
        () => sessionIdentity({ ...claims, [member]: name }),
        /none that AWS takes/,
        `${member} ${name}`,
      );
    }
  }
});
