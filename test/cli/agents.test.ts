/** Agents at a terminal, right after `npm start`, with nothing configured: the real command, a real broker. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { decodeJwt } from 'jose';
import {
  createPlace,
  type Place,
  type Running,
  runMayfly,
  startDevelopmentBroker,
} from '../sample/development-broker.ts';
import { type CommandLine, commandLine } from './command-line.ts';

const READ = 'db:read:customers';

let place: Place;
let broker: Running;
let server: Running;
let mayfly: CommandLine;
let sample: string;
/** The private part of the agent's key. */
let secret: string;

before(async () => {
  place = await createPlace();
  broker = await startDevelopmentBroker(place);
  mayfly = commandLine(place.settings);
  server = runMayfly('resource-server', place);
  await server.says('answers');
  sample = `http://127.0.0.1:${place.configuration.samplePort}`;
  const path = join(place.configuration.dataDirectory, 'keys/report-writer.jwk.json');
  secret = JSON.parse(readFileSync(path, 'utf8')).d;
});
after(async () => {
  await server?.stop();
  await broker?.stop();
  await place.remove();
});

async function json(line: string): Promise<Record<string, never>> {
  const { code, stdout, stderr } = await mayfly([
    ...(typeof line === 'string' ? line.split(' ') : line),
    '-o',
    'json',
  ]);
  assert.deepEqual([code, stderr], [0, '']);
  return JSON.parse(stdout);
}

describe('mayfly token request', () => {
  test('says what was granted, and shows no token', async () => {
    const line = `token request --action ${READ} --action db:read:orders --ttl 60`;
    const granted = await json(line);
    const { claims, expires_at: expiresAt, ...facts } = granted as Record<string, Record<string, unknown>>;
    assert.deepEqual(facts, {
      agent: 'report-writer',
      scope: `${READ} db:read:orders`,
      resource: 'https://customers.example.com',
      expires_in_seconds: 60,
      session_id: claims?.sid,
      kid: facts.kid,
    });
    assert.ok(Date.parse(String(expiresAt)) > Date.now());
    assert.equal(claims?.client_id, 'report-writer');
    const { code, stdout, stderr } = await mayfly(line);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^scope +db:read:customers db:read:orders$/m);
    for (const text of [stdout, JSON.stringify(granted)]) {
      assert.doesNotMatch(text, /eyJ/);
      assert.ok(!text.includes(secret));
    }
  });

  test('ends its session, so that what was shown is good for nobody', async () => {
    const { access_token: token, session_id: id } = await json(`token request --action ${READ} --show`);
    assert.equal(decodeJwt(String(token)).sid, id);
    const { state } = await json(`session show ${id}`);
    assert.equal(state, 'revoked');
  });

  test('prints what one request carries, for whatever sends it', async () => {
    const line = ['token', 'request', '--action', READ, '--for', `GET ${sample}/customers`];
    async function send(...words: string[]): Promise<Response> {
      const { code, stdout, stderr } = await mayfly([...line, ...words]);
      assert.equal(code, 0, stderr);
      assert.equal(stderr, 'Good for one GET of that URL, within a minute.\n');
      const headers = stdout
        .trimEnd()
        .split('\n')
        .map((each) => each.split(': ') as [string, string]);
      return fetch(`${sample}/customers`, { headers });
    }
    const nonce = (await send()).headers.get('dpop-nonce') ?? assert.fail('the sample asks for a nonce');
    assert.equal((await send('--nonce', nonce)).status, 200);
    const elsewhere = await mayfly([
      'token',
      'request',
      '--action',
      READ,
      '--for',
      'GET http://example.com/',
    ]);
    assert.deepEqual([elsewhere.code, elsewhere.stdout], [1, '']);
    assert.match(elsewhere.stderr, /in clear/);
  });

  test('takes a key from the standard input, and warns of one that others can read', async () => {
    const path = join(place.configuration.dataDirectory, 'keys/report-writer.jwk.json');
    const line = `token request --action ${READ} --as report-writer --key -`;
    assert.equal((await mayfly(line, readFileSync(path, 'utf8'))).code, 0);
    assert.equal((await mayfly(line, 'no key')).code, 1);
  });

  test('tells a refusal as the broker does: the rule, and who could grant it', async () => {
    const { code, stdout, stderr } = await mayfly('token request --action billing:read:invoices -o json');
    assert.deepEqual([code, stdout], [5, '']);
    const { message, ...facts } = JSON.parse(stderr).error;
    assert.deepEqual([facts.code, facts.status, facts.exit_code], ['invalid_scope', 400, 5]);
    assert.match(message, /scopes\/agents\/report-writer\.yaml.*data-platform/);
    const stranger = await mayfly(
      `token request --action ${READ} --as billing-runner --key ${keyOf('olivia')}`,
    );
    assert.equal(stranger.code, 3, stranger.stderr);
    assert.match(stranger.stderr, /invalid_client/);
  });

  test('ends with 1 for a wrong command line, before anybody is asked', async () => {
    for (const line of [
      'token request',
      `token request --action ${READ} --ttl 59`,
      `token request --action ${READ} --ttl 901`,
      `token request --action ${READ} --for http://a.example`,
      `token request --action ${READ} --as nobody`,
    ]) {
      const { code, stderr } = await mayfly([...line.split(' '), '--url', 'http://127.0.0.1:9']);
      assert.equal(code, 1, `${line}: ${stderr}`);
    }
  });
});

describe('mayfly whoami', () => {
  test('says who an agent is, and what it may ask for', async () => {
    const { actions, kid, id, ...me } = await json('whoami');
    assert.equal(kid, JSON.parse(readFileSync(keyOf('report-writer'), 'utf8')).kid);
    assert.match(id ?? '', /^agt_/);
    assert.deepEqual(
      [me.issuer, me.name, me.kind, me.owner, me.zone, me.stopped_by],
      [place.configuration.issuer, 'report-writer', 'agent', 'data-platform', 'analytics', []],
    );
    const { code, stdout, stderr } = await mayfly('whoami');
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^owner +data-platform$/m);
    assert.match(stdout, /^storage:write:exports +https:\/\/storage\.example\.com +request +none/m);
    assert.equal((actions as unknown as object[]).length, 4);
  });

  test('says it of an operator, too, and to nobody who is none of them', async () => {
    const me = await json('whoami --as olivia');
    assert.deepEqual([me.name, me.kind], ['olivia', 'operator']);
    const stranger = await mayfly(`whoami --as billing-runner --key ${keyOf('olivia')}`);
    assert.deepEqual([stranger.code, stranger.stdout], [3, '']);
  });

  test('says what stops an agent, and a token is refused with the same entry in force', async () => {
    assert.equal((await mayfly('agent quarantine report-writer --yes --reason test')).code, 0);
    const { stopped_by: stoppedBy } = await json('whoami');
    assert.deepEqual(
      (stoppedBy as unknown as { target: object }[]).map(({ target }) => target),
      [{ kind: 'agent', id: 'report-writer' }],
    );
    const { code, stderr } = await mayfly(`token request --action ${READ}`);
    assert.equal(code, 5);
    assert.match(stderr, /agent_stopped/);
    const examined = await mayfly('doctor');
    assert.equal(examined.code, 5);
    assert.match(
      examined.stderr,
      /^stopped: It is stopped.* \(agent report-writer, .*mayfly agent release report-writer/,
    );
    assert.equal((await mayfly('agent release report-writer --yes --reason test --as omar')).code, 0);
  });
});

describe('mayfly doctor', () => {
  test('finds every hop good where all is well, down to the resource', async () => {
    const resource = `${sample}/customers`;
    const { code, stdout, stderr } = await mayfly(`doctor --action ${READ} --resource ${resource}`);
    assert.deepEqual([code, stderr], [0, ''], stdout);
    const lines = stdout.trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => line.slice(0, 18).trim().replace(/ +/, ' ')),
      [
        ...['name', 'tcp', 'broker', 'ready', 'clock', 'key', 'nonce', 'assertion', 'stopped', 'catalogue'],
        ...['actions', 'resource'],
      ].map((hop) => `ok ${hop}`),
    );
    assert.match(stdout, /^ok +nonce +It asked for one, and took it\.$/m);
    const { ok, failing } = await json('doctor');
    assert.deepEqual([ok, failing], [true, null]);
  });

  test('names an action that the agent may not ask for, and who could propose it', async () => {
    const { code, stderr } = await mayfly('doctor --action billing:read:invoices');
    assert.equal(code, 5);
    assert.match(
      stderr,
      /^actions: It may not ask for billing:read:invoices\. It may ask for db:read:customers /,
    );
    assert.match(stderr, /scopes\/agents\/report-writer\.yaml to its owner, data-platform/);
  });

  test('names a kill of one action, where that action is wanted, and how it is released', async () => {
    const kill = JSON.parse((await mayfly(`kill action ${READ} --yes --reason test -o json`)).stdout);
    const { code, stderr } = await mayfly(`doctor --action ${READ}`);
    assert.equal(code, 5);
    assert.match(
      stderr,
      new RegExp(`^actions: Nothing is minted for ${READ}: ${kill.id} .*mayfly release ${kill.id}`),
    );
    const other = await mayfly('doctor --action db:read:orders');
    assert.equal(other.code, 0, other.stderr);
    assert.equal((await mayfly(`release ${kill.id} --yes --reason test --as omar`)).code, 0);
  });

  test('names a key that the broker does not know', async () => {
    const { code, stderr, stdout } = await mayfly(`doctor --as report-writer --key ${keyOf('olivia')}`);
    assert.equal(code, 3);
    assert.match(
      stderr,
      /^assertion: The broker does not take us for report-writer, by a key with the kid \S+\./,
    );
    assert.match(
      stderr,
      /Compare it with scopes\/agents\/report-writer\.yaml.*mayfly agent show report-writer/,
    );
    assert.doesNotMatch(stdout, /nonce/);
  });
});

function keyOf(name: string): string {
  return join(place.configuration.dataDirectory, `keys/${name}.jwk.json`);
}
