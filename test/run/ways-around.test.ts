/** Ways to a key that go around its cover, or around the folders above it. Nothing is started where there is one. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import inspector from 'node:inspector';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { confine } from '../../src/run/confinement.ts';
import { requireNoDebugger } from '../../src/run/open-debugger.ts';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'mayfly-ways-')));
after(() => rmSync(folder, { recursive: true }));
const key = join(folder, 'key.json');
writeFileSync(key, '{}');

const DESCRIPTORS = new URL('../../src/run/open-descriptors.ts', import.meta.url).href;
const notLinux = process.platform !== 'linux' && 'there is no /proc here';

/** What a process says that was started with this open. Node closes those that follow each other by itself. */
function saidWith(path: string, descriptor: number): string {
  const keys = JSON.stringify({ files: [key], folders: [] });
  const source = `import { requireNothingOpen } from '${DESCRIPTORS}'; requireNothingOpen(${keys}, [0, 1, 2]);`;
  const line = ['-c', `exec ${descriptor}<"$0"; exec "$@"`, path, process.execPath, '--input-type=module'];
  return spawnSync('bash', [...line, '-e', source], { encoding: 'utf8' }).stderr;
}

describe('A descriptor that the program would inherit', { skip: notLinux }, () => {
  for (const [what, path, descriptor, said] of [
    ['the key', key, 40, /Descriptor 40 is open on a key/],
    ['the folder of the key, in which nothing is covered,', folder, 40, /Descriptor 40 is open on a folder/],
    ['a folder above', '/', 40, /Descriptor 40 is open on a folder/],
    ['a folder, as standard input,', folder, 0, /Descriptor 0 is open on a folder/],
    ['anything else', '/dev/null', 40, /^$/],
  ] as const) {
    test(`of ${what} is ${said.source === '^$' ? 'its own' : 'refused'}`, () => {
      assert.match(saidWith(path, descriptor), said);
    });
  }
});

describe('A debugger of Node', () => {
  for (const [options, isOne] of [
    ['--inspect', true],
    ['--enable-source-maps --inspect=9230', true],
    ['--inspect-brk', true],
    ['"--inspect-wait"', true],
    ['--inspect-port=9230', false],
    ['--max-old-space-size=500', false],
    ['', false],
  ] as const) {
    test(`in what NODE_OPTIONS says (${options}) ${isOne ? 'keeps a program from its start' : 'is none'}`, () => {
      const given = () => requireNoDebugger({ NODE_OPTIONS: options });
      if (isOne) assert.throws(given, /A debugger of Node is open/);
      else given();
    });
  }

  test('that was opened otherwise keeps a program from its start', () => {
    inspector.open(0, '127.0.0.1');
    try {
      assert.throws(() => requireNoDebugger({}), /A debugger of Node is open/);
    } finally {
      inspector.close();
    }
  });
});

test('Another user gets no key either that only the folders above keep from them, when they start below these', {
  skip: process.getuid?.() !== 0 && 'only root can become another user',
}, async (t) => {
  const below = join(folder, 'closed', 'below');
  mkdirSync(below, { recursive: true });
  chmodSync(join(folder, 'closed'), 0o700);
  const readable = join(below, 'key.json');
  writeFileSync(readable, '{}', { mode: 0o644 });
  const here = process.cwd();
  t.after(() => process.chdir(here));
  const asNobody = () =>
    confine({
      keys: { files: [readable], folders: [] },
      user: 'nobody',
      inherited: [],
      environment: {},
      report: () => undefined,
    });
  await asNobody();
  process.chdir(below);
  await assert.rejects(asNobody, /The user nobody cannot be kept from long-lived keys/);
});
