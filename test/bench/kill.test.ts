import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cleanEnvironment } from '../broker-process.ts';

const BENCH = fileURLToPath(new URL('./kill.ts', import.meta.url));

/** Says nothing about how fast anything is: a machine that runs tests cannot tell. */
test('the benchmark kills, sees every verifier refuse, and prints its tables', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [BENCH, '--quick'], {
    env: cleanEnvironment({}),
  });
  assert.match(stdout, /^\| 4 \| 2 \| 1 \| \d+ \| \d+ \| \d+ \| \d+ \|$/m);
  assert.match(stdout, /^\| 100 \| [\d.]+ \| 1\.00 \|$/m);
});
