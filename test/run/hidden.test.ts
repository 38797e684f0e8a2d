/** What is covered besides the file of a key: its folder where that is there for keys, and what `--hide` names. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { confine } from '../../src/run/confinement.ts';
import { findKeyFiles, requireInSight, requireOneWay } from '../../src/run/long-lived-keys.ts';

const top = realpathSync(mkdtempSync(join(tmpdir(), 'mayfly-hidden-')));
after(() => rmSync(top, { recursive: true }));
const key = (name: string) => JSON.stringify({ kty: 'OKP', crv: 'Ed25519', d: `the-secret-${name}` });

let folders = 0;
/** A new folder with these files. */
function folderOf(files: Readonly<Record<string, string>>): string {
  folders += 1;
  const path = join(top, String(folders));
  mkdirSync(path);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

/** As kubelet makes it: a file is a link into `..data`, and that is a link to the version of the day. */
function volume(): { path: string; exchange(): void } {
  const path = folderOf({});
  let versions = 0;
  function exchange() {
    versions += 1;
    const version = `..2026_${versions}`;
    mkdirSync(join(path, version));
    writeFileSync(join(path, version, 'agent.json'), key(String(versions)));
    symlinkSync(version, join(path, '..next'));
    renameSync(join(path, '..next'), join(path, '..data'));
  }
  exchange();
  symlinkSync('..data/agent.json', join(path, 'agent.json'));
  return { path, exchange };
}

type Found = { keyName: string; hide?: readonly string[] };
const find = ({ keyName, hide }: Found) =>
  findKeyFiles({
    keyPath: realpathSync(keyName),
    keyName,
    hide,
    dataDirectory: join(top, 'none'),
    environment: {},
  });

describe('What is covered of a key', () => {
  test('is its folder when there are keys alone in it', () => {
    const path = folderOf({
      'a.json': key('a'),
      'b.pem': '-----BEGIN PRIVATE KEY-----\n',
      'a.pub': '{"kty":"OKP"}',
    });
    assert.deepEqual(find({ keyName: join(path, 'a.json') }), { files: [], folders: [path] });
  });

  test('is its file when there is anything else in its folder, or the run starts from there', (t) => {
    const mixed = folderOf({ 'a.json': key('a'), 'password.txt': 'of a database, that the program needs' });
    const within = folderOf({ 'a.json': key('a') });
    mkdirSync(join(mixed, 'below'));
    const here = process.cwd();
    t.after(() => process.chdir(here));
    process.chdir(within);
    for (const path of [mixed, within]) {
      const keyName = join(path, 'a.json');
      assert.deepEqual(find({ keyName }), { files: [keyName], folders: [] });
    }
  });

  test('is each folder that a link to it lies in, and the whole of a volume of secrets', () => {
    const { path } = volume();
    const link = join(folderOf({}), 'link.json');
    symlinkSync(join(path, 'agent.json'), link);
    const { files, folders } = find({ keyName: link });
    assert.deepEqual([files, [...folders].sort()], [[], [join(link, '..'), path].sort()]);
  });
});

describe('What somebody wants hidden', () => {
  const keyName = join(folderOf({ 'a.json': key('a'), other: '' }), 'a.json');

  test('is covered, once where one lies in the other', () => {
    const path = folderOf({ config: 'x', credentials: 'y' });
    const hide = [join(path, 'config'), path, join(path, 'credentials')];
    assert.deepEqual(find({ keyName, hide }), { files: [keyName], folders: [path] });
  });

  test('has to be there, and around nothing that the run needs', () => {
    const path = folderOf({ program: '' });
    assert.throws(() => find({ keyName, hide: [join(path, 'nothing')] }), /There is nothing at .*nothing/);
    const keys = find({ keyName, hide: [path] });
    assert.throws(() => requireInSight(keys, [join(path, 'program')]), /program is needed/);
    requireInSight(keys, [process.execPath, tmpdir()]);
    assert.throws(
      () => requireOneWay(find({ keyName, hide: [process.cwd()] })),
      /Nothing is run from within/,
    );
  });
});

const noNamespaces =
  spawnSync('unshare', ['--user', '--map-current-user', '--mount', 'true']).status !== 0 &&
  'this machine has no user namespaces';

describe('A program that goes on while somebody outside exchanges the key', { skip: noNamespaces }, () => {
  /** Everything that it finds in that folder afterwards. */
  async function findsAfter(
    exchange: () => void,
    { folder, ...found }: Found & { folder: string },
  ): Promise<string> {
    const keys = find(found);
    const { wrap } = await confine({ keys, inherited: [], environment: {}, report: () => undefined });
    const looks = 'echo ready; read go; find -L "$1" -type f -exec cat {} +; echo over';
    const [program = '', ...args] = wrap(['/bin/sh', '-c', looks, 'sh', folder]);
    const child = spawn(program, args, { env: { PATH: '/usr/bin:/bin' }, stdio: 'pipe' });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => (said += part));
    await once(child.stdout, 'data');
    exchange();
    child.stdin.end('\n');
    await once(child, 'close');
    assert.match(said, /over/);
    return said;
  }

  test('does not see the new one in a folder of keys', async () => {
    const folder = folderOf({ 'a.json': key('old') });
    const keyName = join(folder, 'a.json');
    const next = join(folder, 'next');
    const exchange = () => {
      writeFileSync(next, key('new'));
      renameSync(next, keyName);
    };
    assert.doesNotMatch(await findsAfter(exchange, { keyName, folder }), /the-secret/);
  });

  test('does not see the next version of a volume of secrets', async () => {
    const { path, exchange } = volume();
    const said = await findsAfter(exchange, { keyName: join(path, 'agent.json'), folder: path });
    assert.doesNotMatch(said, /the-secret/);
    assert.ok(readdirSync(path).includes('..2026_2'), 'it is there');
  });

  test('does not see it in a folder with other things that was hidden', async () => {
    const folder = folderOf({ 'a.json': key('old'), other: 'mark' });
    const keyName = join(folder, 'a.json');
    const exchange = () => {
      writeFileSync(join(top, 'next'), key('new'));
      renameSync(join(top, 'next'), keyName);
    };
    assert.doesNotMatch(await findsAfter(exchange, { keyName, hide: [folder], folder }), /the-secret|mark/);
    // Without that it does, which the README says.
    assert.match(await findsAfter(exchange, { keyName, folder }), /the-secret-new/);
  });
});
