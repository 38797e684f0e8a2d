/** Where an older Node starts the command, a newer one runs it: signals reach that one, and its end is told. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const LAUNCHER = fileURLToPath(new URL('../../src/launch.js', import.meta.url));

/** This Node in the guise of an old one, which says when it passes on signals: SIGQUIT is the last that it listens to. */
const OLD_NODE = `data:text/javascript,
  Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.0.0' } });
  process.on('newListener', (name) => name === 'SIGQUIT' && process.stdout.write('listens'));`;

for (const [signal, code] of [
  ['SIGHUP', 129],
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`interrupted by ${signal} it ends with ${code}`, async () => {
    const words = ['receipt', 'verify', '-', '--keys', 'none.json']; // waits for its standard input
    const child = spawn(process.execPath, ['--import', OLD_NODE, LAUNCHER, ...words]);
    const closed = once(child, 'close');
    await once(child.stdout, 'data');
    child.kill(signal);
    assert.deepEqual(await closed, [code, null]);
  });
}
