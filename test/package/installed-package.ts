/**
 * What somebody gets who installs the package: packed by npm, laid out as npm lays it out, beside the dependencies
 * that this checkout has. Only the download is left out.
 */
import { execFile, execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cleanEnvironment } from '../broker-process.ts';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const PACKED = [
  'src',
  'examples',
  'migrations',
  'scopes',
  'package.json',
  'build.js',
  'tsconfig.json',
  'tsconfig.build.json',
];
const PACKED_IF_THERE = ['openapi.yaml', 'CHANGELOG.md', 'SECURITY.md', 'LICENSE', 'README.md'];

export type Installed = {
  /** Of all that was made here, to be removed. */
  folder: string;
  /** Of the project that the package was installed in. */
  project: string;
  /** Of what is in the package. */
  paths: string[];
};

/** Which broker, and which Node: the path of its program. */
export type Where = { issuer: string; node: string };

export function installPackage(): Installed {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-pack-'));
  const checkout = join(folder, 'checkout');
  mkdirSync(checkout);
  const present = readdirSync(ROOT);
  for (const name of [...PACKED, ...PACKED_IF_THERE.filter((file) => present.includes(file))]) {
    cpSync(join(ROOT, name), join(checkout, name), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(checkout, 'node_modules'));
  run('npm', ['pack', '--silent', '--pack-destination', folder], checkout);
  const project = join(folder, 'project');
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '';
  return { folder, project, paths: unpack(join(folder, tarball), project) };
}

function unpack(tarball: string, project: string): string[] {
  const modules = join(project, 'node_modules');
  const home = join(modules, 'mayfly');
  mkdirSync(join(modules, '.bin'), { recursive: true });
  mkdirSync(home);
  const names = run('tar', ['-xzvf', tarball, '-C', home, '--strip-components=1'], project)
    .trim()
    .split('\n');
  for (const name of readdirSync(join(ROOT, 'node_modules'))) {
    if (!name.startsWith('.')) symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
  }
  const { bin } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  symlinkSync(join('..', 'mayfly', bin.mayfly), join(modules, '.bin', 'mayfly'));
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
  return names.map((name) => name.replace(/^package\//, ''));
}

/** @returns what it wrote to its standard output @throws {Error} with both streams, when it fails */
export function run(
  command: string,
  args: readonly string[],
  cwd: string,
  settings: Readonly<Record<string, string>> = {},
): string {
  return execFileSync(command, args, {
    cwd,
    env: cleanEnvironment(settings),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/**
 * The same beside servers of this test: whoever blocks does not see that they close a connection that was idle for
 * long, and asks on it once more.
 */
export async function runBeside(...[command, args, cwd, settings = {}]: Parameters<typeof run>) {
  const { stdout } = await promisify(execFile)(command, args, { cwd, env: cleanEnvironment(settings) });
  return stdout;
}
