/** Operators at a terminal, right after `npm start`, with nothing configured: the real command, a real broker. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import {
  createPlace,
  type Place,
  type Running,
  startDevelopmentBroker,
} from '../sample/development-broker.ts';
import { type CommandLine, commandLine, type Outcome, startCommand } from './command-line.ts';
import { type DevelopmentAgent, developmentAgent } from './development-agent.ts';

let place: Place;
let broker: Running;
let mayfly: CommandLine;
let agent: DevelopmentAgent;

before(async () => {
  place = await createPlace();
  broker = await startDevelopmentBroker(place);
  mayfly = commandLine(place.settings);
  agent = await developmentAgent(place);
});
after(async () => {
  await broker?.stop();
  await place.remove();
});

/** The answer of a command that went well. */
async function json(line: string): Promise<Record<string, never>> {
  const { code, stdout, stderr } = await mayfly(`${line} -o json`);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

/** Identifiers and moments differ each time; the columns stay as wide as they are. */
function golden({ stdout }: Outcome): string {
  return stdout
    .replaceAll(/(ses|tok|rev|agt|opr)_[0-9a-z]{26}/g, (id) => `${id.slice(0, 4)}${'#'.repeat(26)}`)
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, 'TIME'.padEnd(24, '-'));
}

describe('Sessions', () => {
  test('are listed, in three formats', async () => {
    const { id } = await agent.run();
    const line = 'session list --agent report-writer';
    const time = 'TIME'.padEnd(24, '-');
    const session = `ses_${'#'.repeat(26)}`;
    assert.equal(
      golden(await mayfly(line)),
      `id                              agent          zone       state  opened_at                 expires_at\n` +
        `${session}  report-writer  analytics  open   ${time}  ${time}\n`,
    );
    const [row] = (await json(line)) as unknown as Record<string, unknown>[];
    assert.equal(row?.id, id);
    const { stdout } = await mayfly(`${line} -o jsonl`);
    assert.deepEqual(JSON.parse(stdout), row);
    assert.match(
      (await mayfly('session list --agent olivia')).stdout,
      /^id .*\n(ses_\w{26} {2}olivia .*\n)+$/,
    );
  });

  test('show what lives in them, and end: nothing is minted in them any more', async () => {
    const { id, session } = await agent.run();
    assert.equal((await json(`session show ${id}`)).live_tokens, 1);
    const tried = await json(`session revoke ${id} --reason test --dry-run`);
    assert.deepEqual([tried.dry_run, tried.sessions, tried.live_tokens], [true, 1, 1]);
    assert.equal((await json(`session show ${id}`)).state, 'open');

    const ended = await json(`session revoke ${id} --reason suspicious --yes`);
    assert.deepEqual(
      [ended.effect, ended.target, ended.reason, ended.actor],
      ['revoked', { kind: 'session', id }, 'suspicious', 'olivia'],
    );
    assert.equal((await json(`session show ${id}`)).state, 'revoked');
    assert.equal((await agent.ask(session)).code, 'session_ended');
    assert.equal((await mayfly(`session list --state ended -o jsonl`)).stdout.includes(id), true);
  });

  test('are watched until they end, a line for each change', async () => {
    const { id } = await agent.run();
    const watch = startCommand(`session watch ${id} --every-seconds 0.1 -o json`, place.settings);
    const closed = once(watch, 'close'); // it ends before the command does that ends the session
    const lines: string[] = [];
    const reader = createInterface({ input: watch.stdout }).on('line', (line) => lines.push(line));
    await Promise.race([once(reader, 'line'), closed]);
    const { code } = await mayfly(`session revoke ${id} --reason test --yes`);
    assert.equal(code, 0);
    assert.deepEqual(await closed, [0, null]);
    assert.deepEqual(
      lines.map((line) => [JSON.parse(line).id, JSON.parse(line).state]),
      [
        [id, 'open'],
        [id, 'revoked'],
      ],
    );
  });

  test('are watched together, until none is open', async () => {
    const runs = [await agent.run(), await agent.run()];
    const watch = startCommand(
      'session watch --agent report-writer --every-seconds 0.1 -o table',
      place.settings,
    );
    const closed = once(watch, 'close');
    let told = '';
    watch.stdout.setEncoding('utf8').on('data', (part: string) => {
      told += part;
    });
    await Promise.race([once(watch.stdout, 'data'), closed]);
    const { code } = await mayfly('agent revoke report-writer --reason test --yes');
    assert.equal(code, 0);
    assert.deepEqual(await closed, [0, null]);
    assert.equal((await mayfly('session watch')).stdout, '', 'only operators have sessions');
    for (const { id } of runs) {
      assert.match(told, new RegExp(`^${id}  report-writer  analytics  open$`, 'm'));
      assert.match(told, new RegExp(`^${id}  report-writer  analytics  revoked$`, 'm'));
    }
    assert.match(told, /^id +agent +zone +state\n/);
    assert.equal(told.match(/^id /gm)?.length, 1, 'one header');
  });

  test('of operators end with the command that opened them', async () => {
    await json('kill list');
    const open: unknown = await json('session list --agent olivia --state open');
    assert.equal((open as object[]).length, 1, 'that of the list itself');
  });

  test('that do not exist cannot be watched', async () => {
    assert.equal((await mayfly('session watch ses_nothing')).code, 1);
  });
});

describe('Tokens', () => {
  test('are shown and revoked one by one; the session goes on', async () => {
    const { jti, session } = await agent.run();
    const shown = await json(`token show ${jti}`);
    assert.deepEqual([shown.agent, shown.actions], ['report-writer', ['db:read:customers']]);
    assert.equal((await json(`token revoke ${jti} --reason test --yes`)).effect, 'revoked');
    assert.equal((await json(`token revoke ${jti} --reason test --yes`)).effect, 'none');
    assert.notEqual((await json(`token show ${jti}`)).state, shown.state);
    assert.equal(typeof (await agent.ask(session)).access_token, 'string');
  });
});

describe('Agents', () => {
  test('are stopped by one operator and released by another', async () => {
    const { session } = await agent.run();
    const stopped = await json('agent quarantine report-writer --reason test --yes');
    assert.equal(stopped.standing, true);
    assert.equal((await agent.ask(session)).code, 'agent_stopped');
    const listed = (await mayfly('agent list --stopped true')).stdout.trim().split('\n');
    assert.equal(listed.length, 2);
    assert.match(listed[1] ?? '', new RegExp(`^report-writer .* ${stopped.id}$`));

    const released = await json('agent release report-writer --reason test --yes --as omar');
    assert.deepEqual([released.releases, released.actor], [stopped.epoch, 'omar']);
    assert.equal((await agent.ask(session)).code, 'session_ended');
    await agent.run();
    const again = await mayfly('agent release report-writer --reason test --yes');
    assert.deepEqual([again.code, again.stdout], [1, '']);
    assert.match(again.stderr, /^nothing_to_release: /);
  });

  test('lose everything that they have so far, and may begin anew', async () => {
    const { session } = await agent.run();
    assert.equal((await json('agent revoke report-writer --reason test --yes')).effect, 'revoked');
    assert.equal((await agent.ask(session)).code, 'session_ended');
    assert.equal((await json('agent show report-writer')).name, 'report-writer');
    await agent.run();
  });

  test('are no operators: their keys open nothing here', async () => {
    const { code, stdout, stderr } = await mayfly('session list --as report-writer');
    assert.deepEqual([code, stdout], [5, '']);
    assert.match(stderr, /^invalid_scope: .* \(request req_\w{26}\)\n$/);
  });
});

test('a key that the broker made for somebody else opens nothing', async () => {
  const key = `${place.configuration.dataDirectory}/keys/omar.jwk.json`;
  const { code, stderr } = await mayfly(`session list --as olivia --key ${key}`);
  assert.equal(code, 3);
  assert.match(stderr, /^invalid_client: /);
});

test('verifiers are listed, by their columns when there is none', async () => {
  const { code, stdout } = await mayfly('verifier list --state live');
  assert.equal(code, 0);
  assert.match(stdout, /^instance +resource +state +applied_epoch +lag_epochs +lag_seconds +lease_seconds/);
});

test('signing keys are listed', async () => {
  const { stdout } = await mayfly('signing-key list --purpose ledger -o jsonl');
  assert.equal(JSON.parse(stdout.split('\n')[0] ?? '').purpose, 'ledger');
});
