import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tokenHash } from '../../src/dpop/proof.ts';
import { cleanEnvironment, freePort, until } from '../broker-process.ts';
import { createTestAgent, newSessionKey } from '../test-agent.ts';
import { writeReadmeServers } from './readme-server.ts';

/*
 * What somebody gets who installs the package: packed by npm, laid out as npm lays it out, beside the dependencies
 * that this checkout has. Only the download is left out.
 */
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PACKED = [
  'src',
  'migrations',
  'scopes',
  'package.json',
  'build.js',
  'tsconfig.json',
  'tsconfig.build.json',
];
const PACKED_IF_THERE = ['openapi.yaml', 'CHANGELOG.md', 'SECURITY.md', 'LICENSE', 'README.md'];

let folder: string;
let installed: string;
let names: string[];

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'mayfly-pack-'));
  const checkout = join(folder, 'checkout');
  mkdirSync(checkout);
  const present = readdirSync(ROOT);
  for (const name of [...PACKED, ...PACKED_IF_THERE.filter((file) => present.includes(file))]) {
    cpSync(join(ROOT, name), join(checkout, name), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(checkout, 'node_modules'));
  run('npm', ['pack', '--silent', '--pack-destination', folder], checkout);
  installed = join(folder, 'project');
  install(join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? ''));
});
after(() => rmSync(folder, { recursive: true, force: true }));

function run(command: string, args: string[], cwd: string): string {
  return execFileSync(command, args, {
    cwd,
    env: cleanEnvironment({}),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function install(tarball: string): void {
  const modules = join(installed, 'node_modules');
  const home = join(modules, 'mayfly');
  mkdirSync(join(modules, '.bin'), { recursive: true });
  mkdirSync(home);
  names = run('tar', ['-xzvf', tarball, '-C', home, '--strip-components=1'], folder).trim().split('\n');
  for (const name of readdirSync(join(ROOT, 'node_modules'))) {
    if (!name.startsWith('.')) symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
  }
  const { bin } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  symlinkSync(join('..', 'mayfly', bin.mayfly), join(modules, '.bin', 'mayfly'));
  writeFileSync(join(installed, 'package.json'), '{ "type": "module" }');
}

const mayfly = (...args: string[]) => run(join(installed, 'node_modules', '.bin', 'mayfly'), args, installed);

test('the package has the built program, migrations and the catalogue, and nothing of the workshop', () => {
  const paths = names.map((name) => name.replace(/^package\//, ''));
  for (const needed of [
    'dist/launch.js',
    'dist/cli/mayfly.js',
    'migrations/0001-audit.sql',
    'scopes/zones.yaml',
  ]) {
    assert.ok(paths.includes(needed), needed);
  }
  const strange = paths.filter((path) => /^(src|test|\.ci)\/|(?<!\.d)\.ts$/.test(path));
  assert.deepEqual(strange, []);
});

test('mayfly --version says what the package says', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  assert.equal(mayfly('--version').trim(), version);
});

test('the installed command checks a catalogue', () => {
  assert.match(mayfly('scopes', 'check', join('node_modules', 'mayfly', 'scopes')), /agents/);
});

test('the exports can be imported by name', () => {
  const script = `
    import { createAgent } from 'mayfly/agent';
    import { keyFromFile } from 'mayfly/agent/node';
    import { createVerifier } from 'mayfly/verifier';
    import { loadCatalogue } from 'mayfly/catalogue';
    const { catalogue } = await loadCatalogue('node_modules/mayfly/scopes');
    const verbs = [createAgent, keyFromFile, createVerifier].map((verb) => typeof verb);
    process.stdout.write(JSON.stringify([...verbs, catalogue.agents.size > 0]));
  `;
  writeFileSync(join(installed, 'import.js'), script);
  const found = JSON.parse(run(process.execPath, ['import.js'], installed));
  assert.deepEqual(found, ['function', 'function', 'function', true]);
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
  writeFileSync(join(installed, 'use.ts'), program);
  writeFileSync(join(installed, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['use.ts'] }));
  const compiler = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')));
  assert.equal(run(process.execPath, [compiler, '-p', installed], installed), '');
});

/** A resource server of somebody who installed the package, in a process of its own that ends by itself. */
function askWithInstalledVerifier(issuer: string): unknown {
  const script = `
    import { readFileSync } from 'node:fs';
    import { createVerifier } from 'mayfly/verifier';
    const key = JSON.parse(readFileSync(${JSON.stringify(join(folder, 'data', 'keys', 'customers.jwk.json'))}, 'utf8'));
    const verifier = createVerifier({ issuer: '${issuer}', resource: 'https://customers.example.com', key });
    await verifier.ready();
    const guarded = verifier.guard({ action: 'db:read:customers' }, () => new Response('in'));
    const response = await guarded(new Request('https://customers.example.com/customers'));
    const { serving, feed } = verifier.status();
    await verifier.close();
    const told = ['connected', 'disconnected'].includes(feed) ? 'connected or not' : feed;
    process.stdout.write(JSON.stringify([serving.LOW, told, response.status]));
  `;
  writeFileSync(join(installed, 'verify.js'), script);
  return JSON.parse(run(process.execPath, ['verify.js'], installed));
}

type Answer = [status: number, headers: Record<string, string>, body: Record<string, unknown>];

/** An agent with a token, who takes the nonce that it is given. */
async function createCustomer(issuer: string, url: string) {
  const key = JSON.parse(readFileSync(join(folder, 'data', 'keys', 'report-writer.jwk.json'), 'utf8'));
  const agent = createTestAgent({ url: issuer, issuer, clientId: 'report-writer', key });
  const session = newSessionKey();
  const { body } = await agent.token(session);
  const token: string = body.access_token;
  const headersWith = (nonce: string | undefined) => ({
    Authorization: `DPoP ${token}`,
    DPoP: agent.proof(session, { claims: { htm: 'GET', htu: url, ath: tokenHash(token), nonce } }),
  });
  return async (ask: (headers: Record<string, string>) => Promise<Answer>): Promise<Answer> => {
    const first = await ask(headersWith(undefined));
    return first[1]['dpop-nonce'] === undefined ? first : ask(headersWith(first[1]['dpop-nonce']));
  };
}

/** What the README says to somebody who writes a resource server, done to the letter. */
async function tryReadme(issuer: string): Promise<void> {
  const port = await freePort();
  const place = { brokerPort: Number(new URL(issuer).port), dataFolder: join(folder, 'data'), port };
  const programs = writeReadmeServers(installed, place);
  const url = `http://127.0.0.1:${port}/customers`;
  const asCustomer = await createCustomer(issuer, url);
  const start = (program: string) =>
    spawn(process.execPath, [program], {
      cwd: installed,
      env: cleanEnvironment({}),
      stdio: ['pipe', 'pipe', 'inherit'],
    });

  const server = start(programs.express);
  const overHttp = async (headers: Record<string, string>): Promise<Answer> => {
    const response = await fetch(url, { headers });
    return [response.status, Object.fromEntries(response.headers), (await response.json()) as Answer[2]];
  };
  await until(
    async () => (await overHttp({}).catch(() => [0]))[0] === 401,
    'the server of the README asks for a token',
  );
  const isLetIn = async () => (await asCustomer(overHttp))[0] === 200;
  await until(isLetIn, 'it has its lease');
  assert.deepEqual((await asCustomer(overHttp))[2], { customers: [], for: 'report-writer' });
  const metadataUrl = `http://127.0.0.1:${port}/.well-known/oauth-protected-resource`;
  const metadata = (await (await fetch(metadataUrl)).json()) as Answer[2];
  assert.deepEqual(
    [metadata.resource, metadata.authorization_servers, metadata.scopes_supported],
    ['https://customers.example.com', [issuer], ['db:read:customers']],
  );
  server.kill();

  const handler = start(programs.fetch);
  const lines = createInterface({ input: handler.stdout })[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, 'ready');
  const askHandler = async (asked: object): Promise<Answer> => {
    handler.stdin.write(`${JSON.stringify(asked)}\n`);
    return JSON.parse((await lines.next()).value ?? 'null');
  };
  const ofHandler = (headers: Record<string, string>) => askHandler({ url, headers });
  assert.deepEqual((await askHandler({ url: metadataUrl, headers: {} }))[2], metadata);
  assert.equal((await ofHandler({}))[0], 401);
  const [status, , body] = await asCustomer(ofHandler);
  assert.deepEqual([status, body], [200, { customers: [], for: 'report-writer' }]);
  const ended = new Promise((resolve) => handler.once('exit', resolve));
  handler.stdin.end();
  assert.equal(await ended, 0);
}

test('the installed broker starts, gives the installed verifier its lease, and stops', async () => {
  const port = await freePort();
  const settings = {
    MAYFLY_PORT: String(port),
    MAYFLY_DATA_DIR: join(folder, 'data'),
    MAYFLY_SCOPES_DIR: join(installed, 'node_modules', 'mayfly', 'scopes'),
  };
  const child = spawn(join(installed, 'node_modules', '.bin', 'mayfly'), ['start'], {
    cwd: installed,
    env: cleanEnvironment(settings),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk;
  });
  const ready = async () => {
    try {
      return (await fetch(`http://127.0.0.1:${port}/readyz`)).status === 200;
    } catch {
      return false;
    }
  };
  await until(ready, 'the installed broker is ready', 60_000);
  const issuer = `http://127.0.0.1:${port}`;
  assert.deepEqual(askWithInstalledVerifier(issuer), ['granted', 'connected or not', 401]);
  await tryReadme(issuer);
  await until(
    () => /^ {2}MAYFLY_PORT=\d+ .*mayfly tour$/m.test(output),
    'it names the command that is installed',
  );
  child.kill('SIGTERM');
  assert.equal(await ended, 0);
});
