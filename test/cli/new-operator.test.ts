import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadCatalogue } from '../../src/catalogue/index.ts';
import { mayfly } from '../catalogue/mayfly-command.ts';
import { policyFiles, smallPolicy, withFolder } from '../catalogue/policy-fixture.ts';

/** The parent of a scopes folder, as the working directory. */
const inProject = (use: (project: string) => Promise<void>): Promise<void> =>
  withFolder(policyFiles(smallPolicy()), async (directory) => {
    mkdirSync(join(directory, 'operators'), { recursive: true });
    await use(join(directory, '..'));
  });

test('operator new makes a key and a file with the roles that were said, which passes the check', async () => {
  await inProject(async (project) => {
    const line = ['operator', 'new', 'alice', '--title', 'On call: "nights"', '--role', 'security'];
    const { code, stdout, stderr } = await mayfly([...line, '--role', 'admin'], { directory: project });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /"mayfly scopes check".*\n?.*"mayfly scopes apply"/);
    const keyFile = join(project, 'alice.private.jwk.json');
    assert.equal(statSync(keyFile).mode & 0o777, 0o600);
    const { catalogue, problems } = await loadCatalogue(join(project, 'scopes'));
    assert.deepEqual(problems, []);
    const operator = catalogue?.operators.get('alice');
    assert.deepEqual([operator?.title, operator?.roles], ['On call: "nights"', ['admin', 'security']]);
    const secret = JSON.parse(readFileSync(keyFile, 'utf8'));
    assert.equal(operator?.keys[0]?.kid, secret.kid);
    const told = `${stdout}${readFileSync(join(project, 'scopes', 'operators', 'alice.yaml'), 'utf8')}`;
    assert.ok(!told.includes(secret.d));
  });
});

test('operator new makes nothing of a role that does not exist, nor over a file that does', async () => {
  await inProject(async (project) => {
    for (const line of ['alice --role root', '../alice --role auditor', 'alice --algorithm RS256']) {
      const { code, stdout } = await mayfly(['operator', 'new', ...line.split(' ')], { directory: project });
      assert.deepEqual([code, stdout], [1, ''], line);
    }
    assert.deepEqual(readdirSync(project), ['scopes']);
    const again = ['operator', 'new', 'alice', '--role', 'auditor'];
    assert.equal((await mayfly(again, { directory: project })).code, 0);
    assert.match((await mayfly(again, { directory: project })).stderr, /exists, and is left as it is/);
  });
});
