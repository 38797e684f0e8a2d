import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LINT_RULES } from '../../src/catalogue/index.ts';
import { commandLine } from '../cli/command-line.ts';
import { mayfly } from './mayfly-command.ts';
import { type Policy, policyFiles, smallPolicy, withFolder } from './policy-fixture.ts';

const SHIPPED = fileURLToPath(new URL('../../scopes', import.meta.url));

/** Two folders: the small policy, and the small policy after a change. */
async function withBoth<T>(
  change: (policy: Policy) => unknown,
  use: (folders: { before: string; after: string }) => Promise<T>,
): Promise<T> {
  const policy = smallPolicy();
  change(policy);
  return withFolder(policyFiles(smallPolicy()), (before) =>
    withFolder(policyFiles(policy), (after) => use({ before, after })),
  );
}

test('scopes check exits with 0 for the shipped folder and prints its version', async () => {
  const text = await mayfly(['scopes', 'check', SHIPPED]);
  assert.equal(text.code, 0, text.stderr);
  assert.match(text.stdout, /^4 zones, 5 resources, 21 actions, 6 agents\. Version [A-Za-z0-9_-]{43}\n$/);
  const json = await mayfly(['scopes', 'check', SHIPPED, '-o', 'json']);
  const report = JSON.parse(json.stdout);
  assert.deepEqual([json.code, report.ok, report.problems], [0, true, []]);
  assert.ok(text.stdout.includes(report.digest));
});

test('an empty MAYFLY_SCOPES_DIR is none, as for a broker: the folder is scopes/', async () => {
  const { code, stdout, stderr } = await commandLine({ MAYFLY_SCOPES_DIR: '' })('scopes check');
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^4 zones, 5 resources/);
});

test('scopes check exits with 1 and shows place, rule, message and repair', async () => {
  const policy = smallPolicy();
  policy.clerk.may.push('db:read:custmers');
  await withFolder(policyFiles(policy), async (directory) => {
    const text = await mayfly(['scopes', 'check', directory]);
    assert.equal(text.code, 1);
    assert.match(text.stdout, /^scopes\/agents\/privacy-clerk\.yaml:9:5 {2}error {2}unknown-action\n/);
    assert.match(text.stdout, /Did you mean db:read:customers\?/);
    assert.match(text.stdout, /\n1 error\.\n$/);
    const json = await mayfly(['scopes', 'check', directory, '--output', 'json']);
    assert.equal(json.code, 1);
    const { ok, digest, problems } = JSON.parse(json.stdout);
    assert.deepEqual([ok, digest, problems.length, problems[0].rule], [false, null, 1, 'unknown-action']);
  });
});

test('scopes check --explain prints every rule and how to accept it', async () => {
  const text = await mayfly(['scopes', 'check', '--explain']);
  assert.equal(text.code, 0);
  for (const [name, { accepting }] of Object.entries(LINT_RULES)) {
    assert.ok(text.stdout.includes(name) && text.stdout.includes(accepting), name);
  }
  const json = await mayfly(['scopes', 'check', '--explain', '-o', 'json']);
  assert.deepEqual(JSON.parse(json.stdout), LINT_RULES);
});

test('scopes diff exits with 6 when something widens, until somebody accepts it', async () => {
  await withBoth(
    ({ clerk }) => clerk.may.push('storage:write:exports'),
    async ({ before, after }) => {
      const refused = await mayfly(['scopes', 'diff', before, after]);
      assert.equal(refused.code, 6);
      assert.match(refused.stdout, /^Widens:\n {2}\+ privacy-clerk gains storage:write:exports/);
      assert.match(refused.stdout, /--accept-widening/);
      const accepted = await mayfly(['scopes', 'diff', before, after, '--accept-widening']);
      assert.equal(accepted.code, 0);
      assert.match(accepted.stdout, /Accepted/);
      const back = await mayfly(['scopes', 'diff', after, before]);
      assert.equal(back.code, 0);
      assert.match(back.stdout, /privacy-clerk loses storage:write:exports[\s\S]*Nothing widens\.\n$/);
    },
  );
});

test('scopes diff says in JSON what it says in words', async () => {
  await withBoth(
    ({ clerk }) => clerk.may.push('storage:write:exports'),
    async ({ before, after }) => {
      const { code, stdout } = await mayfly(['scopes', 'diff', before, after, '-o', 'json']);
      const report = JSON.parse(stdout);
      assert.equal(code, 6);
      assert.deepEqual([report.ok, report.widens, report.accepted], [false, true, false]);
      assert.deepEqual(report.changes, [
        {
          kind: 'grant-added',
          agent: 'privacy-clerk',
          sentence: 'privacy-clerk gains storage:write:exports (Store an export; MED, write).',
          action: 'storage:write:exports',
          widens: true,
        },
      ]);
    },
  );
});

test('scopes diff of a folder with itself is empty', async () => {
  const { code, stdout } = await mayfly(['scopes', 'diff', SHIPPED, SHIPPED]);
  assert.deepEqual([code, stdout], [0, 'Nobody gains or loses anything.\n']);
});

test('scopes diff lints the new folder only, and compares nothing that it cannot read', async () => {
  const risky = ({ storage }: Policy) =>
    Object.assign(storage.actions['storage:share:exports'], { approval: 'none' });
  await withBoth(risky, async ({ before, after }) => {
    const into = await mayfly(['scopes', 'diff', before, after, '--accept-widening']);
    assert.equal(into.code, 1);
    assert.match(into.stdout, /The new folder cannot be read:[\s\S]*high-without-approval/);
    assert.equal((await mayfly(['scopes', 'diff', after, before])).code, 0);
    await rm(join(before, 'zones.yaml'));
    const gone = await mayfly(['scopes', 'diff', before, after, '-o', 'json']);
    assert.equal(gone.code, 1);
    assert.equal(JSON.parse(gone.stdout).ok, false);
  });
});

test('a wrong command line exits with 1 and says what is right', async () => {
  for (const args of [
    ['scopes', 'diff', SHIPPED],
    ['scopes', 'check', SHIPPED, '-o', 'xml'],
  ]) {
    const { code, stdout, stderr } = await mayfly(args);
    assert.deepEqual([code, stdout], [1, ''], args.join(' '));
    assert.match(stderr, /error:/);
  }
});
