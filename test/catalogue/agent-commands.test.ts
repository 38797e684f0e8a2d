import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadCatalogue } from '../../src/catalogue/index.ts';
import { checkNewAgent, type NewAgent } from '../../src/catalogue/new-agent.ts';
import { mayfly } from './mayfly-command.ts';
import { policyFiles, publicJwk, rulesOf, smallPolicy, withFolder } from './policy-fixture.ts';

const COMPLETE = [
  '--zone',
  'analytics',
  '--owner',
  'night-watch',
  '--title',
  'Watches "at night": # all of it',
];

/** The parent of a scopes folder, as the working directory. */
const inProject = (use: (project: string) => Promise<void>): Promise<void> =>
  withFolder(policyFiles(smallPolicy()), (directory) => use(join(directory, '..')));

for (const algorithm of ['ES256', 'Ed25519']) {
  test(`agent new makes a ${algorithm} key that signs, and a file that passes the check`, async () => {
    await inProject(async (project) => {
      const args = [
        'agent',
        'new',
        'night-owl',
        ...COMPLETE,
        '--action',
        'db:read:customers',
        '--algorithm',
        algorithm,
      ];
      const { code, stdout, stderr } = await mayfly([...args, '--action', 'storage:write:exports'], {
        directory: project,
      });
      assert.equal(code, 0, stderr);
      const keyFile = join(project, 'night-owl.private.jwk.json');
      assert.ok(stdout.includes('night-owl.private.jwk.json'));
      assert.equal((await stat(keyFile)).mode & 0o777, 0o600);
      const { catalogue, problems } = await loadCatalogue(join(project, 'scopes'));
      assert.deepEqual(problems, []);
      const agent = catalogue?.agents.get('night-owl');
      assert.deepEqual(agent?.may, ['db:read:customers', 'storage:write:exports']);
      assert.equal(agent?.title, 'Watches "at night": # all of it');
      const secret = JSON.parse(await readFile(keyFile, 'utf8'));
      const [declared] = agent?.keys ?? [];
      assert.equal(declared?.kid, secret.kid);
      assert.equal(declared?.alg, algorithm);
      const digest = algorithm === 'ES256' ? 'sha256' : null;
      const signature = sign(digest, Buffer.from('x'), createPrivateKey({ key: secret, format: 'jwk' }));
      const publicKey = createPublicKey({ key: { ...declared }, format: 'jwk' });
      assert.ok(verify(digest, Buffer.from('x'), publicKey, signature));
      assert.ok(!stdout.includes(secret.d));
      const policy = await readFile(join(project, 'scopes', 'agents', 'night-owl.yaml'), 'utf8');
      assert.ok(!policy.includes(secret.d));
    });
  });
}

test('agent new with a name alone leaves open what it was not told, and the check asks for it', async () => {
  await inProject(async (project) => {
    assert.equal((await mayfly(['agent', 'new', 'night-owl'], { directory: project })).code, 0);
    const loaded = await loadCatalogue(join(project, 'scopes'));
    assert.deepEqual(rulesOf(loaded), ['invalid-value', 'invalid-value', 'invalid-value']);
    assert.deepEqual(
      loaded.problems.map(({ message }) => message.split(':')[0]),
      ['title', 'owner', 'zone'],
    );
  });
});

test('agent new never touches a file that exists, and leaves none behind when it cannot finish', async () => {
  await inProject(async (project) => {
    await writeFile(join(project, 'night-owl.private.jwk.json'), 'precious');
    const key = await mayfly(['agent', 'new', 'night-owl'], { directory: project });
    assert.equal(key.code, 1);
    assert.match(key.stderr, /night-owl\.private\.jwk\.json exists/);
    assert.equal(await readFile(join(project, 'night-owl.private.jwk.json'), 'utf8'), 'precious');
    assert.deepEqual((await readdir(join(project, 'scopes', 'agents'))).sort(), [
      'privacy-clerk.yaml',
      'report-writer.yaml',
    ]);

    const before = await readFile(join(project, 'scopes', 'agents', 'privacy-clerk.yaml'), 'utf8');
    const policy = await mayfly(['agent', 'new', 'privacy-clerk'], { directory: project });
    assert.equal(policy.code, 1);
    assert.equal(await readFile(join(project, 'scopes', 'agents', 'privacy-clerk.yaml'), 'utf8'), before);
    assert.ok(!(await readdir(project)).includes('privacy-clerk.private.jwk.json'));
  });
});

test('agent new refuses what it cannot make, and makes nothing then', async () => {
  await inProject(async (project) => {
    const attempts = [
      ['../../etc/x', '--zone', 'a b'],
      ['night-owl', '--algorithm', 'RS256'],
      ['night-owl', '--directory', 'nowhere'],
      ['night-owl', '--key', 'nowhere/key.json'],
    ];
    for (const args of attempts) {
      const { code, stdout, stderr } = await mayfly(['agent', 'new', ...args], { directory: project });
      assert.deepEqual([code, stdout], [1, ''], args.join(' '));
      assert.notEqual(stderr, '');
    }
    assert.deepEqual(await readdir(project), ['scopes']);
  });
});

test('what an author says about a new agent is held to the rules of the files', () => {
  const right: NewAgent = {
    name: 'night-owl',
    title: undefined,
    owner: undefined,
    zone: undefined,
    sessionSeconds: 600,
    may: [],
    key: publicJwk('k') as NewAgent['key'],
  };
  assert.deepEqual(checkNewAgent(right), []);
  const wrong: Partial<NewAgent>[] = [
    { name: '../../etc/x' },
    { name: 'Night-Owl' },
    { name: 'mayfly' },
    { zone: 'a b' },
    { owner: 'Me' },
    { title: 'a\nb' },
    { may: ['*'] },
    { sessionSeconds: Number.NaN },
    { sessionSeconds: 1e9 },
  ];
  for (const part of wrong)
    assert.equal(checkNewAgent({ ...right, ...part }).length, 1, JSON.stringify(part));
});

test('agent new prints the policy file instead of writing it when asked, and speaks JSON', async () => {
  await inProject(async (project) => {
    const args = ['agent', 'new', 'night-owl', '--print', '--key', 'owl.json', '-o', 'json'];
    const { code, stdout } = await mayfly(args, { directory: project });
    const made = JSON.parse(stdout);
    assert.equal(code, 0);
    assert.deepEqual([made.agent, made.policy_file, made.public_jwk.alg], ['night-owl', null, 'ES256']);
    assert.match(made.yaml, /^# Made by [\s\S]*\nagent: night-owl\n/);
    assert.ok((await readdir(project)).includes('owl.json'));
    assert.ok(!(await readdir(join(project, 'scopes', 'agents'))).includes('night-owl.yaml'));
  });
});
