import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { cleanEnvironment, freePort, startBrokerProcess, until } from '../broker-process.ts';
import { createTestAgent, newSessionKey } from '../test-agent.ts';

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

async function freshSettings(): Promise<{ MAYFLY_PORT: string; MAYFLY_DATA_DIR: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-start-'));
  folders.push(folder);
  return { MAYFLY_PORT: String(await freePort()), MAYFLY_DATA_DIR: join(folder, 'data') };
}

let used: Awaited<ReturnType<typeof freshSettings>> | undefined;

/** Of a broker that ran before, where there was one: what starts there makes no database, which takes seconds. */
const usedSettings = async () => used ?? freshSettings();

function processesThatMention(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
        return command.includes(text) || environment.includes(text);
      } catch {
        return false;
      }
    })
    .map(Number);
}

async function nothingRuns(dataDirectory: string): Promise<void> {
  await until(() => processesThatMention(dataDirectory).length === 0, `everything of ${dataDirectory} ended`);
}

function agentOf(url: string, dataDirectory: string) {
  const key = JSON.parse(readFileSync(join(dataDirectory, 'keys', 'report-writer.jwk.json'), 'utf8'));
  return createTestAgent({ url, issuer: url, clientId: 'report-writer', key });
}

test('npm start with nothing configured but a port mints, and SIGTERM to npm stops everything', async () => {
  const settings = await freshSettings();
  const startedAt = performance.now();
  const broker = startBrokerProcess({ settings, npm: true });
  const url = await broker.url;
  const seconds = (performance.now() - startedAt) / 1000;
  assert.equal(url, `http://127.0.0.1:${settings.MAYFLY_PORT}`);
  assert.match(broker.output(), /npm run tour/);
  assert.ok(seconds < 60, `the first start took ${seconds} s`);

  const key = join(settings.MAYFLY_DATA_DIR, 'keys', 'report-writer.jwk.json');
  assert.equal(statSync(key).mode & 0o777, 0o600);
  const agent = agentOf(url, settings.MAYFLY_DATA_DIR);
  const challenged = await agent.request(newSessionKey());
  assert.equal(challenged.body.error, 'use_dpop_nonce', 'a nonce is required by default');
  assert.equal((await agent.token(newSessionKey())).status, 200);

  broker.child.kill('SIGTERM');
  await broker.exited;
  await nothingRuns(settings.MAYFLY_DATA_DIR);
  used = settings;
});

test('Ctrl-C reaches npm and the broker, twice over, and still stops in order', async () => {
  const settings = await usedSettings();
  const broker = startBrokerProcess({ settings, npm: true, ownGroup: true });
  await broker.url;
  process.kill(-broker.pid, 'SIGINT'); // what a terminal does: the whole foreground group
  process.kill(-broker.pid, 'SIGINT');
  await broker.exited;
  await nothingRuns(settings.MAYFLY_DATA_DIR);
  assert.match(broker.output(), /"msg":"stopped"/);
});

test('SIGTERM to the broker itself ends it with 0', async () => {
  const settings = await usedSettings();
  const broker = startBrokerProcess({ settings });
  await broker.url;
  process.kill(broker.pid, 'SIGTERM');
  assert.deepEqual(await broker.exited, { code: 0, signal: null });
  await nothingRuns(settings.MAYFLY_DATA_DIR);
});

test('after kill -9 of everything the next start recovers, with the same keys and sessions', async () => {
  const settings = await usedSettings();
  const first = startBrokerProcess({ settings });
  const session = newSessionKey();
  const before = await agentOf(await first.url, settings.MAYFLY_DATA_DIR).token(session);
  for (const pid of processesThatMention(settings.MAYFLY_DATA_DIR)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // gone with its parent
    }
  }
  await first.exited;

  const second = startBrokerProcess({ settings });
  const after = await agentOf(await second.url, settings.MAYFLY_DATA_DIR).token(session);
  assert.equal(after.status, 200, JSON.stringify(after.body));
  assert.equal(after.body.session_id, before.body.session_id);
  process.kill(second.pid, 'SIGTERM');
  await second.exited;
  await nothingRuns(settings.MAYFLY_DATA_DIR);
});

test('two brokers on different ports and data folders run side by side', async () => {
  const [one, two] = [await usedSettings(), await freshSettings()];
  const brokers = [startBrokerProcess({ settings: one }), startBrokerProcess({ settings: two })];
  const [urlOne = '', urlTwo = ''] = await Promise.all(brokers.map((broker) => broker.url));
  assert.equal((await agentOf(urlOne, one.MAYFLY_DATA_DIR).token(newSessionKey())).status, 200);
  assert.equal((await agentOf(urlTwo, two.MAYFLY_DATA_DIR).token(newSessionKey())).status, 200);
  const stranger = createTestAgent({
    url: urlTwo,
    issuer: urlTwo,
    clientId: 'report-writer',
    key: JSON.parse(readFileSync(join(one.MAYFLY_DATA_DIR, 'keys', 'report-writer.jwk.json'), 'utf8')),
  });
  assert.equal((await stranger.token(newSessionKey())).body.error, 'invalid_client');
  for (const broker of brokers) process.kill(broker.pid, 'SIGTERM');
  await Promise.all(brokers.map((broker) => broker.exited));
});

test('a taken port is an error that names it, before a database is made', async () => {
  const settings = await freshSettings();
  const port = Number(settings.MAYFLY_PORT);
  for (const [name, ports] of [
    ['MAYFLY_PORT', [port, port + 9]], // as when a broker runs there already
    ['MAYFLY_METRICS_PORT', [port + 9]],
  ] as const) {
    const taken = ports.map((each) => createServer().listen(each, '127.0.0.1'));
    const broker = startBrokerProcess({ settings });
    const { code } = await broker.exited;
    for (const server of taken) server.close();
    assert.equal(code, 1);
    assert.match(broker.output(), new RegExp(`^Port ${ports[0]} on 127.0.0.1 is taken: .* ${name}\\.\n$`));
    assert.throws(() => statSync(settings.MAYFLY_DATA_DIR), 'nothing was made');
  }
  await nothingRuns(settings.MAYFLY_DATA_DIR);
});

test('too few open files for Postgres are told in one sentence', async () => {
  const settings = await freshSettings();
  const command = 'ulimit -n 48; exec "$0" src/launch.js start';
  const { status, stderr } = spawnSync('/bin/sh', ['-c', command, process.execPath], {
    env: cleanEnvironment(settings),
    encoding: 'utf8',
  });
  assert.equal(status, 1);
  assert.match(stderr, /^The embedded Postgres may not open enough files here: .*ulimit.*\n$/);
  await nothingRuns(settings.MAYFLY_DATA_DIR);
});

function checkConfig(settings: Record<string, string>): { code: number; output: string } {
  try {
    const output = execFileSync(process.execPath, ['src/launch.js', 'start', '--check-config'], {
      env: cleanEnvironment(settings),
      encoding: 'utf8',
      stdio: 'pipe',
    });
    return { code: 0, output };
  } catch (error) {
    const { status, stderr } = error as { status: number; stderr: string };
    return { code: status, output: stderr };
  }
}

test('--check-config accepts what would start, and starts nothing', async () => {
  const settings = await freshSettings();
  const { code, output } = checkConfig(settings);
  assert.equal(code, 0, output);
  assert.throws(() => statSync(settings.MAYFLY_DATA_DIR));
});

test('every mistake of the environment is told at once, without a secret', () => {
  const { code, output } = checkConfig({
    MAYFLY_PORT: 'eighty',
    MAYFLY_ISSUER: 'http://broker.example.com/',
    MAYFLY_DPOP_NONCE: 'sometimes',
    MAYFLY_PROT: '1',
    MAYFLY_KEK: 'c2VjcmV0LWNhbmFyeQ',
    MAYFLY_TLS_CERT: '/nowhere',
    MAYFLY_TRUSTED_PROXIES: '10.0.0.0/33',
    DATABASE_URL: 'mysql://user:canary-password@db',
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
  });
  assert.equal(code, 1);
  for (const name of [
    'MAYFLY_PORT',
    'MAYFLY_ISSUER',
    'MAYFLY_DPOP_NONCE',
    'MAYFLY_PROT',
    'MAYFLY_KEK',
    'MAYFLY_TLS_CERT',
    'MAYFLY_TRUSTED_PROXIES',
    'DATABASE_URL',
    'NODE_TLS_REJECT_UNAUTHORIZED',
  ]) {
    assert.match(output, new RegExp(`\\b${name}\\b`), name);
  }
  assert.doesNotMatch(output, /canary|\n\s+at /);
});

test('a catalogue with development keys is refused with DATABASE_URL', () => {
  const { code, output } = checkConfig({
    DATABASE_URL: 'postgres://mayfly_app@127.0.0.1/mayfly',
    MAYFLY_KEK: Buffer.from(Array.from({ length: 32 }, (_, i) => i * 7)).toString('base64url'),
  });
  assert.equal(code, 1);
  assert.match(output, /development_key/);
  assert.match(output, /report-writer/);
});
