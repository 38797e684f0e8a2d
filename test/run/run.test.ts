/** `mayfly run` with programs that know nothing of mayfly but their environment. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fetchOfRun } from '../../src/sdk/node.ts';
import { describeConfinement } from './confinement.ts';
import { describeEndings, describeOtherEnds } from './endings.ts';
import { type Pages, startPages } from './pages.ts';
import { describeProxied } from './proxied.ts';
import { AGENT, nodeProgram, PYTHON, program, type RunWorld } from './run-world.ts';

let pages: Pages;
let world: RunWorld;
before(async () => {
  pages = await startPages();
  ({ world } = pages);
});
after(() => pages?.stop());

describe('A program', () => {
  for (const [what, command, options] of [
    ['in Node', [process.execPath, program('read-customers.mjs')], []],
    ['in Python', [PYTHON, program('read_customers.py')], []],
    ['in Python, over a Unix socket,', [PYTHON, program('read_customers.py')], ['--socket']],
  ] as const) {
    test(`${what} reads what its run may read, and then its session is over`, async () => {
      const { code, stdout, stderr } = await world.run([...command, world.customersUrl], { options });
      assert.equal(code, 0, stderr);
      const { sessionId, rows, ...read } = JSON.parse(stdout);
      assert.deepEqual(read, { status: 200, readBy: AGENT });
      assert.ok(rows > 0);
      assert.equal(await world.stateOf(sessionId), 'revoked');
    });
  }

  for (const options of [[], ['--socket']]) {
    test(`in Node does the same with fetchOfRun() ${options}`, async () => {
      const command = [process.execPath, program('fetch-of-run.mjs'), world.customersUrl];
      const { code, stdout, stderr } = await world.run(command, { options });
      assert.equal(code, 0, stderr);
      const { rows, ...read } = JSON.parse(stdout);
      assert.deepEqual(read, { status: 200, readBy: AGENT });
      assert.ok(rows > 0);
    });
  }

  test('that no run started has no such fetch', async () => {
    await assert.rejects(async () => fetchOfRun(), { code: 'misconfigured' });
  });

  test('gets variables, and loses those that carry or point at keys', async () => {
    const jwk = '{"kty":"EC","d":"a key that the parent has"}';
    const settings = {
      MAYFLY_OPERATOR_KEY: jwk,
      SAME_KEY_ELSEWHERE: `export KEY='${jwk}'`,
      MAYFLY_KEK_FILE: `${world.dataDirectory}/kek`,
      KEK_ELSEWHERE: `${world.dataDirectory}/kek`,
      DATABASE_URL: 'postgres://mayfly_app:password@127.0.0.1/mayfly',
      MAYFLY_BOOTSTRAP: 'of another run',
      MAYFLY_TOKEN_SOCKET: '/of/another/run',
      HARMLESS: 'stays',
    };
    const show = nodeProgram('process.stdout.write(JSON.stringify(process.env))');
    const { stdout, stderr } = await world.run(show, { settings });
    const environment = JSON.parse(stdout || stderr);
    const told = JSON.stringify(environment);
    for (const secret of ['that the parent has', '/kek', 'password@']) assert.ok(!told.includes(secret));
    assert.equal(environment.HARMLESS, 'stays');
    assert.match(environment.MAYFLY_BOOTSTRAP, /^[\w-]{43}$/);
    assert.match(environment.MAYFLY_TOKEN_ENDPOINT, /^http:\/\/127\.0\.0\.1:\d+\/[\w-]{43}$/);
    assert.equal(environment.MAYFLY_TOKEN_SOCKET, undefined);
  });

  test('finds its socket in a folder that is gone after it', async () => {
    const show = nodeProgram('process.stdout.write(process.env.MAYFLY_TOKEN_SOCKET)');
    const { stdout } = await world.run(show, { options: ['--socket'] });
    assert.match(stdout, /tokens\.sock$/);
    assert.equal(existsSync(dirname(stdout)), false);
  });
});

describe('A run ends', () => {
  for (const [code, what, command] of [
    [0, 'as its program does, well', nodeProgram('')],
    [7, 'as its program does, with its exit code', nodeProgram('process.exit(7)')],
    [127, 'as a shell would when there is no such program', ['no-such-program']],
    [127, 'as a shell would when there is no such file', ['/no/such/program']],
    [126, 'as a shell would for what is no program', ['/etc/passwd']],
    [126, 'as a shell would for a folder', ['/etc']],
  ] as const) {
    test(`with ${code} ${what}`, async () => {
      const { code: ended, stderr } = await world.run(command);
      assert.equal(ended, code, stderr);
    });
  }
});

describeEndings(() => world);
describeOtherEnds(() => world);
describeConfinement(() => world);
describeProxied(() => pages);
