import assert from 'node:assert/strict';
import {
  appendFileSync,
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openServerLog, shorten } from '../../src/database/embedded/server-log.ts';

function logFile(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-log-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'postgres.log');
}

test('a log that grew too long is cut while it is being written, and the older part is kept once', (t) => {
  const file = logFile(t);
  const writer = openSync(file, 'a');
  t.after(() => closeSync(writer));
  for (let round = 0; round < 3; round++) {
    writeSync(writer, `${round}`.repeat(1_000));
    shorten(file, 999);
    assert.equal(statSync(file).size, 0);
    assert.equal(readFileSync(`${file}.1`, 'utf8'), `${round}`.repeat(1_000));
  }
  writeSync(writer, 'goes on');
  assert.equal(readFileSync(file, 'utf8'), 'goes on');
});

test('a log within its bound is left as it is', (t) => {
  const file = logFile(t);
  appendFileSync(file, 'short');
  const log = openServerLog(file, { maxBytes: 5 });
  t.after(() => log.close());
  assert.equal(readFileSync(file, 'utf8'), 'short');
});

test('the tail is the last lines', (t) => {
  const file = logFile(t);
  appendFileSync(file, `${Array.from({ length: 20 }, (_, line) => `line ${line}`).join('\n')}\n`);
  const log = openServerLog(file);
  t.after(() => log.close());
  assert.equal(log.tail().split('\n')[0], 'line 12');
  assert.equal(log.tail().split('\n').at(-1), 'line 19');
});

test('a log whose folder is gone harms nobody', (t) => {
  const file = logFile(t);
  assert.doesNotThrow(() => shorten(join(file, 'gone'), 1));
});
