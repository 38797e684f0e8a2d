import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { lockDirectory, lockHolderPid } from '../../src/database/embedded/directory-lock.ts';
import { startOf } from '../../src/database/embedded/pid.ts';

const LOCK_MODULE = new URL('../../src/database/embedded/directory-lock.ts', import.meta.url).href;
const CONTENDERS = 8;

test('a lock is held once, names its holder, and is free after its release', async (t) => {
  const file = lockFile(t);
  const lock = await lockDirectory(file);
  assert.equal(lockHolderPid(file), process.pid);
  await assert.rejects(lockDirectory(file), { name: 'DirectoryLockedError', pid: process.pid });
  lock.release();
  assert.equal(lockHolderPid(file), null);
  (await lockDirectory(file)).release();
  assert.deepEqual(readdirSync(join(file, '..')), []);
});

test('the lock of a program that is gone is taken over', async (t) => {
  const file = lockFile(t);
  const gone = spawn('true');
  await once(gone, 'exit');
  writeHolder(file, { pid: gone.pid ?? 0, startedAt: 'some boot/1' });
  await lockDirectory(file);
  assert.equal(lockHolderPid(file), process.pid);
});

test('the lock of a program whose pid somebody else has now is taken over', async (t) => {
  const file = lockFile(t);
  writeHolder(file, { pid: process.pid, startedAt: `${startOf(process.pid)}0` });
  assert.equal(lockHolderPid(file), null);
  await lockDirectory(file);
});

test('a lock file that a power cut left empty or torn is taken over', async (t) => {
  for (const text of ['', '{"pid":', '{}', '[]', 'null', '{"id":"../../etc/x","pid":1,"startedAt":""}']) {
    const file = lockFile(t);
    writeFileSync(file, text);
    await lockDirectory(file);
    assert.equal(lockHolderPid(file), process.pid, text);
  }
});

test('a release does not remove the lock of whoever holds it now', async (t) => {
  const file = lockFile(t);
  const lock = await lockDirectory(file);
  rmSync(file); // by a careless hand
  const next = await lockDirectory(file);
  lock.release();
  assert.ok(existsSync(file));
  next.release();
});

test('a takeover that was itself killed half way is taken over, too', async (t) => {
  const file = lockFile(t);
  writeHolder(file, { id: 'aaaaaaaaaaaa', pid: 4_000_000, startedAt: 'some boot/1' });
  writeHolder(`${file}.aaaaaaaaaaaa`, { id: 'bbbbbbbbbbbb', pid: 4_000_001, startedAt: 'some boot/2' });
  await lockDirectory(file);
  assert.equal(lockHolderPid(file), process.pid);
});

test('of many programs that find the same dead holder, exactly one gets the lock', async (t) => {
  for (let round = 0; round < 3; round++) {
    const file = lockFile(t);
    writeHolder(file, { pid: 4_000_000, startedAt: 'some boot/1' });
    const contenders = Array.from({ length: CONTENDERS }, () => contend(t, file));
    await Promise.all(contenders.map(({ outcome }) => outcome('ready')));
    for (const { child } of contenders) child.stdin.write('go\n'); // all at once
    const outcomes = await Promise.all(contenders.map(({ outcome }) => outcome('won', 'lost')));
    assert.deepEqual(outcomes.toSorted(), [...Array(CONTENDERS - 1).fill('lost'), 'won']);
    const winner = contenders[outcomes.indexOf('won')];
    assert.equal(JSON.parse(readFileSync(file, 'utf8')).pid, winner?.child.pid);
    for (const { child } of contenders) child.kill('SIGKILL');
  }
});

function lockFile(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-lock-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'lock');
}

function writeHolder(file: string, holder: { id?: string; pid: number; startedAt: string }): void {
  writeFileSync(file, JSON.stringify({ id: '0123456789ab', ...holder }));
}

/** A program that waits for a word, tries, says how it went, and goes on holding what it got. */
function contend(t: TestContext, file: string) {
  const program = `import { lockDirectory } from ${JSON.stringify(LOCK_MODULE)};
    process.stdin.once('data', async () => {
      try { await lockDirectory(${JSON.stringify(file)}); console.log('won'); }
      catch (error) { console.log(error.name === 'DirectoryLockedError' ? 'lost' : error.stack); }
    });
    console.log('ready');`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  const outcome = async (...words: string[]) => {
    while (!words.some((word) => output.includes(word))) await once(child.stdout, 'data');
    return words.find((word) => output.includes(word));
  };
  return { child, outcome };
}
