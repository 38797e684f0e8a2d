import assert from 'node:assert/strict';
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cleanEnvironment, freePort, until } from '../broker-process.ts';
import { tryAgent, tryExamples } from './installed-agent.ts';
import { type Installed, installPackage, ROOT, run } from './installed-package.ts';
import { askWithInstalledVerifier, tryReadme } from './installed-servers.ts';

let installed: Installed;
before(() => {
  installed = installPackage();
});
after(() => rmSync(installed.folder, { recursive: true, force: true }));

const command = () => join(installed.project, 'node_modules', '.bin', 'mayfly');
const mayfly = (...args: string[]) => run(command(), args, installed.project);

test('the package has the built program, migrations and the catalogue, and nothing of the workshop', () => {
  for (const needed of [
    'dist/launch.js',
    'dist/cli/mayfly.js',
    'migrations/0001-audit.sql',
    'scopes/zones.yaml',
  ]) {
    assert.ok(installed.paths.includes(needed), needed);
  }
  const strange = installed.paths.filter((path) => /^(src|test|\.ci)\/|(?<!\.d)\.ts$/.test(path));
  assert.deepEqual(strange, []);
});

test('mayfly --version says what the package says', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  assert.equal(mayfly('--version').trim(), version);
});

test('the installed command checks a catalogue', () => {
  assert.match(mayfly('scopes', 'check', join('node_modules', 'mayfly', 'scopes')), /agents/);
});

test('the types for agents need no others than those of the web', () => {
  const program = `
    import { AgentError, createAgent, type AgentSession, type FetchLike } from 'mayfly/agent';
    declare const key: CryptoKey;
    const viaProxy: FetchLike = (url, init) => fetch(url, init);
    const agent = createAgent({ issuer: 'https://a', clientId: 'b', key, fetch: viaProxy });
    const handedOn: typeof fetch = agent.fetch;
    const session: AgentSession = await agent.session({ actions: ['a:b:c'] });
    const response: Response = await session.call({ action: 'a:b:c', url: 'https://d', arguments: { e: 1 } });
    const codes = [new AgentError('denied', 'no').code === 'denied'];
    export { codes, handedOn, response };
  `;
  const compilerOptions = {
    ...{ target: 'es2024', lib: ['es2024', 'dom'], module: 'nodenext', types: [] },
    ...{ strict: true, exactOptionalPropertyTypes: true, noEmit: true },
  };
  writeFileSync(join(installed.project, 'use.ts'), program);
  writeFileSync(
    join(installed.project, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, files: ['use.ts'] }),
  );
  const compiler = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')));
  assert.equal(run(process.execPath, [compiler, '-p', installed.project], installed.project), '');
});

/** A path to the oldest Node that the libraries run on; without it that is not tested, and said so. */
const { NODE_22 = '' } = process.env;
const NODES = [
  { name: 'this Node', node: process.execPath, skip: false },
  { name: 'Node 22', node: NODE_22, skip: NODE_22 === '' && 'NOT TESTED: NODE_22 is no path to such a Node' },
];

test('The oldest Node that is tried is the oldest that the package says it wants', {
  skip: NODES[1]?.skip,
}, () => {
  const { engines } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const [major] = run(NODE_22, ['--version'], ROOT).slice(1).split('.');
  assert.equal(engines.node, `>=${major}`);
});

for (const { name, node, skip } of NODES) {
  test(`the exports can be imported by name on ${name}`, { skip }, () => {
    const script = `
      import { createAgent } from 'mayfly/agent';
      import { keyFromFile } from 'mayfly/agent/node';
      import { createVerifier } from 'mayfly/verifier';
      import { loadCatalogue } from 'mayfly/catalogue';
      const { catalogue } = await loadCatalogue('node_modules/mayfly/scopes');
      const verbs = [createAgent, keyFromFile, createVerifier].map((verb) => typeof verb);
      process.stdout.write(JSON.stringify([...verbs, catalogue.agents.size > 0]));
    `;
    writeFileSync(join(installed.project, 'import.js'), script);
    const found = JSON.parse(run(node, ['import.js'], installed.project));
    assert.deepEqual(found, ['function', 'function', 'function', true]);
  });
}

describe('The installed broker', () => {
  const started: { child: ChildProcess; output: () => string; exited: Promise<number | null> }[] = [];
  let issuer: string;
  let settings: Record<string, string>;

  function start(verb: string) {
    const stdio: StdioOptions = ['ignore', 'pipe', 'inherit'];
    const child = spawn(command(), [verb], {
      cwd: installed.project,
      env: cleanEnvironment(settings),
      stdio,
    });
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk;
    });
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
    const program = { child, output: () => output, exited };
    started.push(program);
    return program;
  }

  before(async () => {
    const port = await freePort();
    issuer = `http://127.0.0.1:${port}`;
    settings = {
      MAYFLY_PORT: String(port),
      MAYFLY_SAMPLE_PORT: String(port + 1),
      MAYFLY_DPOP_NONCE: 'required',
      MAYFLY_DATA_DIR: join(installed.folder, 'data'),
      MAYFLY_SCOPES_DIR: join(installed.project, 'node_modules', 'mayfly', 'scopes'),
    };
    const broker = start('start');
    await until(() => broker.output().includes('mayfly is up'), 'the installed broker is up', 60_000);
    const sample = start('resource-server');
    await until(() => sample.output().includes('answers.'), 'the sample server has found it');
  });
  after(async () => {
    for (const { child } of started) child.kill('SIGTERM');
    await Promise.all(started.map(({ exited }) => exited));
  });

  test('names the command that is installed', async () => {
    const [broker] = started;
    const isTold = () => /^ {2}MAYFLY_PORT=\d+ .*mayfly tour$/m.test(broker?.output() ?? '');
    await until(isTold, 'it names the command that is installed');
  });

  for (const { name, node, skip } of NODES) {
    const where = () => ({ issuer, node });

    test(`gives the installed verifier its lease, on ${name}`, { skip }, async () => {
      const answer = await askWithInstalledVerifier(installed, where());
      assert.deepEqual(answer, ['granted', 'connected or not', 401]);
    });

    test(`serves the resource servers of the README, on ${name}`, { skip }, () =>
      tryReadme(installed, where()),
    );

    test(`serves the installed agent, on ${name}`, { skip }, () => tryAgent(installed, where()));

    test(`serves the installed examples, on ${name}`, { skip }, () => tryExamples(installed, where()));
  }

  test('stops when it is told to', async () => {
    const [broker] = started;
    broker?.child.kill('SIGTERM');
    assert.equal(await broker?.exited, 0);
  });
});
