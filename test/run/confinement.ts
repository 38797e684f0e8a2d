/** Long-lived keys are not readable by the program of a run, wherever they came from and whoever runs it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { AGENT, nodeProgram, PYTHON, program, type RunOptions, type RunWorld } from './run-world.ts';

const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;

/** Without user namespaces nothing is started, which has a test of its own below. */
const noNamespaces =
  spawnSync('unshare', ['--user', '--map-current-user', '--mount', 'true']).status !== 0 &&
  'this machine has no user namespaces';
const notRoot = !isRoot && 'only root can become another user';
const asNobody = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--'];

type Attempts = Record<string, string>;

export function describeConfinement(world: () => RunWorld): void {
  describe('The confinement of a program', () => describeAll(world));
}

function describeAll(world: () => RunWorld): void {
  let folder: string;
  let key: { path: string; link: string; text: string; secret: string };

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'mayfly-keys-'));
    chmodSync(folder, 0o755);
    key = keyOf('mine', process.getuid?.() ?? 0);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** A key beside those of development, of this user. */
  function keyOf(name: string, uid: number) {
    const path = join(folder, `${name}.jwk.json`);
    copyFileSync(world().keyPath, path);
    chmodSync(path, 0o600);
    if (isRoot) chownSync(path, uid, uid);
    const link = join(folder, `${name}.link`);
    symlinkSync(path, link);
    const text = readFileSync(path, 'utf8');
    return { path, link, text, secret: String(JSON.parse(text).d) };
  }

  async function tried(given: RunOptions, { path, link, secret } = key): Promise<Attempts> {
    const { dataDirectory } = world();
    const words = [path, dataDirectory, link, secret.slice(8), String(process.pid)];
    const command = [PYTHON, program('try_to_read.py'), ...words];
    const { stdout, stderr, code } = await world().run(command, given);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  }

  const successes = (attempts: Attempts, { secret } = key) =>
    Object.entries(attempts)
      .filter(([, told]) => told.includes(secret.slice(8)))
      .map(([name]) => name);

  /** Half a key is enough to know it by. */
  function requireNothingRead(attempts: Attempts): void {
    assert.ok(Object.keys(attempts).length >= 18);
    assert.deepEqual(successes(attempts), [], JSON.stringify(attempts, null, 1));
  }

  const asAgent = ['--as', AGENT];

  describe('The key cannot be read by the program', { skip: noNamespaces, concurrency: 3 }, () => {
    const named = (path: string) => ({ options: [...asAgent, '--key', path] });
    const set = (settings: Record<string, string>) => ({ settings: { MAYFLY_AGENT: AGENT, ...settings } });

    for (const [what, given] of [
      ['a path', () => named(key.path)],
      ['a link', () => named(key.link)],
      ['a path from here', () => ({ ...named('mine.jwk.json'), directory: folder })],
      ['the environment, by a link,', () => set({ MAYFLY_AGENT_KEY_FILE: key.link })],
      [
        'another setting, as another key',
        () => set({ MAYFLY_AGENT_KEY: key.text, MAYFLY_OPERATOR_KEY_FILE: key.path }),
      ],
    ] as const) {
      test(`when ${what} names it`, async () => requireNothingRead(await tried(given())));
    }

    test('when it is that of development', async () => {
      const link = join(folder, 'development.link');
      symlinkSync(world().keyPath, link);
      const attempts = await tried({}, { ...key, path: world().keyPath, link });
      requireNothingRead(attempts);
      assert.equal(attempts['every file of the folder'], '', "nor are operators' keys and what seals others");
    });

    const noFile = () => ({ ...key, path: '/nowhere', link: '/nowhere' });
    for (const [what, given] of [
      ['in the environment', () => set({ MAYFLY_AGENT_KEY: key.text })],
      ['on standard input', () => ({ ...named('-'), input: key.text })],
    ] as const) {
      test(`when it is ${what}`, async () => requireNothingRead(await tried(given(), noFile())));
    }

    test('when it is on standard input, which is a file', async () => {
      const under = ['sh', '-c', `exec "$@" <${key.path}`, 'sh'];
      requireNothingRead(await tried({ ...named('-'), under }, noFile()));
    });
  });

  test('Without confinement the same program reads it: the attempts are real ones', async () => {
    const settings = { MAYFLY_AGENT: AGENT, MAYFLY_AGENT_KEY: key.text };
    const attempts = await tried({ settings, options: ['--expose-key'] });
    const expected = ['the file', 'the file by its link', 'every file of the folder'];
    const ofAncestors = ['the environment of each ancestor', 'the file below the root of each ancestor'];
    const found = successes(attempts);
    for (const name of [...expected, ...ofAncestors]) assert.ok(found.includes(name), `${name}: ${found}`);
  });

  test('A debugger is not opened for it, by mayfly or by what started that', {
    skip: noNamespaces,
  }, async () => {
    const attempts = await tried({ options: [...asAgent, '--key', key.path, '--expose-key'] });
    assert.ok(!successes(attempts).includes("mayfly's debugger"));
  });

  const noUser = noNamespaces || notRoot;
  test('Nor by the program of a user without privileges', { skip: noUser }, async () => {
    const other = keyOf('nobody', NOBODY);
    const options = [...asAgent, '--key', other.path, '--url', world().issuer];
    const closed = join(folder, 'closed');
    mkdirSync(closed, { mode: 0o700 });
    const settings = { MAYFLY_DATA_DIR: closed };
    requireNothingRead(await tried({ options, under: asNobody, settings }, other));
  });

  describe('With --user', { skip: notRoot }, () => {
    const show = nodeProgram(
      'const { HOME, USER } = process.env; console.log(process.getuid(), process.getgroups(), HOME, USER)',
    );

    test('the program is of that user, and cannot read the key', async () => {
      const { stdout, stderr } = await world().run(show, { options: ['--user', 'nobody'] });
      assert.match(stdout, /^65534 \[ 65534 \] \/nonexistent nobody$/m, stderr);
      requireNothingRead(await tried({ options: ['--user', 'nobody', ...asAgent, '--key', key.path] }));
      const options = ['--user', 'nobody', '--socket'];
      const command = [PYTHON, program('read_customers.py'), world().customersUrl];
      assert.equal((await world().run(command, { options })).code, 0, 'the socket is its own');
    });

    for (const [what, user, prepare, expected] of [
      ['whom there is not', 'no-such-user', () => undefined, /no user no-such-user/],
      ['who is root', 'root', () => undefined, /root reads every key/],
      ['who can read the key', 'nobody', () => chmodSync(key.path, 0o604), /could read one all the same/],
      ['who owns the key', 'nobody', () => chownSync(key.path, NOBODY, 0), /could read one all the same/],
    ] as const) {
      test(`nothing is started as one ${what}`, async (t) => {
        prepare();
        t.after(() => {
          chmodSync(key.path, 0o600);
          chownSync(key.path, 0, 0);
        });
        const options = ['--user', user, ...asAgent, '--key', key.path];
        const { code, stdout, stderr } = await world().run(show, { options });
        assert.deepEqual([code, stdout], [1, '']);
        assert.match(stderr, expected);
      });
    }
  });

  describe('Nothing is started', { skip: noNamespaces }, () => {
    async function requireRefused(expected: RegExp, given: RunOptions): Promise<void> {
      const sessions = await world().sessions();
      const { code, stdout, stderr } = await world().run(['echo', 'started'], given);
      assert.deepEqual([code, stdout], [1, ''], stderr);
      assert.match(stderr, expected);
      assert.deepEqual(await world().sessions(), sessions, 'and no session was opened');
    }
    const options = () => [...asAgent, '--key', key.path];

    test('when the key has another name, a hard link that was made before', async (t) => {
      const other = join(folder, 'other-name');
      linkSync(key.path, other);
      t.after(() => rmSync(other));
      await requireRefused(/hard link/, { options: options() });
    });

    test('when a key of development has another name', async (t) => {
      const other = join(folder, 'other-name');
      linkSync(world().keyPath, other);
      t.after(() => rmSync(other));
      await requireRefused(/hard link/, { options: options() });
    });

    test('from within the folder that is covered, where it would go on to see what is below', async () => {
      await requireRefused(/Go to another folder/, { directory: join(world().dataDirectory, 'keys') });
    });

    test('when the program would inherit an open descriptor of the key', async () => {
      const under = ['sh', '-c', `exec "$@" 9<${key.path}`, 'sh'];
      const opens = ['bash', '-c', `exec 40<${key.path}; exec "$@"`, 'bash'];
      await requireRefused(/Descriptor 40 is open/, { options: options(), under: opens });
      const closes = { options: options(), under }; // Node closes those below sixteen by itself
      assert.equal((await world().run(['cat', '/dev/fd/9'], closes)).stdout, '');
    });

    test('when its standard input is the key, and the key is said to be elsewhere', async () => {
      const under = ['sh', '-c', `exec "$@" <${key.path}`, 'sh'];
      await requireRefused(/Descriptor 0 is open/, { options: options(), under });
    });

    test('where namespaces are forbidden', async () => {
      // A limit of the system's own, which this user namespace sets to none for those within it.
      const forbidden = [
        ...['unshare', '--user', '--map-root-user', '--'],
        ...['sh', '-c', 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"', 'sh'],
      ];
      await requireRefused(/cannot be kept from long-lived keys here.*--user.*--expose-key/, {
        options: options(),
        under: forbidden,
      });
      const exposed = { options: [...options(), '--expose-key'], under: forbidden };
      const { code, stdout, stderr } = await world().run(['echo', 'started'], exposed);
      assert.deepEqual([code, stdout], [0, 'started\n']);
      assert.match(stderr, /can read the long-lived key/);
    });
  });

  test('A file that is mounted twice is covered twice', { skip: noNamespaces }, async () => {
    const elsewhere = join(folder, 'elsewhere');
    mkdirSync(elsewhere, { recursive: true });
    const mounted = [
      ...['unshare', '--user', '--map-root-user', '--mount', '--'],
      ...['sh', '-c', 'mount --bind "$0" "$1" && shift && exec "$@"', folder, elsewhere],
    ];
    const twice = { options: [...asAgent, '--key', key.path], under: mounted };
    const { stdout, stderr, code } = await world().run(
      ['sh', '-c', 'cat "$1/mine.jwk.json"; ls "$1"', 'sh', elsewhere],
      twice,
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^mine\.jwk\.json$/m, 'it is there');
    assert.ok(!stdout.includes(key.secret));
    assert.ok(existsSync(key.path));
  });
}
