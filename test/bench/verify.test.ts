import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cleanEnvironment } from '../broker-process.ts';

const BENCH = fileURLToPath(new URL('./verify.ts', import.meta.url));
const run = (...args: string[]) =>
  promisify(execFile)(process.execPath, [BENCH, ...args], { env: cleanEnvironment({}) });

/** Says nothing about how fast anything is: a machine that runs tests cannot tell. */
test('the benchmark lets every request in and prints a table', async () => {
  const { stdout } = await run('--requests', '100', '--rounds', '1');
  for (const uses of ['50 times', '5 times', 'once']) {
    assert.match(stdout, new RegExp(`^\\| ${uses} \\| \\d+ \\| \\d+ \\| \\*\\*\\d+\\.\\d+\\*\\*`, 'm'));
  }
});

test('the benchmark says what it takes when it is asked for something else', async () => {
  await assert.rejects(run('--rounds', 'many'), (error: Error & { code: number; stderr: string }) => {
    assert.equal(error.code, 1);
    assert.match(error.stderr, /npm run bench:verify -- \[--requests/);
    return true;
  });
});
