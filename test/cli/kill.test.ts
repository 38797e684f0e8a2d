/** The kill switch from the command line, on a broker that was just started. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { newSigningKey } from '../audit/sample-log.ts';
import { until } from '../broker-process.ts';
import {
  createPlace,
  type Place,
  type Running,
  runMayfly,
  startDevelopmentBroker,
} from '../sample/development-broker.ts';
import { type CommandLine, commandLine } from './command-line.ts';
import { type DevelopmentAgent, developmentAgent } from './development-agent.ts';

const folder = mkdtempSync(join(tmpdir(), 'mayfly-cli-'));
const keysFile = join(folder, 'keys.json');
const receiptFile = join(folder, 'receipt.json');

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
  rmSync(folder, { recursive: true });
});

async function json(line: string): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await mayfly(`${line} -o json`);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

describe('mayfly kill', () => {
  test('refuses what names nothing, and never takes it for everything', async () => {
    for (const line of [
      'kill engage --reason test --yes',
      'kill engage zone --reason test --yes',
      'kill engage all analytics --reason test --yes',
      'kill engage everything --reason test --yes',
      'kill engage zone analitics --reason test --yes',
      'kill engage zone analytics --yes',
      'kill engage zone analytics --reason test --yes --wait-seconds 31',
      'kill release rev_unknown --reason test --yes',
      'kill preview zone analitics',
    ]) {
      const { code, stdout } = await mayfly(line);
      assert.deepEqual([code, stdout], [1, ''], line);
    }
    assert.deepEqual(await json('kill list'), []);
  });

  test('says beforehand what it would hit, and changes nothing', async () => {
    await agent.run();
    const preview = await json('kill preview zone analytics');
    assert.deepEqual(preview.target, { kind: 'zone', id: 'analytics' });
    assert.equal(preview.sessions, 1);
    assert.deepEqual(await json('kill engage zone analytics --reason test --dry-run'), preview);
    assert.deepEqual(await json('kill list'), []);
  });

  test('stops everything until another operator releases it', async () => {
    const { session } = await agent.run();
    const { stdout, stderr } = await mayfly('kill engage all --reason test --yes -o json');
    assert.match(stderr, /^Stopped: no enforcement point holds a lease now\. .*\n$/);
    const killed = JSON.parse(stdout);
    assert.deepEqual([killed.effect, killed.target, killed.actor], ['engaged', { kind: 'all' }, 'olivia']);
    assert.equal((await agent.askAnew()).code, 'agent_stopped');

    const listed = (await mayfly('kill list --state engaged')).stdout.split('\n');
    assert.match(listed[0] ?? '', /^id +target\.kind +target\.id +actor +at +released\.at +reason$/);
    assert.match(listed[1] ?? '', new RegExp(`^${killed.id} +all +- +olivia +\\S+Z +- +test$`));
    assert.equal((await json(`kill show ${killed.id}`)).released, null);
    const receipt = await json(`receipt show ${killed.id}`);
    const { audit: _placed, ...again } = await json(`kill receipt ${killed.id}`);
    const { audit: _perhapsNotYet, ...first } = receipt;
    assert.deepEqual(first, again);
    writeFileSync(receiptFile, JSON.stringify(receipt));

    const also = await json('kill engage zone support --reason more --yes');
    const shown = (await mayfly(`kill release ${also.id} --reason test --dry-run`)).stdout;
    assert.match(
      shown,
      new RegExp(`^still_stopped 1 +id ${killed.id}, target all, actor olivia, reason test$`, 'm'),
    );
    await json(`kill release ${also.id} --reason test --yes --as omar`);

    const own = await mayfly(`kill release ${killed.id} --reason test --yes`);
    assert.equal(own.code, 5);
    assert.match(own.stderr, /^another_person_needed: /);
    const released = await json(`kill release ${killed.id} --reason test --yes --as omar`);
    assert.equal(released.effect, 'released');
    assert.deepEqual(await json('kill list --state engaged'), []);
    assert.equal((await agent.ask(session)).code, 'session_ended');
    await agent.run();
  });
});

describe('With enforcement points', () => {
  let server: Running;
  before(async () => {
    server = runMayfly('resource-server', place);
    await server.says('answers.');
  });
  after(() => server.stop());

  const live = async () => {
    const rows: unknown = await json('verifier list --state live');
    return rows as { instance: string; resource: string; applied_epoch: number }[];
  };

  test('a kill is complete when each of them has applied it, and names them', async () => {
    await until(async () => (await live()).length === 3, 'three live verifiers');
    const killed = await json('kill engage zone support --reason test --yes --wait-seconds 30');
    assert.equal(killed.complete, true);
    const verifiers = killed.verifiers as { instance: string; applied_at?: string }[];
    assert.deepEqual(
      verifiers.map(({ instance }) => instance).sort(),
      (await live()).map(({ instance }) => instance).sort(),
    );
    assert.ok(verifiers.every(({ applied_at }) => applied_at !== undefined));
    const again = await json('kill engage zone support --reason test --yes');
    assert.deepEqual([again.effect, again.id], ['none', killed.id]);
    await json(`kill release ${killed.id} --reason test --yes --as omar`);
  });

  test('the switch is tested on a canary, now, and the result is told', async () => {
    const { last, missed } = await json('kill drill --now');
    assert.equal(missed, false);
    const drill = last as { result: string; verifiers: { accepted_at: string; refused_at: string }[] };
    assert.equal(drill.result, 'passed');
    assert.equal(drill.verifiers.length, 3);
    assert.equal((await json('kill drill')).missed, false);
  });

  test('one that does not answer is named, with the moment at which it stops; it is engaged all the same', async () => {
    server.child.kill('SIGSTOP');
    const line = 'kill engage zone support --reason test --yes --wait-seconds 0 -o jsonl';
    const { code, stdout, stderr } = await mayfly(line);
    server.child.kill('SIGCONT');
    assert.equal(code, 0, stderr);
    assert.match(
      stderr,
      /^Not yet proved: it is in force, and 3 of 3 enforcement points did not say in time .* the last by \d\d:\d\d:\d\dZ\.\n$/,
    );
    const killed = JSON.parse(stdout);
    assert.deepEqual([killed.effect, killed.complete], ['engaged', false]);
    assert.ok(killed.verifiers.every(({ stops_at }: { stops_at?: string }) => stops_at !== undefined));
    await until(async () => (await json(`kill show ${killed.id}`)).complete === true, 'complete');
    await json(`release ${killed.id} --reason test --yes --as omar`);
  });
});

describe('When no broker answers', () => {
  const around = '--database-url --reason test --yes -o json';
  const engageWith = ({ reason = 'test', as = 'ada' }) =>
    ['kill', 'engage', 'all', '--database-url', '--yes', '--reason', reason, '--as', as] as const;

  test('the switch is engaged and released straight at the database, by two people', async () => {
    broker.child.kill('SIGSTOP'); // its Postgres goes on
    const killed = await mayfly(`kill all ${around} --as ada`);
    broker.child.kill('SIGCONT');
    assert.equal(killed.code, 0, killed.stderr);
    assert.match(killed.stderr, /^(Not yet proved|Stopped): /);
    const { id, actor, effect } = JSON.parse(killed.stdout);
    assert.deepEqual([actor, effect], ['break-glass:ada', 'engaged']);
    assert.equal((await agent.askAnew()).code, 'agent_stopped');
    assert.equal((await json(`kill show ${id}`)).released, null);

    assert.equal((await mayfly(`kill release ${id} ${around} --as ada`)).code, 5);
    assert.equal((await mayfly(`release ${id} ${around} --as grace`)).code, 0);
    await agent.run();
  });

  test('what is misspelt, only tried, or not agreed to changes nothing', async () => {
    for (const line of [
      `kill engage zone analitics ${around}`,
      `kill engage all x ${around}`,
      `kill engage all ${around} --dry-run`,
      'kill engage all --database-url --reason test',
      `kill engage all --database-url nonsense --reason test --yes`,
      `kill release rev_unknown ${around}`,
      engageWith({ reason: 'one\ntwo' }),
      engageWith({ reason: '\u001b[31mred' }),
      engageWith({ reason: 'x'.repeat(501) }),
      engageWith({ as: 'break-glass:ada' }),
    ]) {
      const { code, stdout } = await mayfly(line);
      assert.deepEqual([code, stdout], [1, ''], String(line));
    }
    assert.deepEqual(await json('kill list --state engaged'), []);
    const { stderr } = await mayfly('kill engage all --database-url --reason test');
    assert.match(stderr, /say --yes\.\n$/, 'and not --dry-run, which there is none of');
  });

  test('and whoever asked for a broker is told of the other way', async () => {
    const { code, stderr } = await mayfly('kill engage all --reason test --yes --url http://127.0.0.1:9');
    assert.equal(code, 4);
    assert.match(stderr, /--database-url/);
  });
});

describe('mayfly receipt verify', () => {
  const verify = `receipt verify ${receiptFile} --keys ${keysFile}`;
  const trust = (name: string) => `--trust ${join(folder, name)}`;
  let [vkey, shown] = ['', ''];

  test('checks that the audit log holds its entry, up to the key that was pinned, and says what it does not check', async () => {
    const unpinned = await mayfly(`${verify} -o json`);
    const { signed, entry } = JSON.parse(unpinned.stdout).audit;
    assert.deepEqual([unpinned.code, signed], [0, false]);
    assert.match(
      unpinned.stderr,
      new RegExp(`Not checked: who signed the log that holds ${entry}\\..*--log-key`),
    );
    const pinned = await mayfly(`${verify} --log-key ${vkey} ${trust('pinned')} -o json`);
    const { audit } = JSON.parse(pinned.stdout);
    assert.deepEqual([pinned.code, pinned.stderr, audit.signed, audit.entry], [0, '', true, entry]);
    const again = await mayfly(`${verify} ${trust('pinned')} -o json`);
    assert.equal(JSON.parse(again.stdout).audit.compared_with_memory, true);
    const bare = JSON.stringify({ ...JSON.parse(readFileSync(receiptFile, 'utf8')), audit: null });
    const early = await mayfly(`receipt verify - --keys ${keysFile} --log-key ${vkey} -o json`, bare);
    assert.deepEqual(
      [early.code, JSON.parse(early.stdout).genuine, JSON.parse(early.stdout).audit],
      [0, true, undefined],
    );
    assert.match(early.stderr, /Not checked: the audit log had no place for its entry yet/);
  });

  test('ends with 7 when the log and the receipt do not say the same, or another log is shown', async () => {
    const answer = JSON.parse(readFileSync(receiptFile, 'utf8'));
    const { audit } = answer;
    const lines = String(audit.proof).split('\n');
    const other = newSigningKey(vkey.replace(/\+.*/, ''));
    const forgeries: [forged: unknown, said: RegExp][] = [
      [{ ...audit, entry: { ...audit.entry, actor: 'omar' } }, /another actor/],
      [
        { ...audit, entry: { ...audit.entry, details: { ...audit.entry.details, epoch: 1 } } },
        /another epoch/,
      ],
      [{ ...audit, entry: { ...audit.entry, at: '2026-01-01T00:00:00.000000Z' } }, /does not hold/],
      [{ ...audit, id: 'aud_other' }, /another entry/],
      [{ ...audit, entry: null }, /no entry/],
      [
        { ...audit, proof: lines.with(1, `index ${Number(lines[1]?.slice(6)) + 1}`).join('\n') },
        /does not hold/,
      ],
      [{ ...audit, proof: '' }, /no proof/],
      ['audit', /no entry/],
    ];
    for (const [forged, said] of forgeries) {
      const text = JSON.stringify({ ...answer, audit: forged });
      const { code, stdout, stderr } = await mayfly(`receipt verify - --keys ${keysFile}`, text);
      assert.deepEqual([code, stdout], [7, ''], stderr);
      assert.match(stderr, said);
    }
    const stranger = await mayfly(`${verify} --log-key ${other.key.vkey} ${trust('stranger')}`);
    assert.deepEqual([stranger.code, stranger.stdout], [7, '']);
    assert.match(stranger.stderr, /wrong key/);
    const forked = JSON.parse(readFileSync(join(folder, 'pinned'), 'utf8'));
    forked.newest.root = Buffer.alloc(32).toString('base64');
    writeFileSync(join(folder, 'forked'), JSON.stringify(forked));
    const split = await mayfly(`${verify} ${trust('forked')}`);
    assert.deepEqual([split.code, split.stdout], [7, '']);
    assert.match(split.stderr, /split view/);
  });

  test('a receipt is shown to people with the name of its entry, and not with the proof of it', () => {
    assert.match(shown, /^audit +aud_\S+, entry \d+ of the log; -o json/m);
    assert.doesNotMatch(shown, /\\u\{a\}|tlog-proof/);
  });

  before(async () => {
    const { issuer } = place.configuration;
    const keys = await fetch(`${issuer}/.well-known/mayfly-ledger-jwks.json`);
    writeFileSync(keysFile, await keys.text());
    const { id } = JSON.parse(readFileSync(receiptFile, 'utf8'));
    const isCited = async () => {
      const answer = await json(`receipt show ${id}`);
      writeFileSync(receiptFile, JSON.stringify(answer));
      return answer.audit !== null;
    };
    await until(isCited, 'a place in the log', 60_000);
    shown = (await mayfly(`receipt show ${id}`)).stdout;
    const log = (await (await fetch(`${issuer}/v1/audit/keys`)).json()) as { keys: { vkey: string }[] };
    vkey = log.keys.at(-1)?.vkey ?? '';
    await broker.stop(); // nobody is asked
  });

  test('says what a genuine receipt states, out of a file or a pipe', async () => {
    const stated = await json(verify);
    assert.deepEqual([stated.genuine, stated.target, stated.standing], [true, { kind: 'all' }, true]);
    assert.equal(stated.iss, place.configuration.issuer);
    assert.match(String(stated.in_force_everywhere_at), /^\d{4}-.*Z$/);
    const text = (await mayfly(verify)).stdout;
    assert.match(text, /^genuine +yes\n/);
    const { receipt } = JSON.parse(readFileSync(receiptFile, 'utf8'));
    const piped = await mayfly(`receipt verify --keys ${keysFile}`, `${receipt}\n`);
    assert.deepEqual([piped.code, piped.stdout], [0, text.replace(/^audit\..*\n/gm, '')]);
    assert.match(piped.stderr, /Not checked: the audit log is not named with it/);
  });

  test('ends with 7 for what was altered, is something else, or is of somebody else', async () => {
    const { receipt } = JSON.parse(readFileSync(receiptFile, 'utf8')) as { receipt: string };
    const [header = '', payload = '', signature = ''] = receipt.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const forged = Buffer.from(JSON.stringify({ ...claims, verifiers: [], epoch: 9 })).toString('base64url');
    for (const text of [
      `${header}.${forged}.${signature}`,
      `${receipt}x`,
      '',
      '{}',
      'nonsense',
      JSON.stringify({ receipt: 7 }),
    ]) {
      const { code, stdout } = await mayfly(`receipt verify - --keys ${keysFile}`, text);
      assert.deepEqual([code, stdout], [7, ''], text);
    }
    const other = await mayfly(`${verify} --url https://broker.example.com`);
    assert.equal(other.code, 7);
    assert.match(other.stderr, /was to be one of https:\/\/broker\.example\.com/);
    writeFileSync(join(folder, 'none.json'), '{"keys":[]}');
    assert.equal((await mayfly(`receipt verify ${receiptFile} --keys ${join(folder, 'none.json')}`)).code, 7);
  });

  test('ends with 1 where it was not told what to look at', async () => {
    for (const line of [
      `receipt verify ${receiptFile}`,
      `receipt verify /does/not/exist --keys ${keysFile}`,
      `receipt verify ${receiptFile} --keys ${folder}`,
    ])
      assert.equal((await mayfly(line)).code, 1, line);
    const { code, stderr } = await mayfly(['receipt', 'verify', '/none/\u001b[31m', '--keys', keysFile]);
    assert.deepEqual([code, stderr], [1, '/none/\\u{1b}[31m cannot be read (ENOENT).\n']);
  });
});
