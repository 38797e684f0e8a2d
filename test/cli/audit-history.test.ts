/** A log that is shown in an older state, or in another one, or under another key: what its readers remember shows it. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { until } from '../broker-process.ts';
import { createAuditWorld } from './audit-world.ts';
import { commandLine } from './command-line.ts';

const audit = await createAuditWorld();
after(() => audit.close());
const { mayfly, file } = audit;
await audit.addEntries(30);
const vkey = await audit.vkey();
const live = 'audit verify --live';

async function json(line: string): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await mayfly(`${line} -o json`);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

async function refused(
  line: string,
): Promise<{ stderr: string; reason: unknown; facts: Record<string, unknown> }> {
  const { code, stdout, stderr } = await mayfly(`${line} -o json`);
  assert.equal(code, 7, stderr);
  const facts = JSON.parse(stdout);
  assert.equal(facts.verified, false);
  return { stderr, reason: facts.reason, facts };
}

test('AUD-20: a new key is followed when the old one handed over to it, live and in a pack', async () => {
  const first = await json(`${live} --key ${vkey}`);
  assert.equal(first.key_handed_over, 0);
  const before = await audit.sizeNow();
  const owner = commandLine({ ...audit.world.environment(), MAYFLY_DATA_DIR: file('data') });
  const rotated = await owner('keys rotate --purpose log --immediately');
  assert.equal(rotated.code, 0, rotated.stderr);
  await until(async () => (await audit.vkey()) !== vkey, 'another key', 60_000);
  await audit.stopBroker();
  await audit.startBroker();
  await audit.addEntries(10);
  assert.equal(await handOvers(), 1);
  const facts = await json(live);
  assert.deepEqual([facts.key_handed_over, facts.key], [1, await audit.vkey()]);
  writeFileSync(file('pack'), (await mayfly(`audit export --since ${before}`)).stdout);
  for (const key of [vkey, await audit.vkey()]) {
    const memory = `--trust ${file(`memory-of-${key === vkey ? 'old' : 'new'}`)}`;
    assert.equal((await json(`audit verify ${file('pack')} --key ${key} ${memory}`)).verified, true);
    assert.equal((await json(`${live} ${memory}`)).verified, true);
  }
});

async function handOvers(): Promise<number> {
  const { hand_overs: notes } = JSON.parse(await (await fetch(`${audit.issuer}/v1/audit/keys`)).text());
  return notes.length;
}

test('AUD-16: a backup that was restored shows as a rollback, and as a split view once it has grown', async () => {
  const trust = `--trust ${file('auditor.json')}`;
  const live = `audit verify --live ${trust}`;
  await json(`${live} --key ${vkey}`);
  await audit.stopBroker();
  const copy = await audit.copyDatabase();
  await audit.startBroker();
  await audit.addEntries(40);
  const { log_size: seen } = await json(live);
  await audit.stopBroker();

  await audit.startBroker({ DATABASE_URL: copy.applicationUrl });
  const older = await refused(live);
  assert.equal(older.reason, 'rollback');
  assert.match(older.stderr, new RegExp(`one of ${seen} entries was seen before`));
  const { from: missing } = older.facts.first_bad_entry as { from: number };
  assert.equal(missing, (older.facts.offered as { size: number }).size);
  assert.match(older.stderr, new RegExp(`Entry ${missing}, which was there, is missing`));
  await audit.addEntries(Number(seen), copy.name);
  const other = await refused(live);
  assert.equal(other.reason, 'not-consistent');
  const { from, to } = other.facts.first_bad_entry as { from: number; to: number };
  assert.match(other.stderr, new RegExp(`split view.*The first bad entry is one of ${from} to ${to - 1}\\.`));
  assert.ok(from <= missing && missing < to && to <= Number(seen), `${from} to ${to}, and it is ${missing}`);
  assert.equal((other.facts.seen as { size: number }).size, seen);
  const pinned = await json(`audit verify --live --key ${vkey} --trust ${file('newcomer')}`);
  assert.equal(pinned.verified, true, 'who saw nothing before sees nothing');
  await audit.stopBroker();

  await audit.startBroker();
  const { seen_before: kept } = await json(live);
  assert.equal(kept, seen, 'what was refused is not remembered');
});

test('a memory that two commands change at once keeps what each of them judged', async () => {
  await audit.addEntries(5);
  const both = await Promise.all([mayfly(live), mayfly(live)]);
  for (const { code, stderr } of both) {
    assert.ok(code === 0 || (code === 2 && /Run this one again/.test(stderr)), `${code} ${stderr}`);
  }
});
