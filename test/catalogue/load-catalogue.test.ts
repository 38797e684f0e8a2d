import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
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

test('what can be made out of broken syntax names things, and is not judged itself', async () => {
  const files = policyFiles(smallPolicy());
  files['agents/night-owl.yaml'] =
    'agent: night-owl\nzone: moon\nmay: [db:read:nothing, db:read:customers, db:delete:customers\n';
  const rules = new Set(rulesOf(await loadFiles(files)));
  assert.deepEqual(rules, new Set(['yaml-syntax']));
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

test('a folder or a pipe in place of a file and a folder that links elsewhere are refused', async () => {
  await withFolder(policyFiles(smallPolicy()), async (directory) => {
    await mkdir(join(directory, 'agents', 'folder.yaml'));
    execFileSync('mkfifo', [join(directory, 'agents', 'pipe.yaml')]); // opening it would wait for a writer
    assert.deepEqual(rulesOf(await loadCatalogue(directory)), ['unreadable-file', 'unreadable-file']);
  });
  const { 'zones.yaml': zones = '' } = policyFiles(smallPolicy());
  await withFolder({ 'zones.yaml': zones, '../elsewhere/a.yaml': 'agent: a\n' }, async (directory) => {
    await symlink('../elsewhere', join(directory, 'agents'));
    assert.ok(rulesOf(await loadCatalogue(directory)).includes('symlink-leaves-folder'));
  });
});

test('an old folder can be read without the lint, but never without its structure', async () => {
  const change = (policy: Policy) => {
    Object.assign(policy.customers.actions['db:read:customers'], { sensitivity: 'HIGH', use: 'session' });
  };
  assert.ok((await loadChanged(change)).catalogue === null);
  assert.ok((await loadChanged(change, { lint: false })).catalogue !== null);
  const broken = await loadChanged(({ clerk }) => clerk.may.push('db:read:nothing'), { lint: false });
  assert.equal(broken.catalogue, null);
});
