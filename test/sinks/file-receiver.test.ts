import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createFileReceiver } from '../../src/sinks/file-receiver.ts';
import { sampleLog } from './sample-log.ts';

const folder = mkdtempSync(join(tmpdir(), 'mayfly-file-sink-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;
const newPath = () => join(folder, `audit-${++files}.jsonl`);

const { entries } = sampleLog(30);
const idsIn = (path: string) =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line).id);
const idsOf = (from: number, to: number) => entries.slice(from, to).map(({ document: { id } }) => id);
const accepted = { outcome: 'accepted' };

test('lines are only the owner’s to read', async () => {
  const path = newPath();
  const receiver = createFileReceiver({ path, format: 'native' });
  assert.deepEqual(await receiver.deliver(entries.slice(0, 3)), accepted);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(idsIn(path), idsOf(0, 3));
  await receiver.close();
});

test('a file that is moved away is followed by a new one of its name', async () => {
  const path = newPath();
  const receiver = createFileReceiver({ path, format: 'native' });
  await receiver.deliver(entries.slice(0, 3));
  renameSync(path, `${path}.1`);
  await receiver.deliver(entries.slice(3, 5));
  assert.deepEqual(idsIn(`${path}.1`), idsOf(0, 3));
  assert.deepEqual(idsIn(path), idsOf(3, 5));
  rmSync(path);
  await receiver.deliver(entries.slice(5, 6));
  assert.deepEqual(idsIn(path), idsOf(5, 6));
  renameSync(path, `${path}.2`);
  writeFileSync(path, readFileSync(`${path}.1`));
  await receiver.deliver(entries.slice(6, 7));
  assert.deepEqual(idsIn(path), [...idsOf(0, 3), ...idsOf(6, 7)], 'also when somebody else made the new one');
  await receiver.close();
});

test('a file that is emptied in place goes on from its beginning', async () => {
  const path = newPath();
  const receiver = createFileReceiver({ path, format: 'native' });
  await receiver.deliver(entries.slice(0, 3));
  truncateSync(path, 0);
  await receiver.deliver(entries.slice(3, 5));
  assert.deepEqual(idsIn(path), idsOf(3, 5));
  await receiver.close();
});

test('after a crash a torn line is cut off, and no line stands twice, wherever it was torn', async () => {
  const whole = newPath();
  const first = createFileReceiver({ path: whole, format: 'native' });
  await first.deliver(entries.slice(0, 2));
  const before = statSync(whole).size;
  await first.deliver(entries.slice(2, 5));
  await first.close();
  const bytes = readFileSync(whole);
  for (let end = before; end <= bytes.length; end += 7) {
    const path = newPath();
    writeFileSync(path, bytes.subarray(0, end));
    const receiver = createFileReceiver({ path, format: 'native' });
    assert.deepEqual(await receiver.deliver(entries.slice(2, 5)), accepted);
    assert.deepEqual(await receiver.deliver(entries.slice(5, 8)), accepted);
    assert.deepEqual(idsIn(path), idsOf(0, 8), `torn at ${end}`);
    await receiver.close();
  }
});

test('whoever writes beside the broker cuts nothing off, and writes again what is asked', async () => {
  const path = newPath();
  const broker = createFileReceiver({ path, format: 'native' });
  await broker.deliver(entries.slice(0, 3));
  const beside = createFileReceiver({ path, format: 'native', repair: false });
  assert.deepEqual(await beside.deliver(entries.slice(1, 3)), accepted);
  assert.deepEqual(await broker.deliver(entries.slice(3, 4)), accepted);
  assert.deepEqual(idsIn(path), [...idsOf(0, 3), ...idsOf(1, 3), ...idsOf(3, 4)]);
  await beside.close();
  appendFileSync(path, '{"id":"half');
  assert.deepEqual(await beside.deliver(entries.slice(0, 1)), {
    outcome: 'failed',
    because: 'the last line of the file is not whole',
  });
  assert.match(readFileSync(path, 'utf8'), /half$/);
  await broker.close();
});

test('a link, a folder, a pipe and a device are no files to write to', async () => {
  const [real, link, pipe] = [newPath(), newPath(), newPath()];
  writeFileSync(real, '');
  symlinkSync(real, link);
  execFileSync('mkfifo', [pipe]);
  for (const path of [link, folder, pipe, '/dev/null']) {
    const { outcome } = await createFileReceiver({ path, format: 'native' }).deliver(entries.slice(0, 1));
    assert.equal(outcome, 'failed', path);
  }
  assert.equal(readFileSync(real, 'utf8'), '');
});

test('what was written of a batch that failed is neither torn nor there twice', async () => {
  const path = newPath();
  const receiver = createFileReceiver({ path, format: 'native' });
  await receiver.deliver(entries.slice(0, 2));
  await receiver.close();
  const again = createFileReceiver({ path, format: 'native' });
  await again.deliver(entries.slice(2, 3));
  await again.close();
  appendFileSync(path, '{"id":"to');
  assert.deepEqual(await receiver.deliver(entries.slice(2, 4)), accepted);
  assert.deepEqual(idsIn(path), idsOf(0, 4));
  await receiver.close();
});

test('both formats are one line an event', async () => {
  const path = newPath();
  const receiver = createFileReceiver({ path, format: 'ocsf' });
  await receiver.deliver(entries.slice(0, 4));
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).metadata.uid),
    idsOf(0, 4),
  );
  await receiver.close();
});
