/** What an action may say of AWS, what it may not, and how a change of it is told (EGR-20). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RE2JS } from 're2js';
import { argumentBound, isPlainName } from '../../src/catalogue/aws-arguments.ts';
import { type Catalogue, catalogueFromDocument, compareCatalogues } from '../../src/catalogue/index.ts';
import { fc } from '../properties.ts';
import { ACCOUNT, loadAws, READ_REPORT, ROLE } from './aws-fixture.ts';
import { type Loose, rulesOf } from './policy-fixture.ts';

async function load(change?: (action: Loose, resource: Loose) => unknown): Promise<Catalogue> {
  const { catalogue, problems } = await loadAws(change);
  return catalogue ?? assert.fail(JSON.stringify(problems, null, 1));
}

const statement = ({ aws }: Loose): Loose => aws.policy.Statement[0];

test('an action with aws is loaded, in one spelling, and comes back from its document', async () => {
  const { actions, document, digest } = await load();
  const aws = actions.get(READ_REPORT)?.aws;
  assert.equal(aws?.roleArn, ROLE);
  assert.deepEqual(aws?.policy.Statement[0]?.Action, ['s3:GetObject', 's3:GetObjectVersion']);
  assert.equal(catalogueFromDocument(JSON.parse(JSON.stringify(document))).digest, digest);
});

test('a document whose aws is not what files could say is refused', async () => {
  const { document } = await load();
  const bends: ((aws: Loose) => unknown)[] = [
    (aws) => Object.assign(aws, { roleArn: ROLE.replace('aws:', 'aws-cn:') }),
    (aws) => Object.assign(aws, { note: 'x' }),
    (aws) => Object.assign(aws.policy.Statement[0], { Action: 's3:GetObject' }),
    (aws) => Object.assign(aws.policy.Statement[0], { Action: ['s3:*'] }),
  ];
  for (const bend of bends) {
    const copy = structuredClone(document) as Loose;
    bend(copy.resources.find(({ actions }: Loose) => actions[0].aws !== undefined).actions[0].aws);
    assert.throws(() => catalogueFromDocument(copy), { name: 'CatalogueDocumentError' }, bend.toString());
  }
});

const REFUSED_ROLES = [
  'arn:aws:iam::999999999999:role/mayfly/reports',
  `arn:aws-cn:iam::${ACCOUNT}:role/mayfly/reports`,
  `arn:aws:iam::${ACCOUNT}:role/mayfly/../reports`,
  `arn:aws:iam::${ACCOUNT}:role/mayfly//reports`,
  `arn:aws:iam::${ACCOUNT}:role/*`,
  `arn:aws:iam::${ACCOUNT}:role/report?`,
  `arn:aws:iam::${ACCOUNT}:Role/reports`,
  `ARN:aws:iam::${ACCOUNT}:role/reports`,
  `arn:aws:iam::${ACCOUNT}:user/reports`,
  `arn:aws:iam:eu-central-1:${ACCOUNT}:role/reports`,
  `arn:aws:iam::${ACCOUNT}:role/${'r'.repeat(65)}`,
  `arn:aws:iam::${ACCOUNT}:role/reports\n`,
  `arn:aws:iam::${ACCOUNT}:role/`,
  ' ',
];

test('only the exact ARN of a role in the account is a role (EGR-20)', async () => {
  for (const role of REFUSED_ROLES) {
    const loaded = await loadAws(({ aws }) => Object.assign(aws, { role_arn: role }));
    assert.deepEqual(rulesOf(loaded), ['invalid-aws'], role);
  }
});

/** What is bent in the action, each by itself. */
const BENT: readonly [string, (action: Loose) => unknown][] = [
  ['an unknown member', ({ aws }) => Object.assign(aws, { duration: 3600 })],
  ['a deny that is no yes or no', ({ aws }) => Object.assign(aws, { deny_when_revoked: 'yes' })],
  ['an account that is a number', ({ aws }) => Object.assign(aws, { account: 123456789012 })],
  ['no region', ({ aws }) => delete aws.region],
  ['a region that is none', ({ aws }) => Object.assign(aws, { region: 'eu-central-1/..' })],
  ['a region of another partition', ({ aws }) => Object.assign(aws, { region: 'cn-north-1' })],
  ['another way', ({ aws }) => Object.assign(aws, { via: 'saml' })],
  ['no policy', ({ aws }) => delete aws.policy],
  ['another version', ({ aws }) => Object.assign(aws.policy, { Version: '2008-10-17' })],
  ['no statement', ({ aws }) => Object.assign(aws.policy, { Statement: [] })],
  ['a policy with an Id', ({ aws }) => Object.assign(aws.policy, { Id: 'x' })],
  ['a Deny', (action) => Object.assign(statement(action), { Effect: 'Deny' })],
  ['a NotAction', (action) => Object.assign(statement(action), { NotAction: 's3:GetObject' })],
  ['a NotResource', (action) => Object.assign(statement(action), { NotResource: 'arn:aws:s3:::x' })],
  ['a Principal', (action) => Object.assign(statement(action), { Principal: '*' })],
  ['every action', (action) => Object.assign(statement(action), { Action: '*' })],
  ['a wildcard in an action', (action) => Object.assign(statement(action), { Action: ['s3:Get*'] })],
  ['an action that lends', (action) => Object.assign(statement(action), { Action: 'sts:AssumeRole' })],
  ['an action of iam', (action) => Object.assign(statement(action), { Action: 'iam:CreateAccessKey' })],
  ['an action twice', (action) => Object.assign(statement(action), { Action: ['s3:A', 's3:A'] })],
  ['every resource', (action) => Object.assign(statement(action), { Resource: '*' })],
  ['a wildcard for a service', (action) => Object.assign(statement(action), { Resource: 'arn:aws:*:::x' })],
  [
    'a resource of another partition',
    (action) => Object.assign(statement(action), { Resource: 'arn:aws-cn:s3:::x' }),
  ],
  [
    'a resource of another account',
    (action) => Object.assign(statement(action), { Resource: 'arn:aws:sqs:eu-central-1:999999999999:q' }),
  ],
  // biome-ignore-start lint/suspicious/noTemplateCurlyInString: as they stand in policies
  [
    'a policy variable',
    (action) => Object.assign(statement(action), { Resource: 'arn:aws:s3:::reports/${aws:username}' }),
  ],
  [
    'an argument nobody declared',
    (action) => Object.assign(statement(action), { Resource: 'arn:aws:s3:::reports/${arguments.other}' }),
  ],
  [
    'an argument for the account',
    (action) =>
      Object.assign(statement(action), { Resource: 'arn:aws:sqs:eu-central-1:${arguments.team}:q' }),
  ],
  [
    'a variable in a condition',
    (action) =>
      Object.assign(statement(action), {
        Condition: { StringEquals: { 's3:prefix': '${arguments.team}' } },
      }),
  ],
  // biome-ignore-end lint/suspicious/noTemplateCurlyInString: as they stand in policies
  [
    'an operator that is none',
    (action) => Object.assign(statement(action), { Condition: { stringequals: { 's3:prefix': 'a' } } }),
  ],
  [
    'a key twice in two spellings',
    (action) =>
      Object.assign(statement(action), {
        Condition: { StringEquals: { 's3:prefix': 'a', 'S3:Prefix': 'b' } },
      }),
  ],
  [
    'two times',
    (action) =>
      Object.assign(statement(action), {
        Condition: { DateLessThan: { 'aws:currenttime': ['2030-01-01T00:00:00Z', '2031-01-01T00:00:00Z'] } },
      }),
  ],
  ['an argument that is optional', (action) => Object.assign(action.arguments, { required: ['day'] })],
  ['no arguments', (action) => delete action.arguments],
  [
    'an argument with a wildcard among its values',
    ({ arguments: schema }) => Object.assign(schema.properties.team, { enum: ['search', '*'] }),
  ],
  ['an argument without a pattern', ({ arguments: schema }) => delete schema.properties.day.pattern],
  [
    'an argument that may hold a slash',
    ({ arguments: schema }) => Object.assign(schema.properties.day, { pattern: '^[0-9/]{1,10}$' }),
  ],
  [
    'a policy that is too large with the longest arguments',
    (action) => {
      action.arguments.properties.day = { type: 'string', pattern: '^[a-z]{1,200}$', maxLength: 200 };
      const resource = statement(action).Resource;
      statement(action).Resource = Array.from({ length: 10 }, (_, index) => `${resource}${index}`);
    },
  ],
];

for (const [what, bend] of BENT) {
  test(`an action with ${what} is refused`, async () => {
    const loaded = await loadAws(bend);
    assert.ok(rulesOf(loaded).length > 0);
    assert.deepEqual([...new Set(rulesOf(loaded))], ['invalid-aws'], JSON.stringify(loaded.problems));
  });
}

test('the resource is served by the broker alone', async () => {
  const wrong: ((action: Loose, resource: Loose) => unknown)[] = [
    (_, resource) => Object.assign(resource, { resource: 'https://aws.example.com' }),
    (_, resource) => Object.assign(resource, { development_key: true }),
    (action, { actions }) => {
      const { aws: _aws, arguments: _schema, ...plain } = action;
      actions['aws:list:reports'] = {
        ...plain,
        accept: [{ rule: 'action-unused', because: 'It is here for a test of mayfly.', reviewed_by: 'test' }],
      };
    },
  ];
  for (const change of wrong) assert.deepEqual(rulesOf(await loadAws(change)), ['aws-resource']);
});

test('whether a role is denied what was revoked is the same in all its actions, and no is the same as nothing', async () => {
  const half = await loadAws((action, { actions }) => {
    actions['aws:list:reports'] = {
      ...action,
      aws: { ...action.aws, deny_when_revoked: true },
      accept: [{ rule: 'action-unused', because: 'It is here for a test of mayfly.', reviewed_by: 'test' }],
    };
  });
  assert.deepEqual(rulesOf(half), ['aws-resource']);
  const no = await load(({ aws }) => Object.assign(aws, { deny_when_revoked: false }));
  assert.equal(no.digest, (await load()).digest);
  const yes = await load(({ aws }) => Object.assign(aws, { deny_when_revoked: true }));
  assert.equal(yes.actions.get(READ_REPORT)?.aws?.denyWhenRevoked, true);
  assert.equal(catalogueFromDocument(JSON.parse(JSON.stringify(yes.document))).digest, yes.digest);
  const [sooner, ...more] = compareCatalogues(no, yes);
  assert.deepEqual([sooner?.kind, sooner?.widens, more], ['aws-narrowed', false, []]);
  assert.match(sooner?.sentence ?? '', /are denied on the role, once revoked\.$/);
  const [later] = compareCatalogues(yes, no);
  assert.deepEqual([later?.kind, later?.widens], ['aws-changed', true]);
  assert.match(later?.sentence ?? '', /not denied any more, once revoked\.$/);
});

test('every change of what AWS gives is told, and widens unless it is less of the same', async () => {
  const unchanged = await load();
  const without = await load((action) => delete action.arguments.$comment);
  assert.deepEqual(compareCatalogues(unchanged, without), []);
  const changes: [string, (action: Loose) => unknown][] = [
    ['aws-changed', ({ aws }) => Object.assign(aws, { via: 'assume_role' })],
    ['aws-changed', ({ aws }) => Object.assign(aws, { region: 'eu-west-1' })],
    ['aws-changed', ({ aws }) => Object.assign(aws, { role_arn: `${ROLE}-all` })],
    ['aws-changed', (action) => statement(action).Action.push('s3:PutObject')],
    ['aws-changed', (action) => Object.assign(statement(action), { Resource: 'arn:aws:s3:::reports/*' })],
    [
      'aws-changed',
      (action) =>
        Object.assign(statement(action), { Condition: { Bool: { 'aws:SecureTransport': 'true' } } }),
    ],
    ['aws-narrowed', (action) => Object.assign(statement(action), { Action: 's3:GetObject' })],
  ];
  for (const [kind, change] of changes) {
    const changed = await load(change);
    const [found, ...more] = compareCatalogues(unchanged, changed);
    assert.deepEqual([found?.kind, found?.widens, more], [kind, kind === 'aws-changed', []]);
    const [back] = compareCatalogues(changed, unchanged);
    assert.equal(back?.kind, change.toString().includes('PutObject') ? 'aws-narrowed' : 'aws-changed');
  }
  const gone = catalogueFromDocument({
    ...unchanged.document,
    resources: unchanged.document.resources.map((resource) => ({
      ...resource,
      developmentKey: resource.developmentKey || resource.keys.length === 0,
      actions: resource.actions.map(({ aws: _, ...action }) => action),
    })),
  });
  const sentenceOf = (kind: string, changes: ReturnType<typeof compareCatalogues>) =>
    changes.find((change) => change.kind === kind)?.sentence;
  assert.equal(
    sentenceOf('aws-removed', compareCatalogues(unchanged, gone)),
    'aws:read:reports gives report-writer no AWS credentials any more.',
  );
  assert.equal(
    sentenceOf('aws-added', compareCatalogues(gone, unchanged)),
    'aws:read:reports now gives report-writer AWS credentials of arn:aws:iam::123456789012:role/mayfly/reports in ' +
      // biome-ignore lint/suspicious/noTemplateCurlyInString: as it stands in a policy
      'eu-central-1, for s3:GetObject, s3:GetObjectVersion on arn:aws:s3:::reports/${arguments.team}/${arguments.day}/*.',
  );
});

test('a pattern that is accepted matches plain names only, and none longer than it was measured', () => {
  const piece = fc.constantFrom(
    ...[
      'a',
      '[a-z]',
      '[0-9a-f]{4}',
      '[A-Z_]',
      '[a-z.-]{1,8}',
      '-',
      '_',
      '[+-a-z]',
      '[,-9]',
      '[a-z-9]',
      '[!-~]',
    ],
    ...[
      '\\.',
      '.',
      '[^a]',
      '\\w',
      '[A-z]',
      '/',
      '[a-z]+',
      'x*',
      '(?:a|b)',
      '|',
      '[\\w]',
      '$',
      '^',
      '[a-z]?',
      '{2}',
    ],
  );
  fc.assert(
    fc.property(
      fc.array(piece, { minLength: 1, maxLength: 5 }),
      fc.array(fc.string({ unit: 'binary-ascii', maxLength: 12 }), { maxLength: 40 }),
      (pieces, texts) => {
        const pattern = `^${pieces.join('')}$`;
        const schema = {
          properties: { a: { type: 'string', pattern, maxLength: 20 } },
          required: ['a'],
        };
        const bound = argumentBound(schema, 'a');
        if ('flaw' in bound) return;
        const check = RE2JS.compile(pattern);
        const near = texts.flatMap((text) => [text, ...pieces.map((each) => each + text), pieces.join('')]);
        for (const text of [...near, '*', '?', '/', ':', '$', 'a/', 'a*', '\n', 'a\n', '..']) {
          if (!check.test(text) || /^\.+$/.test(text)) continue;
          if (text.length > 20) continue;
          assert.ok(isPlainName(text), `${pattern} matches ${JSON.stringify(text)}`);
          assert.ok(String(text).length <= bound.longest, pattern);
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('each character that a range could let in is looked at', () => {
  const characters = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index));
  const isMeta = (character: string) => '[]\\^'.includes(character);
  let accepted = 0;
  for (const from of characters) {
    for (const to of characters) {
      if (from > to || isMeta(from) || isMeta(to)) continue;
      const pattern = `^[${from}-${to}]{1,3}$`;
      const schema = { properties: { a: { type: 'string', pattern } }, required: ['a'] };
      if ('flaw' in argumentBound(schema, 'a')) continue;
      accepted += 1;
      const check = new RegExp(pattern);
      for (const each of characters)
        if (check.test(each)) assert.ok(/[A-Za-z0-9_.@=+,-]/.test(each), pattern);
    }
  }
  assert.ok(accepted > 300);
});
