/** The audit log from the command line, on a real broker: read, followed, taken away, verified. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, describe, test } from 'node:test';
import { parseVerifierKey } from '../../src/audit/verifier-key.ts';
import { hasPython, python } from '../audit/python-checker.ts';
import { startTestWitness } from '../audit/test-witness.ts';
import { freePort, until } from '../broker-process.ts';
import { blocksOf, textOf } from '../documents/documents.ts';
import { createAuditWorld } from './audit-world.ts';
import { shell, startCommand } from './command-line.ts';

const audit = await createAuditWorld();
after(() => audit.close());
const { mayfly, file } = audit;
await audit.addEntries(600);
const vkey = await audit.vkey();
const pack = file('pack');

async function json(line: string): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await mayfly(`${line} -o json`);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

async function refused(line: string, message: RegExp): Promise<void> {
  const { code, stdout, stderr } = await mayfly(line);
  assert.deepEqual([code, stdout], [7, ''], stderr);
  assert.match(stderr, message);
  assert.doesNotMatch(stderr, /\n {4}at /, 'no stack');
}

/** More than a second: in that time whoever follows himself has looked a few times. */
const QUIET_LOOKS = 60;

/** With a memory of its own for each check. */
let memories = 0;
const fresh = () => {
  memories += 1;
  return `--trust ${file(`memory-${memories}.json`)}`;
};

describe('mayfly audit', () => {
  test('AUD-10: search finds entries, and nothing that they hold speaks to the terminal', async () => {
    const { code, stdout, stderr } = await mayfly('audit search --action token.consumed --limit 300');
    assert.equal(code, 0, stderr);
    assert.equal(stdout.trim().split('\n').length, 301);
    assert.match(stderr, /There are more than these 300/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    assert.doesNotMatch(stdout, /[\u0000-\u0009\u000b-\u001f\u007f]/);
    assert.equal((await mayfly('audit search --since yesterday')).code, 1);
  });

  test('show says that an entry is verified, and pins no key by itself', async () => {
    const found = await mayfly('audit search --action token.consumed --limit 1 -o jsonl');
    const { id, index } = JSON.parse(found.stdout);
    const unpinned = await mayfly(`audit show ${id}`);
    assert.deepEqual([unpinned.code, unpinned.stdout], [1, '']);
    assert.ok(unpinned.stderr.includes(vkey), unpinned.stderr);
    const shown = await json(`audit show ${id} --log-key ${vkey}`);
    assert.deepEqual([shown.verified, shown.index, shown.id], [true, index, id]);
    assert.equal((await json(`audit show ${id}`)).verified, true, 'remembered from before');
    const stranger = vkey.replace(/\+.*/, '+bf76e13a+AU0vRdAV0AZzXtvjlrR9Ggl2ZLjbfzMHwCkJmsILQPmr');
    assert.equal((await mayfly(`audit show ${id} --log-key ${stranger}`)).code, 1);
    const unknown = await mayfly('audit show aud_unknown');
    assert.deepEqual([unknown.code, unknown.stdout], [1, '']);
    assert.match(unknown.stderr, /^not_found: The broker knows nothing of an entry aud_unknown\. \(request /);
  });

  test('tail shows each entry once, in order, and does not follow itself', async () => {
    const from = await audit.sizeNow();
    const child = startCommand(`audit tail --from ${from - 3} -o jsonl --every-seconds 0.2`, audit.settings);
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    const entries = () =>
      text
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line));
    try {
      await until(() => entries().length >= 3, 'the first lines', 60_000);
      const added = await audit.addEntries(5);
      await until(
        () => entries().filter(({ index }) => index >= from && index < added).length === added - from,
        'the new lines',
        60_000,
      );
      const indexes = entries().map(({ index }) => index);
      assert.deepEqual(
        indexes,
        indexes.map((_, at) => from - 3 + at),
      );
      let [size, looks] = [0, 0];
      const isQuiet = async () => {
        const now = await audit.sizeNow();
        [size, looks] = [now, now === size ? looks + 1 : 0];
        return looks >= QUIET_LOOKS;
      };
      await until(isQuiet, 'a log that nobody adds to: looking at a look is no news', 20_000);
    } finally {
      child.kill();
    }
  });

  test('AUD-10: tail shows a line for each entry, whatever stands in it', async () => {
    const line = 'audit tail --from 300 --action token.consumed --every-seconds 0.2';
    const child = startCommand(line, audit.settings);
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    try {
      await until(() => text.split('\n').length > 100, 'a hundred lines', 60_000);
      assert.match(text, /^ +300 {2}\S+Z {2}allowed {2}token\.consumed +actor-\\u\{1b\}\[31m\d+$/m);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
      assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f]/);
    } finally {
      child.kill();
    }
  });
});

test('what the README says about checking the log can be typed as it stands', async () => {
  const [block = ''] = blocksOf(textOf('README.md'), 'sh').filter((each) => each.includes('audit export'));
  const [{ id } = { id: '' }] = await audit.world.query<{ id: string }>(
    'select entry_id as id from audit_leaves where leaf_index = 7',
  );
  // The same words for the shell, without the time that npm takes.
  const mayfly = block
    .replaceAll(/npm run mayfly (--silent )?--/g, '"$NODE" "$LAUNCHER"')
    .replace('<id>', id);
  assert.doesNotMatch(mayfly, /npm|</);
  const settings = { ...audit.settings, MAYFLY_DATA_DIR: file('newcomer') };
  const { code, stdout, stderr } = await shell(mayfly, settings);
  assert.equal(code, 0, stderr);
  assert.equal(stdout.match(/^verified +yes$/gm)?.length, 3, stdout);
});

describe('A pack', () => {
  test('that was exported is verified offline, whole or in part', async () => {
    const { code, stdout, stderr } = await mayfly('audit export --from 100 --to 520');
    assert.equal(code, 0, stderr);
    writeFileSync(pack, stdout);
    assert.equal(stdout.split('\n').length, 1 + 420 + 1);
    const line = `audit verify ${pack} --key ${vkey} ${fresh()} --url http://127.0.0.1:9`;
    const facts = await json(line);
    assert.deepEqual([facts.verified, facts.from, facts.to, facts.entries], [true, 100, 520, 420]);
    assert.equal((await mayfly(`audit verify - --key ${vkey} ${fresh()}`, stdout)).code, 0);
    assert.equal((await mayfly(`audit export --from 7 --to 6`)).code, 1);
    assert.equal((await mayfly(`audit export --to 1000000`)).code, 1);
  });

  test('SDK-12: without entries is no evidence: it is not written, and not verified', async () => {
    const { code, stdout } = await mayfly('audit export --from 7 --to 7');
    assert.deepEqual([code, stdout], [1, '']);
    const [header = ''] = readFileSync(pack, 'utf8').split('\n');
    const none = file('none');
    writeFileSync(none, `${JSON.stringify({ ...JSON.parse(header), to: 100 }).replaceAll('—', '\\u2014')}\n`);
    const trust = fresh();
    await refused(`audit verify ${none} --key ${vkey} ${trust}`, /It holds no entries/);
    assert.equal(existsSync(trust.split(' ')[1] ?? ''), false);
  });

  test('SDK-12: of which somebody takes only a part ends with an error', async () => {
    const { code, stderr } = await shell(
      '"$NODE" "$LAUNCHER" audit export | head -n 1 > header',
      audit.settings,
    );
    assert.equal(code, 1, stderr);
  });

  test('SDK-12: cut short, no file, or of a broker that does not answer, is verified by nobody', async () => {
    const whole = readFileSync(pack, 'utf8');
    for (const share of [0, 0.3, 0.7, 0.999]) {
      const part = file('cut');
      writeFileSync(part, whole.slice(0, Math.floor(whole.length * share)));
      const { code, stdout } = await mayfly(`audit verify ${part} --key ${vkey} ${fresh()} -o json`);
      assert.ok(code !== 0 && !/"verified": *true/.test(stdout), `${share}: ${code} ${stdout}`);
    }
    for (const line of [
      `audit verify ${file('not-there')} --key ${vkey} ${fresh()}`,
      `audit verify ${tmpdir()} --key ${vkey} ${fresh()}`,
      `audit verify --key ${vkey} ${fresh()} --url http://127.0.0.1:${await freePort()}`,
    ]) {
      const { code, stdout } = await mayfly(line);
      assert.ok(code !== 0, line);
      assert.doesNotMatch(stdout, /verified +yes/);
    }
  });

  const withoutPython = hasPython ? false : 'there is no python3 on this machine';
  test('is checked by a second implementation, which finds the same root', {
    skip: withoutPython,
  }, async () => {
    const part = python([readFileSync(pack, 'utf8')]);
    assert.deepEqual([part.ok, part.entries, part.root_recomputed], [true, 420, false]);
    const all = await mayfly('audit export');
    assert.equal(all.code, 0, all.stderr);
    const whole = python([all.stdout]);
    writeFileSync(file('whole'), all.stdout);
    const facts = await json(`audit verify ${file('whole')} --key ${vkey} ${fresh()}`);
    assert.deepEqual([whole.ok, whole.root_recomputed, whole.root], [true, true, facts.root]);
    assert.equal(whole.entries, facts.entries);
    const forged = all.stdout
      .split('\n')
      .with(200, all.stdout.split('\n')[201] ?? '')
      .join('\n');
    const refusal = python([forged]);
    assert.deepEqual([refusal.ok, refusal.index], [false, 199]);
  });

  test('needs a key that somebody pinned, or says on whose word', async () => {
    const trust = fresh();
    assert.equal((await mayfly(`audit verify ${pack} ${trust}`)).code, 1);
    const first = await json(`audit verify ${pack} ${trust} --trust-on-first-use`);
    assert.deepEqual([first.pinned_now, first.key], [true, vkey]);
    assert.equal((await json(`audit verify ${pack} ${trust}`)).pinned_now, undefined);
  });

  const edits: [name: string, edit: (lines: string[]) => string[], message: RegExp][] = [
    [
      'edited',
      (lines) => lines.with(8, (lines[8] ?? '').replace('allowed', 'refused')),
      /entry is 107 \(line 9\), not-included/,
    ],
    ['deleted', (lines) => lines.toSpliced(8, 1), /entry is 107 \(line 9\), wrong-index/],
    ['inserted', (lines) => lines.toSpliced(8, 0, lines[7] ?? ''), /entry is 107 \(line 9\), wrong-index/],
    [
      'swapped',
      (lines) => lines.with(8, lines[20] ?? '').with(20, lines[8] ?? ''),
      /entry is 107 \(line 9\), wrong-index/,
    ],
    ['cut off', (lines) => lines.slice(0, 300), /entry is 399 \(line 301\), missing/],
    [
      'cut off within a line',
      (lines) => [...lines.slice(0, 300), (lines[300] ?? '').slice(0, 50)],
      /entry is 399 \(line 301\), malformed/,
    ],
    ['not even text', () => ['\u0000\u001b[2J'], /no pack/],
  ];
  for (const [name, edit, message] of edits) {
    test(`that was ${name} ends with 7 and names where`, async () => {
      const forged = file('forged');
      writeFileSync(forged, `${edit(readFileSync(pack, 'utf8').trimEnd().split('\n')).join('\n')}\n`);
      await refused(`audit verify ${forged} --key ${vkey} ${fresh()}`, message);
    });
  }

  test('AUD-14: of another log, or under another key, ends with 7', async () => {
    const stranger = vkey.replace(/\+.*/, '');
    const { newSigningKey } = await import('../audit/sample-log.ts');
    const other = newSigningKey(stranger).key.vkey;
    await refused(`audit verify ${pack} --key ${other} ${fresh()}`, /wrong key/);
    await refused(`audit verify ${pack} --key ${newSigningKey().key.vkey} ${fresh()}`, /wrong log/);
    const { code, stdout } = await mayfly(`audit verify ${pack} --key ${other} ${fresh()} -o json`);
    assert.deepEqual([code, JSON.parse(stdout)], [7, { verified: false, reason: 'wrong-key' }]);
  });

  test('continues what was seen before, or is archived, or is not believed', async () => {
    const trust = fresh();
    assert.equal((await mayfly(`audit verify ${pack} --key ${vkey} ${trust}`)).code, 0);
    const seen = JSON.parse(readFileSync(trust.split(' ')[1] ?? '', 'utf8')).newest.size;
    await audit.addEntries(20);
    const alone = file('alone');
    writeFileSync(alone, (await mayfly('audit export --from 0 --to 3 --since 1')).stdout);
    await refused(`audit verify ${alone} ${trust}`, new RegExp(`--since ${seen}\\.`));
    const continued = file('continued');
    writeFileSync(continued, (await mayfly(`audit export --from 0 --to 3 --since ${seen}`)).stdout);
    assert.equal((await mayfly(`audit verify ${continued} ${trust}`)).code, 0);
    await refused(`audit verify ${pack} ${trust}`, /rollback/);
    assert.equal((await mayfly(`audit verify ${pack} ${trust} --archived`)).code, 0);
  });

  test('keeps the place of entries whose text is past its retention', async () => {
    const [{ id } = { id: '' }] = await audit.world.query<{ id: string }>(
      'select entry_id as id from audit_leaves where leaf_index = 5',
    );
    await audit.tamper(`create table kept as select * from audit_entries where id = '${id}'`);
    await audit.tamper(`delete from audit_entries where id = '${id}'`);
    try {
      const short = file('short');
      const { code, stdout, stderr } = await mayfly('audit export --from 0 --to 10');
      assert.equal(code, 0, stderr);
      writeFileSync(short, stdout);
      await refused(
        `audit verify ${short} --key ${vkey} ${fresh()}`,
        /entry is 5 .*body-absent.*--bodies-from/,
      );
      const facts = await json(`audit verify ${short} --key ${vkey} ${fresh()} --bodies-from 6`);
      assert.equal(facts.texts_past_retention, 1);
      const shown = await json(`audit show ${id}`);
      assert.deepEqual([shown.verified, shown.text], [true, 'past its retention']);
    } finally {
      await audit.tamper('insert into audit_entries select * from kept');
      await audit.tamper('drop table kept');
    }
  });

  test('AUD-12: holds what stands for an entry that cannot be written', async () => {
    const index = await audit.sizeNow();
    await audit.tamper(`insert into audit_entries (id, action, outcome, details)
      values ('aud_large', 'token.consumed', 'allowed', jsonb_build_object('large', repeat('x', 70000)))`);
    const shown = await json('audit show aud_large');
    const { unwritable } = shown.details as { unwritable: string };
    assert.deepEqual([shown.verified, unwritable], [true, 'too-large']);
    const { code, stdout, stderr } = await mayfly(`audit export --from ${index}`);
    assert.equal(code, 0, stderr);
    writeFileSync(file('large'), stdout);
    assert.equal((await json(`audit verify ${file('large')} --key ${vkey} ${fresh()}`)).verified, true);
    // Every line that is left behind is to be one that is described.
    await audit.tamper(`update audit_entries set details = '{}' where id = 'aud_large'`);
  });
});

describe('A reader who insists on a witness', () => {
  test('gets a pack and an entry under a head that it has cosigned, also when a newer one is there', async () => {
    const witness = await startTestWitness('witness.example.com/w1', {
      origin: audit.origin,
      logKeys: () => [parseVerifierKey(vkey)],
    });
    try {
      await audit.stopBroker();
      await audit.startBroker({ MAYFLY_WITNESSES: witness.setting });
      await until(() => (witness.latest()?.size ?? 0) >= 600, 'it has cosigned');
      witness.insist(503);
      const size = witness.latest()?.size;
      const cosigned = async () =>
        (await (await fetch(`${audit.issuer}/v1/audit/checkpoint?cosigned=1`)).text()).split('\n')[1];
      await until(async () => (await cosigned()) === String(size), 'that is known to the broker', 60_000);
      await audit.addEntries(3);
      const insists = `--witness ${witness.key.vkey}`;
      const { code, stdout, stderr } = await mayfly(`audit export --to 10 ${insists}`);
      assert.equal(code, 0, stderr);
      writeFileSync(file('witnessed'), stdout);
      const memory = fresh();
      const facts = await json(`audit verify ${file('witnessed')} --key ${vkey} ${insists} ${memory}`);
      assert.deepEqual([facts.log_size, facts.cosigned_by], [size, [witness.key.name]]);
      const { id } = JSON.parse(JSON.parse(stdout.split('\n')[1] ?? '').document);
      const shown = await json(`audit show ${id} --log-key ${vkey} ${insists} ${memory}`);
      assert.deepEqual([shown.verified, shown.log_size], [true, size]);
    } finally {
      await witness.close();
    }
  });
});
