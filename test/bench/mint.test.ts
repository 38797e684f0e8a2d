import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cleanEnvironment } from '../broker-process.ts';

const BENCH = fileURLToPath(new URL('./mint.ts', import.meta.url));

const needsLinux = existsSync('/proc/stat') ? false : 'processor times are read from /proc';

/** Says nothing about how fast anything is: a machine that runs tests cannot tell. */
test('the benchmark gets tokens from all three servers and prints a table', {
  skip: needsLinux,
}, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [BENCH, '--quick', '--tokens', '16'], {
    env: cleanEnvironment({}),
  });
  const cells = stdout.split('\n').map((line) => line.split(' | '));
  for (const server of ['bare floor', '**mayfly**', 'oidc-provider']) {
    const tokensPerSecond = cells.find(([, title]) => title === server)?.[2];
    assert.ok(Number(tokensPerSecond) > 0, stdout);
  }
  assert.match(stdout, /\| 8 \| CPU of mayfly ÷ CPU of the floor \|/);
});

test('the benchmark says what it takes when it is asked for something else', async () => {
  const ended = promisify(execFile)(process.execPath, [BENCH, '--rounds', 'many'], {
    env: cleanEnvironment({}),
  });
  await assert.rejects(ended, (error: Error & { code: number; stderr: string }) => {
    assert.equal(error.code, 1);
    assert.match(error.stderr, /--rounds: a whole number from 1 to 100 was expected, not "many"\n\nnpm run/);
    return true;
  });
});
