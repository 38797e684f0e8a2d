/** As which agent a command asks, and that nothing of its key can be seen afterwards. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { cleanEnvironment } from '../broker-process.ts';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'mayfly-agent-identity-')));
after(() => rmSync(folder, { recursive: true }));

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const { d = '', ...publicPart } = privateKey.export({ format: 'jwk' });
const JWK = JSON.stringify({ ...publicPart, d, kid: 'k1' });
const PEM = String(privateKey.export({ format: 'pem', type: 'pkcs8' }));
const SECRETS = [d, ...PEM.split('\n').filter((line) => line !== '' && !line.includes('-'))];

const DATA = join(folder, 'data');
mkdirSync(join(DATA, 'keys'), { recursive: true });
for (const name of ['billing-runner', 'report-writer']) fileOf(`data/keys/${name}.jwk.json`, JWK);

function fileOf(name: string, text: string, mode = 0o600): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

/** A program that reads who it is, and shows all that can be shown of it. */
const PROGRAM = `
  import { inspect } from 'node:util';
  import { readAgentIdentity } from ${JSON.stringify(new URL('../../src/cli/agent-identity.ts', import.meta.url).href)};
  try {
    const read = await readAgentIdentity(process.env, JSON.parse(process.argv[1]));
    const { issuer, clientId, keyPath, dataDirectory, key } = read;
    const signature = await key.sign(new Uint8Array(1), { signal: AbortSignal.timeout(5000) });
    const shown = inspect(read, { depth: null, showHidden: true }) + JSON.stringify(read) + key.sign;
    console.log(JSON.stringify({ issuer, clientId, keyPath, dataDirectory, kid: key.kid, bytes: signature.length, shown }));
  } catch (error) {
    console.log(JSON.stringify({ name: error.name, code: error.exitCode, message: error.message, shown: inspect(error) }));
  }`;

type Options = { url?: string; as?: string; key?: string };

function identity(options: Options, settings: Record<string, string> = {}, input = '') {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', PROGRAM, JSON.stringify(options)],
    { env: cleanEnvironment({ MAYFLY_DATA_DIR: DATA, ...settings }), input, encoding: 'utf8' },
  );
  for (const secret of SECRETS)
    assert.ok(!`${stdout}${stderr}`.includes(secret), 'nothing of a key is shown');
  assert.notEqual(stdout, '', stderr);
  return { ...JSON.parse(stdout), stderr };
}

test('right after npm start it is the agent of the examples, without a word', () => {
  const { shown: _shown, ...read } = identity({});
  assert.deepEqual(read, {
    issuer: 'http://127.0.0.1:8420',
    clientId: 'report-writer',
    keyPath: join(DATA, 'keys/report-writer.jwk.json'),
    dataDirectory: DATA,
    kid: 'k1',
    bytes: 64,
    stderr: '',
  });
});

test('another one with a development key is named by option or by setting', () => {
  assert.equal(identity({ as: 'billing-runner' }).clientId, 'billing-runner');
  assert.equal(identity({}, { MAYFLY_AGENT: 'billing-runner' }).clientId, 'billing-runner');
  const { code, message } = identity({ as: 'nobody' });
  assert.equal(code, 1);
  assert.match(
    message,
    /There is no key at .*nobody\.jwk\.json.*--as and --key, or in MAYFLY_AGENT and MAYFLY_AGENT_KEY_FILE/,
  );
  assert.match(identity({ as: '../kek' }).message, /has no slash/);
});

test('a key comes from an option, a setting, its file or the standard input, as a JWK or a PEM', () => {
  const path = fileOf('key.pem', PEM);
  const link = join(folder, 'link');
  symlinkSync(path, link);
  const url = 'https://broker.example.com';
  for (const [keyPath, read] of [
    [path, identity({ as: 'a', url, key: path })],
    [path, identity({ as: 'a', url, key: link })],
    [path, identity({ url }, { MAYFLY_AGENT: 'a', MAYFLY_AGENT_KEY_FILE: link })],
    [undefined, identity({}, { MAYFLY_ISSUER: url, MAYFLY_AGENT: 'a', MAYFLY_AGENT_KEY: PEM })],
    [undefined, identity({ url }, { MAYFLY_AGENT: 'a', MAYFLY_AGENT_KEY: JWK })],
    [undefined, identity({ as: 'a', url, key: '-' }, {}, `${JWK}\n`)],
    [undefined, identity({ as: 'a', url, key: '-' }, { MAYFLY_AGENT_KEY_FILE: '/none' }, PEM)],
  ] as const) {
    assert.deepEqual(
      [read.issuer, read.clientId, read.keyPath, read.bytes],
      [url, 'a', keyPath, 64],
      read.message,
    );
  }
});

test('a key without a name is of nobody, and two keys are one too many', () => {
  assert.match(identity({ key: fileOf('a.json', JWK) }).message, /Whose key is that\?.*MAYFLY_AGENT\./);
  assert.match(identity({ key: '-' }, {}, JWK).message, /Whose key is that/);
  const both = { MAYFLY_AGENT: 'a', MAYFLY_AGENT_KEY: JWK, MAYFLY_AGENT_KEY_FILE: fileOf('b.json', JWK) };
  assert.match(identity({}, both).message, /MAYFLY_AGENT_KEY and MAYFLY_AGENT_KEY_FILE are both set/);
});

test('what is no key is refused without a word of it', () => {
  for (const [text, why] of [
    ['', /private P-256 or Ed25519 key/],
    [JSON.stringify({ ...publicPart, kid: 'k1' }), /with d/],
    [JWK.slice(0, -2), /private P-256 or Ed25519 key/],
    [PEM.slice(0, 100), /private P-256 or Ed25519 key/],
    [`${JWK}${' '.repeat(20_000)}`, /longer than 16384 bytes/],
  ] as const) {
    const { code, message } = identity({ as: 'a', key: '-' }, {}, text);
    assert.equal(code, 1);
    assert.match(message, why);
  }
  const { code, message } = identity({ as: 'a', key: join(folder, 'none') });
  assert.deepEqual([code, /none cannot be used\. .*\(ENOENT\)/.test(message)], [1, true], message);
});

test('a key file that others can read is warned of, wherever it comes from', () => {
  for (const mode of [0o640, 0o604, 0o644]) {
    const key = fileOf('open.json', JWK, mode);
    assert.equal(
      identity({ as: 'a', key }).stderr,
      `The key at ${key} can be read by others on this machine: chmod 600 ${key}\n`,
    );
    assert.match(identity({ as: 'a' }, { MAYFLY_AGENT_KEY_FILE: key }).stderr, /chmod 600/);
  }
  for (const mode of [0o600, 0o400])
    assert.equal(identity({ as: 'a', key: fileOf('open.json', JWK, mode) }).stderr, '');
});
