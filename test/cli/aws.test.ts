/** Tools of AWS that know nothing of mayfly, with credentials that it gives: the real ones, against an STS on this machine. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ARGUMENTS, type AwsStage, createAwsStage, ONE_REPORT } from '../aws/aws-stage.ts';
import { cleanEnvironment } from '../broker-process.ts';
import { READ_REPORT } from '../catalogue/aws-fixture.ts';
import { commandLine, type Outcome } from './command-line.ts';

const LAUNCHER = fileURLToPath(new URL('../../src/launch.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'mayfly-cli-aws-'));
const keyFile = join(folder, 'report-writer.jwk.json');
const config = join(folder, 'config');
const GIVEN = JSON.stringify(ARGUMENTS);
/** What the agent's key and the credentials have that nobody may read on stderr. */
const secrets: string[] = ['local-secret', 'local-session-token'];

let stage: AwsStage;
/** The broker that answers at the issuer's address. */
let inside: { url: string };
let settings: Record<string, string>;
const door = createServer();

before(async () => {
  // The broker is where it says it is: whoever connects there gets to it.
  door.listen(0, '127.0.0.1');
  await once(door, 'listening');
  const issuer = `http://127.0.0.1:${(door.address() as AddressInfo).port}`;
  stage = await createAwsStage({ issuer });
  inside = stage.broker;
  door.on('connection', (socket) => {
    const onward = connect(Number(new URL(inside.url).port), '127.0.0.1');
    socket.on('error', () => onward.destroy()).pipe(onward);
    onward.on('error', () => socket.destroy()).pipe(socket);
  });
  const key = stage.world.scopes.keys.get('report-writer') ?? assert.fail();
  secrets.push(String(key.d));
  writeFileSync(keyFile, JSON.stringify(key), { mode: 0o600 });
  settings = { MAYFLY_ISSUER: issuer, MAYFLY_AGENT: 'report-writer', MAYFLY_AGENT_KEY_FILE: keyFile };
  const command = [process.execPath, LAUNCHER, 'aws', 'credential-process', '--action', READ_REPORT];
  const line = [...command, '--arguments', `"${GIVEN.replaceAll('"', '\\"')}"`].join(' ');
  writeFileSync(config, `[default]\nregion = eu-central-1\ncredential_process = ${line}\n`);
});
after(async () => {
  door.close();
  await stage?.sts.close();
  rmSync(folder, { recursive: true });
});

function credentials(...words: string[]): Promise<Outcome> {
  return commandLine(settings)(['aws', 'credential-process', ...words]);
}

/** A program with the settings of an agent and of the STS here, and what else a test gives it. */
async function start(words: readonly string[], own: Record<string, string>): Promise<Outcome> {
  const [command = '', ...args] = words;
  const { AWS_ACCESS_KEY_ID: _key, AWS_SECRET_ACCESS_KEY: _secret, ...env } = cleanEnvironment(settings);
  const sts = { AWS_ENDPOINT_URL_STS: stage.sts.url, AWS_EC2_METADATA_DISABLED: 'true' };
  const child = spawn(command, args, { env: { ...env, ...sts, ...own }, stdio: ['ignore', 'pipe', 'pipe'] });
  const outcome: Outcome = { code: null, stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (part: string) => {
      outcome[stream] += part;
    });
  }
  [outcome.code] = await once(child, 'close');
  return outcome;
}

/** A tool of AWS with nothing but a configuration file. */
const tool = (...words: string[]) =>
  start(words, { AWS_CONFIG_FILE: config, AWS_SHARED_CREDENTIALS_FILE: join(folder, 'none') });

/** `mayfly run --aws`, where everything else would lead to other credentials. */
const LEADS_ELSEWHERE = {
  AWS_ACCESS_KEY_ID: 'AKIAOFSOMEBODYELSE00',
  AWS_SECRET_ACCESS_KEY: 'a-long-lived-secret',
  AWS_PROFILE: 'another',
  AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/elsewhere',
};
const FOR_REPORT = ['--action', READ_REPORT, '--arguments', GIVEN];
function run(words: readonly string[], options: readonly string[] = FOR_REPORT) {
  const line = [process.execPath, LAUNCHER, 'run', '--aws', ...options, '--', ...words];
  return start(line, { ...LEADS_ELSEWHERE, AWS_CONFIG_FILE: config });
}

test('credential-process prints the JSON that AWS wants and nothing else', async () => {
  const { code, stdout, stderr } = await credentials('--action', READ_REPORT, '--arguments', GIVEN);
  assert.deepEqual([code, stderr], [0, '']);
  const { AccessKeyId, Expiration, ...rest } = JSON.parse(stdout);
  assert.match(AccessKeyId, /^ASIALOCAL\d+$/);
  const lifeSeconds = (Date.parse(Expiration) - Date.now()) / 1_000;
  assert.ok(lifeSeconds > 0 && lifeSeconds <= 60, Expiration);
  assert.deepEqual(Object.keys(rest).sort(), ['AccountId', 'SecretAccessKey', 'SessionToken', 'Version']);
  assert.equal(rest.Version, 1);
});

test('an action that is had for one call at a time is asked for that call', async () => {
  const { code, stdout, stderr } = await credentials('--action', ONE_REPORT, '--arguments', GIVEN);
  assert.equal(code, 0, stderr);
  assert.equal(JSON.parse(stdout).Version, 1);
});

test('what goes wrong is told on stderr, with an exit code and nothing secret', async () => {
  const wrong = [
    [1, /required option '--action/],
    [1, /It is a JSON object/, '--action', READ_REPORT, '--arguments', '{"team'],
    [1, /cannot be used.*ENOENT/, '--action', READ_REPORT, '--key', '/does/not/exist'],
    [1, /arguments/, '--action', READ_REPORT, '--arguments', '{"team":"other","day":"2026-11-23"}'],
    [5, /invalid_target/, '--action', 'db:read:customers'],
    [5, /owner, data-platform.*invalid_scope/, '--action', 'aws:read:nothing'],
    [4, /cannot be reached/, '--action', READ_REPORT, '--url', 'http://127.0.0.1:9'],
  ] as const;
  const tried = wrong.map(async ([code, why, ...words]) => {
    const outcome = await credentials(...words);
    assert.deepEqual([outcome.code, outcome.stdout], [code, ''], outcome.stderr);
    assert.match(outcome.stderr, why);
    for (const secret of secrets) assert.ok(!outcome.stderr.includes(secret));
  });
  await Promise.all(tried);
  stage.sts.faults.push('denied');
  const denied = await credentials('--action', READ_REPORT, '--arguments', GIVEN);
  assert.equal(denied.code, 5);
  assert.deepEqual([denied.stdout, denied.stderr.trim().split('\n').length], ['', 1]);
});

const NODE = [process.execPath, '--input-type=module', '-e'];
/** Older ones know no AWS_ENDPOINT_URL_STS. */
const awsCli = () => [
  'aws',
  '--endpoint-url',
  stage.sts.url,
  'sts',
  'get-caller-identity',
  '--output',
  'json',
];
const PROGRAM = `
  import { STSClient, GetCallerIdentityCommand } from '@aws-sdk/client-sts';
  console.log((await new STSClient({}).send(new GetCallerIdentityCommand({}))).Arn);`;

test("the AWS SDK's own chain finds them, with nothing but a line in its configuration", async () => {
  const { code, stdout, stderr } = await tool(...NODE, PROGRAM);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^arn:aws:sts::123456789012:assumed-role\/x\/local-\d+\n$/);
});

const version = spawnSync('aws', ['--version'], { encoding: 'utf8' });
const skip = version.status !== 0 && 'not tried with the AWS CLI: there is no aws on this machine';
const [, major = 0, minor = 0] = (/aws-cli\/(\d+)\.(\d+)/.exec(version.stdout ?? '') ?? []).map(Number);
/** With these came AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, as EKS Pod Identities have it. */
const isOld = major === 2 ? minor < 15 : minor < 32;
const skipRun =
  skip ||
  (isOld && `not tried in a run with this AWS CLI, which is too old for it: ${version.stdout.trim()}`);

test('so does the AWS CLI', { skip }, async () => {
  const { code, stdout, stderr } = await tool(...awsCli());
  assert.equal(code, 0, stderr);
  assert.match(JSON.parse(stdout).Arn, /assumed-role\/x\/local-\d+$/);
});

describe('mayfly run --aws', () => {
  test("is where the AWS SDK's own chain finds them, whatever else there is", async () => {
    const { code, stdout, stderr } = await run([...NODE, PROGRAM]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^arn:aws:sts::123456789012:assumed-role\/x\/local-\d+\n$/);
  });

  test('and the AWS CLI', { skip: skipRun }, async () => {
    const { code, stdout, stderr } = await run(awsCli());
    assert.equal(code, 0, stderr);
    assert.match(JSON.parse(stdout).Arn, /assumed-role\/x\/local-\d+$/);
  });

  test('gives those of an action that is had for one call at a time as well', async () => {
    const { code, stderr } = await run([...NODE, PROGRAM], ['--action', ONE_REPORT, '--arguments', GIVEN]);
    assert.equal(code, 0, stderr);
  });

  test('gives them to whoever has read the file, and nothing that lasts is in the environment', async () => {
    const { code, stdout, stderr } = await run([...NODE, LOOK]);
    assert.equal(code, 0, stderr);
    const { path, mode, without, wrong, right, text, environment, folder: left } = JSON.parse(stdout);
    assert.deepEqual([mode, without, wrong, right.status], ['600', 401, 401, 200]);
    assert.match(
      environment.AWS_CONTAINER_CREDENTIALS_FULL_URI,
      /^http:\/\/127\.0\.0\.1:\d+\/[\w-]{43}\/aws$/,
    );
    assert.deepEqual(Object.keys(right.body).sort(), [
      'AccessKeyId',
      'AccountId',
      'Expiration',
      'RoleArn',
      'SecretAccessKey',
      'Token',
    ]);
    assert.equal(environment.AWS_REGION, 'eu-central-1', 'of the action');
    const told = JSON.stringify(environment);
    for (const value of [...Object.values(LEADS_ELSEWHERE), ...secrets, text.slice(7)]) {
      assert.ok(!told.includes(value), value);
    }
    assert.ok(!existsSync(path) && !existsSync(left), 'gone with the run');
  });

  const notRoot = process.getuid?.() === 0 ? false : 'only root runs a program as somebody else';
  test('lets another user read what opens it, when the program runs as that one', {
    skip: notRoot,
  }, async () => {
    const script = 'id -un; cat "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" "$AWS_CONFIG_FILE"';
    const { code, stdout, stderr } = await run(
      ['/bin/sh', '-c', script],
      [...FOR_REPORT, '--user', 'nobody'],
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^nobody\nBearer [\w-]{43}$/);
  });

  test('is asked past the proxy of the run', async () => {
    const proxy = ['--proxy', '--resource', 'http://127.0.0.1:8421'];
    const { code, stdout, stderr } = await run([...NODE, LOOK], [...FOR_REPORT, ...proxy]);
    assert.equal(code, 0, stderr);
    const { right, environment } = JSON.parse(stdout);
    assert.equal(environment.NODE_USE_ENV_PROXY, '1');
    assert.deepEqual([right.status, typeof right.body.Token], [200, 'string']);
  });

  test('starts nothing without exactly one action of AWS, or with arguments that it does not take', async () => {
    for (const [code, why, ...options] of [
      [1, /exactly one --action.*aws:read:reports/, '--action', 'db:read:customers'],
      [1, /exactly one --action/, '--action', READ_REPORT, '--action', ONE_REPORT],
      [1, /arguments_not_accepted|arguments have to be/, '--action', READ_REPORT, '--arguments', '{}'],
      [1, /It is a JSON object/, '--action', READ_REPORT, '--arguments', '[]'],
    ] as const) {
      const outcome = await run([...NODE, 'console.log("started")'], options);
      assert.deepEqual([outcome.code, outcome.stdout], [code, ''], outcome.stderr);
      assert.match(outcome.stderr, why);
    }
    const line = ['run', '--action', READ_REPORT, '--arguments', GIVEN, '--', 'true'];
    assert.match((await commandLine(settings)(line)).stderr, /--arguments are those of the action of --aws/);
  });
});

/** What a program sees of the offer. */
const LOOK = `
  import { readFileSync, statSync } from 'node:fs';
  import { dirname } from 'node:path';
  const { AWS_CONTAINER_CREDENTIALS_FULL_URI: uri, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: path } = process.env;
  const text = readFileSync(path, 'utf8');
  const ask = (headers) => fetch(uri, { headers });
  const right = await ask({ Authorization: text });
  console.log(JSON.stringify({
    path, text, folder: dirname(path), mode: (statSync(path).mode & 0o777).toString(8), environment: process.env,
    without: (await ask({})).status, wrong: (await ask({ Authorization: 'Bearer wrong' })).status,
    right: { status: right.status, body: await right.json() },
  }));`;

test('mayfly doctor names a broker whose files are not the applied ones', async () => {
  const { code, stdout } = await commandLine(settings)(`doctor --action ${READ_REPORT}`);
  assert.equal(code, 0, stdout);
  inside = await stage.startBroker({ catalogue: { ...stage.catalogue, digest: 'another' } });
  const behind = await commandLine(settings)('doctor');
  inside = stage.broker;
  assert.equal(behind.code, 2, behind.stdout);
  assert.match(behind.stderr, /^ready: It says that it would not mint now: catalogue /);
  assert.match(behind.stdout, /^failed +catalogue +The scopes\/ of this broker are not the applied ones/m);
  assert.match(behind.stdout, /mayfly scopes apply/);
});
