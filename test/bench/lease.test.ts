import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cleanEnvironment } from '../broker-process.ts';

const BENCH = fileURLToPath(new URL('./lease.ts', import.meta.url));
const run = (...args: string[]) =>
  promisify(execFile)(process.execPath, [BENCH, ...args], { env: cleanEnvironment({}) });

/** Says nothing about how fast anything is: a machine that runs tests cannot tell. */
test('the benchmark renews leases and prints a table', { skip: !existsSync('/proc/stat') }, async () => {
  const { stdout } = await run('--verifiers', '3', '--rounds', '1', '--seconds', '2');
  assert.match(
    stdout,
    /^\| 3 \| [1-9]\d* \| \*\*\d\.\d\d\*\* \(\S+\) \| \d\.\d\d \| \d+\.\d \| \d+\.\d \| 0 \|$/m,
  );
});

test('the benchmark says what it takes when it is asked for something else', async () => {
  await assert.rejects(run('--rounds', 'many'), (error: Error & { code: number; stderr: string }) => {
    assert.equal(error.code, 1);
    assert.match(error.stderr, /npm run bench:lease -- \[--verifiers/);
    return true;
  });
});
