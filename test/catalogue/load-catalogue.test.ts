import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadCatalogue } from '../../src/catalogue/index.ts';
import {
  loadChanged,
  loadFiles,
  type Policy,
  policyFiles,
  publicJwk,
  rulesOf,
  smallPolicy,
  withFolder,
} from './policy-fixture.ts';

const SHIPPED = fileURLToPath(new URL('../../scopes', import.meta.url));

test('the shipped scopes pass the check without a warning', async () => {
  const { catalogue, problems } = await loadCatalogue(SHIPPED);
  assert.deepEqual(problems, []);
  assert.equal(catalogue?.resources.size, 5);
  assert.equal(catalogue.agents.size, 6);
  const homes = new Set([...catalogue.agents.values()].map(({ zone }) => zone));
  assert.equal(homes.size, 3);
  const sensitivities = new Set([...catalogue.actions.values()].map(({ sensitivity }) => sensitivity));
  assert.deepEqual([...sensitivities].sort(), ['HIGH', 'LOW', 'MED']);
});

test('the shipped scopes keep the promises that the README and the tour make', async () => {
  const { catalogue } = await loadCatalogue(SHIPPED);
  const writer = catalogue?.agents.get('report-writer');
  assert.equal(writer?.zone, 'analytics');
  assert.equal(writer.sessionSeconds, 3600);
  assert.equal(writer.developmentKey, true);
  assert.equal(writer.file, 'scopes/agents/report-writer.yaml');
  assert.ok(writer.may.includes('db:read:customers') && writer.may.includes('storage:write:exports'));
  assert.deepEqual(catalogue?.actions.get('db:read:customers'), {
    name: 'db:read:customers',
    title: 'Read customer records',
    resource: 'https://customers.example.com',
    zone: 'analytics',
    sensitivity: 'LOW',
    effect: 'read',
    lifetime: { defaultSeconds: 300, maxSeconds: 900 },
    use: 'session',
    approval: 'none',
  });
  assert.equal(catalogue?.actions.get('storage:write:exports')?.use, 'request');
  assert.equal(catalogue?.resources.get('https://customers.example.com')?.developmentPath, '/');
  assert.equal(catalogue?.resources.get('https://storage.example.com')?.developmentPath, '/exports');
  const sessionResources = new Set(
    writer.may
      .map((name) => catalogue?.actions.get(name))
      .filter((action) => action?.use === 'session')
      .map((action) => action?.resource),
  );
  assert.equal(sessionResources.size, 2);
});

test('a whole small policy becomes a catalogue with everything in it', async () => {
  const { catalogue, problems } = await loadFiles(policyFiles(smallPolicy()));
  assert.deepEqual(problems, []);
  assert.match(catalogue?.digest ?? '', /^[A-Za-z0-9_-]{43}$/);
  assert.deepEqual(catalogue?.zones.get('analytics')?.mayCall, ['analytics', 'shared']);
  assert.deepEqual(catalogue?.resources.get('https://storage.example.com')?.actions, [
    'storage:list:exports',
    'storage:share:exports',
    'storage:write:exports',
  ]);
  assert.deepEqual(
    catalogue?.agents.get('report-writer')?.keys.map(({ kid }) => kid),
    ['writer-1', 'writer-2'],
  );
  assert.equal(
    catalogue?.resources.get('https://customers.example.com')?.file,
    'scopes/resources/customers.yaml',
  );
  assert.deepEqual(catalogue?.agents.get('privacy-clerk')?.keys, []);
});

/** What one change to the small policy does: the rules it breaks. */
const BROKEN: [string, (policy: Policy) => void, string[]][] = [
  ['an unknown key in an agent', ({ clerk }) => Object.assign(clerk, { titel: 'x' }), ['unknown-key']],
  ['an unknown key in a resource', ({ storage }) => Object.assign(storage, { url: 'x' }), ['unknown-key']],
  [
    'an unknown key in an action',
    ({ customers }) => Object.assign(customers.actions['db:read:customers'], { scope: 'x' }),
    ['unknown-key'],
  ],
  [
    'an unknown key in a lifetime',
    ({ customers }) => Object.assign(customers.actions['db:read:customers'].lifetime, { min: 60 }),
    ['unknown-key'],
  ],
  [
    'an unknown key in a zone',
    ({ zones }) => Object.assign(zones.zones.shared, { calls: [] }),
    ['unknown-key'],
  ],
  ['an unknown key beside the zones', ({ zones }) => Object.assign(zones, { agents: [] }), ['unknown-key']],
  [
    'an unknown member of a key',
    ({ writer }) => Object.assign(writer.keys[0], { x5c: 'x' }),
    ['unknown-key'],
  ],
  ['a missing title', ({ clerk }) => delete clerk.title, ['missing-key']],
  [
    'a missing approval',
    ({ storage }) => delete storage.actions['storage:list:exports'].approval,
    ['missing-key'],
  ],
  ['no keys at all', ({ writer }) => delete writer.keys, ['missing-key']],
  ['an empty list of keys', ({ customers }) => Object.assign(customers, { keys: [] }), ['missing-key']],
  ['a misspelt sensitivity', set('customers', 'sensitivity', 'low'), ['invalid-value']],
  ['a number as a title', set('customers', 'title', 7), ['invalid-value']],
  [
    'a title with a direction override',
    ({ clerk }) => Object.assign(clerk, { title: 'a\u202eb' }),
    ['control-character'],
  ],
  ['a title of two lines', ({ clerk }) => Object.assign(clerk, { title: 'a\nb' }), ['invalid-value']],
  ['a lifetime under the floor', set('customers', 'lifetime', { default: 59, max: 60 }), ['invalid-value']],
  ['a lifetime over the roof', set('customers', 'lifetime', { default: 60, max: 901 }), ['invalid-value']],
  [
    'a lifetime of half a second more',
    set('customers', 'lifetime', { default: 60.5, max: 70 }),
    ['invalid-value'],
  ],
  ['a default over the maximum', set('customers', 'lifetime', { default: 90, max: 80 }), ['invalid-value']],
  [
    'a session over the roof',
    ({ clerk }) => Object.assign(clerk, { session_seconds: 43_201 }),
    ['invalid-value'],
  ],
  [
    'a word for a flag',
    ({ clerk }) => Object.assign(clerk, { development_key: 'yes' }),
    ['invalid-value', 'missing-key'],
  ],
  ['a grant that nobody declares', ({ clerk }) => clerk.may.push('db:read:custmers'), ['unknown-action']],
  ['a grant twice', ({ clerk }) => clerk.may.push('db:delete:customers'), ['duplicate-item']],
  [
    'a zone that nobody declares',
    ({ storage }) => Object.assign(storage, { zone: 'sharde' }),
    ['zone-empty', 'unknown-zone'],
  ],
  ['a reach into nowhere', ({ zones }) => zones.zones.shared.may_call.push('moon'), ['unknown-zone']],
  [
    'a grant beyond the fence',
    ({ zones }) => Object.assign(zones.zones.analytics, { may_call: ['shared'] }),
    ['zone-not-reachable', 'zone-not-reachable'],
  ],
  [
    'one audience for two',
    ({ storage, customers }) => Object.assign(storage, { resource: customers.resource }),
    ['duplicate-name'],
  ],
  [
    'one key for two',
    ({ customers, writer }) => Object.assign(customers, { keys: [writer.keys[0]] }),
    ['duplicate-name'],
  ],
  [
    'one kid for two keys',
    ({ writer }) => Object.assign(writer.keys[1], { kid: 'writer-1' }),
    ['duplicate-name'],
  ],
  ['a key without kid', ({ writer }) => delete writer.keys[0].kid, ['missing-key']],
  [
    'a key with another algorithm',
    ({ writer }) => Object.assign(writer.keys[0], { alg: 'EdDSA' }),
    ['invalid-key'],
  ],
  [
    'a key off the curve',
    ({ writer }) => Object.assign(writer.keys[0], { y: writer.keys[0].x }),
    ['invalid-key'],
  ],
  ['a key for encryption', ({ writer }) => Object.assign(writer.keys[0], { use: 'enc' }), ['invalid-key']],
  ['a private key', ({ writer }) => Object.assign(writer.keys[0], { d: 'c2VjcmV0' }), ['private-key']],
  [
    'eleven keys',
    ({ writer }) => Object.assign(writer, { keys: Array.from({ length: 11 }, (_, i) => publicJwk(`k${i}`)) }),
    ['invalid-value'],
  ],
  [
    'a path for a resource with its own keys',
    ({ customers }) => Object.assign(customers, { development_path: '/' }),
    ['development-path-without-key'],
  ],
  [
    'a path that climbs',
    ({ storage }) => Object.assign(storage, { development_path: '/../etc' }),
    ['invalid-value'],
  ],
  [
    'a list where a mapping belongs',
    ({ storage }) => Object.assign(storage, { actions: [] }),
    ['unknown-action', 'unknown-action', 'unknown-action', 'invalid-value'],
  ],
  [
    'an agent in a file of another name',
    ({ clerk }) => Object.assign(clerk, { agent: 'clerk' }),
    ['file-name'],
  ],
  [
    'an agent called like the file of a resource',
    ({ clerk }) => Object.assign(clerk, { agent: 'storage' }),
    ['file-name', 'file-name'],
  ],
  [
    'an empty file',
    (policy) => Object.assign(policy, { clerk: null }),
    ['invalid-value', 'missing-key', 'action-unused'],
  ],
  [
    'a number that readers round differently',
    set('customers', 'arguments', { type: 'object', additionalProperties: false, maxProperties: 2 ** 60 }),
    ['inexact-number'],
  ],
  [
    'a zone that nobody lives in',
    ({ zones }) => Object.assign(zones.zones, { attic: { title: 'Empty', may_call: [] } }),
    ['zone-empty'],
  ],
];

/** Sets a field of the first action of a resource. */
function set(resource: 'customers', field: string, value: unknown): (policy: Policy) => void {
  return (policy) => Object.assign(policy[resource].actions['db:read:customers'], { [field]: value });
}

for (const [what, change, rules] of BROKEN) {
  test(`the check finds ${what}`, async () => {
    const loaded = await loadChanged(change);
    assert.deepEqual(rulesOf(loaded).sort(), [...rules].sort());
    const hasErrors = loaded.problems.some(({ severity }) => severity === 'error');
    assert.equal(loaded.catalogue === null, hasErrors);
    for (const { message, fix, line, column } of loaded.problems) {
      assert.ok(
        message.startsWith('expected') || message.includes(': expected') || message.includes('/: expected'),
        message,
      );
      assert.ok(fix.length > 0 && line >= 1 && column >= 1);
    }
  });
}

test('a private key in a policy file is never repeated in the report', async () => {
  const { problems } = await loadChanged(({ writer }) =>
    Object.assign(writer.keys[0], { d: 'c2VjcmV0LXNlY3JldA' }),
  );
  assert.ok(!JSON.stringify(problems).includes('c2VjcmV0'));
});

test('all problems of all files come at once, each at its own line and column', async () => {
  const files = policyFiles(smallPolicy());
  files['agents/report-writer.yaml'] = `agent: report-writer
title: Writes the weekly report
owner: Data Platform
zone: analytics
zone: shared
development_key: true
sesion_seconds: 3600
session_seconds: 100000
may:
  - db:read:customers
  - db:raed:customers
  - storage:*:exports
  - storage:share:exports
`;
  files['zones.yaml'] = `zones:
  analytics: { title: Reporting, may_call: [analytics, shared, ops] }
  Shared: { title: "" }
  shared: { title: All, may_call: [] }
`;
  const { catalogue, problems } = await loadFiles(files);
  assert.equal(catalogue, null);
  const seen = problems.map(({ file, line, column, rule }) => `${file}:${line}:${column} ${rule}`);
  assert.deepEqual(seen, [
    'scopes/agents/report-writer.yaml:3:8 invalid-value',
    'scopes/agents/report-writer.yaml:5:1 duplicate-key',
    'scopes/agents/report-writer.yaml:7:1 unknown-key',
    'scopes/agents/report-writer.yaml:8:18 invalid-value',
    'scopes/agents/report-writer.yaml:11:5 unknown-action',
    'scopes/agents/report-writer.yaml:12:5 wildcard-in-grant',
    'scopes/resources/storage.yaml:7:3 action-unused',
    'scopes/resources/storage.yaml:16:3 action-unused',
    'scopes/zones.yaml:2:64 unknown-zone',
    'scopes/zones.yaml:3:3 invalid-value',
    'scopes/zones.yaml:3:3 missing-key',
    'scopes/zones.yaml:3:3 zone-empty',
    'scopes/zones.yaml:3:20 invalid-value',
  ]);
  const fixOf = (rule: string) => problems.find((problem) => problem.rule === rule)?.fix ?? '';
  assert.match(fixOf('unknown-key'), /Did you mean session_seconds\?/);
  assert.match(fixOf('unknown-action'), /Did you mean db:read:customers\?/);
});

test('broken syntax in one file hides no problem of another and makes up none', async () => {
  const files = policyFiles(smallPolicy());
  files['resources/storage.yaml'] += '  broken: [\n';
  files['agents/privacy-clerk.yaml'] = files['agents/privacy-clerk.yaml']?.replace('owner:', 'ownr:') ?? '';
  const loaded = await loadFiles(files);
  const rules = new Set(loaded.problems.map(({ file, rule }) => `${file} ${rule}`));
  assert.deepEqual(
    rules,
    new Set([
      'scopes/agents/privacy-clerk.yaml unknown-key',
      'scopes/agents/privacy-clerk.yaml missing-key',
      'scopes/resources/storage.yaml yaml-syntax',
    ]),
  );
});

test('a folder that does not exist and a folder without zones are problems, not crashes', async () => {
  assert.deepEqual(rulesOf(await loadCatalogue('/nowhere/scopes')), ['scopes-missing']);
  const { 'zones.yaml': _zones, ...files } = policyFiles(smallPolicy());
  const loaded = await loadFiles(files);
  assert.ok(rulesOf(loaded).includes('scopes-missing'));
  assert.equal(loaded.catalogue, null);
});

test('a file that nothing would read is refused, and what is clearly no policy is ignored', async () => {
  const files = policyFiles(smallPolicy());
  const odd = { 'agents/night-owl.yml': 'agent: night-owl', 'agents.yaml': '', 'agents/Bad.yaml': '' };
  assert.deepEqual(rulesOf(await loadFiles({ ...files, ...odd })), Array(3).fill('unexpected-file'));
  const harmless = { 'README.md': '# x', '.gitkeep': '', 'agents/.hidden.yaml': 'x' };
  assert.deepEqual(rulesOf(await loadFiles({ ...files, ...harmless })), []);
});

test('a link that leaves the folder is refused, a link within it is followed', async () => {
  await withFolder(policyFiles(smallPolicy()), async (directory) => {
    await writeFile(join(directory, '..', 'outside.yaml'), 'agent: outside\n');
    await symlink('../../outside.yaml', join(directory, 'agents', 'outside.yaml'));
    assert.deepEqual(rulesOf(await loadCatalogue(directory)), ['symlink-leaves-folder']);
  });
  const { 'zones.yaml': zones = '', ...files } = policyFiles(smallPolicy());
  await withFolder({ ...files, '.data/zones.yaml': zones }, async (directory) => {
    await symlink('.data/zones.yaml', join(directory, 'zones.yaml'));
    assert.deepEqual(rulesOf(await loadCatalogue(directory)), []);
  });
});

test('a folder in place of a file and a folder that links elsewhere are refused', async () => {
  await withFolder(policyFiles(smallPolicy()), async (directory) => {
    await mkdir(join(directory, 'agents', 'folder.yaml'));
    assert.deepEqual(rulesOf(await loadCatalogue(directory)), ['unreadable-file']);
  });
  const { 'zones.yaml': zones = '' } = policyFiles(smallPolicy());
  await withFolder({ 'zones.yaml': zones, '../elsewhere/a.yaml': 'agent: a\n' }, async (directory) => {
    await symlink('../elsewhere', join(directory, 'agents'));
    assert.ok(rulesOf(await loadCatalogue(directory)).includes('symlink-leaves-folder'));
  });
});

test('an old folder can be read without the lint, but never without its structure', async () => {
  const risky = (policy: Policy) => set('customers', 'lifetime', { default: 60, max: 900 })(policy);
  const change = (policy: Policy) => {
    risky(policy);
    Object.assign(policy.customers.actions['db:read:customers'], { sensitivity: 'HIGH', use: 'session' });
  };
  assert.ok((await loadChanged(change)).catalogue === null);
  assert.ok((await loadChanged(change, { lint: false })).catalogue !== null);
  const broken = await loadChanged(({ clerk }) => clerk.may.push('db:read:nothing'), { lint: false });
  assert.equal(broken.catalogue, null);
});
