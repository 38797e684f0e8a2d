/** Every command in what people read is there to be run, with the options that it is given. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { cleanEnvironment } from '../broker-process.ts';
import { readCompose } from '../deploy/files.ts';
import { blocksOf, codeSpansOf, DOCUMENTS, ROOT, textOf } from './documents.ts';

const run = promisify(execFile);
const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
const services = Object.keys(readCompose().services);

/** Of the system, and not ours to check. */
const TOOLS = ['cd', 'cp', 'curl', 'echo', 'export', 'git', 'node', 'pg_dump', 'psql', 'umask'];

for (const path of DOCUMENTS) {
  test(`every command in ${path} exists`, async () => {
    for (const words of commandsOf(textOf(path))) await check(words);
  });
}

test('the hints of the code name commands that exist', async () => {
  const sources = [
    'src/database/migrate.ts',
    'src/database/prepared-database.ts',
    'src/config/configuration.ts',
  ];
  for (const path of sources) {
    for (const [, command = ''] of textOf(path).matchAll(/`(mayfly [a-z -]+)\\?`/g))
      await check(split(command));
  }
});

async function check([program = '', ...args]: string[]): Promise<void> {
  const line = [program, ...args].join(' ');
  if (program === 'mayfly') return checkMayfly(args);
  if (program === 'npm') return checkNpm(args);
  if (program === 'docker') return checkDocker(args, line);
  if (program === 'npx') return assert.equal(args[0], 'node', line);
  if (program === 'sh') return assert.ok(existsSync(`${ROOT}${args[0]}`), line);
  assert.ok(TOOLS.includes(program), line);
}

async function checkNpm([verb = '', script = '', ...rest]: string[]): Promise<void> {
  if (['ci', 'pack', 'sbom'].includes(verb)) return;
  const name = verb === 'run' ? script : verb;
  assert.ok(scripts[name] !== undefined, `npm ${verb} ${script}`);
  const given = verb === 'run' ? rest : [script, ...rest];
  const [dashes, ...args] = given.filter((word) => word !== '--silent');
  if (name === 'mayfly' && dashes === '--') await checkMayfly(args);
}

function checkDocker([noun, verb = '', ...rest]: string[], line: string): void {
  assert.equal(noun, 'compose', line);
  assert.ok(['build', 'exec', 'ps', 'restart', 'run', 'stop', 'up'].includes(verb), line);
  const [service] = rest.filter((word) => !word.startsWith('--'));
  if (service !== undefined) assert.ok(services.includes(service), line);
}

async function checkMayfly(args: readonly string[]): Promise<void> {
  const path: string[] = [];
  for (const word of args) {
    if (!(await subcommandsOf(path)).includes(word)) break;
    path.push(word);
  }
  const line = `mayfly ${args.join(' ')}`;
  const isIncomplete = (await subcommandsOf(path)).length > 0;
  const next = args[path.length];
  assert.ok(!isIncomplete || next === undefined || next.startsWith('-'), `${line}: no such command`);
  const help = await helpOf(path);
  for (const option of args.filter((word) => /^--?[a-z]/.test(word))) {
    assert.match(help, new RegExp(`(^|[ ,])${option}\\b`, 'm'), `${line}: no such option`);
  }
}

async function subcommandsOf(path: readonly string[]): Promise<string[]> {
  const [, list = ''] = /^Commands:\n((?: {2}.*\n)+)/m.exec(await helpOf(path)) ?? [];
  return [...list.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map(([, name = '']) => name);
}

const helps = new Map<string, Promise<string>>();

function helpOf(path: readonly string[]): Promise<string> {
  const key = path.join(' ');
  const known = helps.get(key) ?? askForHelp(path);
  helps.set(key, known);
  return known;
}

async function askForHelp(path: readonly string[]): Promise<string> {
  const command = [`${ROOT}src/launch.js`, ...path, '--help'];
  const { stdout } = await run(process.execPath, command, { env: cleanEnvironment({}) });
  return stdout;
}

/** Word by word, out of shell blocks and of code within sentences. */
function commandsOf(text: string): string[][] {
  const lines = blocksOf(text, 'sh').flatMap((block) => block.trim().split('\n'));
  const spans = codeSpansOf(text).filter((code) => /^(mayfly|npm|docker compose|sh) \S/.test(code));
  return [...lines, ...spans]
    .flatMap((line) => line.split(/ (?:&&|\|) /))
    .map((command) => split(command.replace(/ +[#>] .*$/, '')))
    .filter((words) => words.length > 0 && words.at(-1) !== '…' && words.at(-1) !== '--');
}

function split(command: string): string[] {
  return (command.match(/'[^']*'|"[^"]*"|\S+/g) ?? []).filter((word) => !/^[A-Z_]+=/.test(word));
}
