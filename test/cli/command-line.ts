/** `mayfly …` as somebody types it, in a process of its own, without a terminal. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cleanEnvironment } from '../broker-process.ts';

const LAUNCHER = fileURLToPath(new URL('../../src/launch.js', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Most of what a short command costs is reading its own source: once a run is enough, or once a file that runs alone. */
const COMPILED = process.env.NODE_COMPILE_CACHE ?? ownFolder();

function ownFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-cli-compiled-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export type Outcome = { code: number | null; stdout: string; stderr: string };
export type CommandLine = (line: string | readonly string[], input?: string) => Promise<Outcome>;

/** @param settings of the command's environment, and nothing else of ours */
export function commandLine(settings: Readonly<Record<string, string>>, directory = ROOT): CommandLine {
  return (line, input = '') => outcomeOf(startCommand(line, settings, directory), input);
}

async function outcomeOf(child: ChildProcessWithoutNullStreams, input: string): Promise<Outcome> {
  const outcome: Outcome = { code: null, stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    outcome.stdout += part;
  });
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    outcome.stderr += part;
  });
  child.stdin.on('error', () => undefined).end(input);
  [outcome.code] = await once(child, 'close');
  return outcome;
}

/** A program for the shell that ends with its first failure, in a folder of its own; $NODE $LAUNCHER is mayfly. */
export async function shell(program: string, settings: Readonly<Record<string, string>>): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-shell-'));
  const env = { ...environmentOf(settings), NODE: process.execPath, LAUNCHER };
  try {
    return await outcomeOf(
      spawn('bash', ['-e', '-o', 'pipefail', '-c', program], { cwd: folder, env, stdio: 'pipe' }),
      '',
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function startCommand(
  line: string | readonly string[],
  settings: Readonly<Record<string, string>>,
  directory = ROOT,
) {
  const words = typeof line === 'string' ? line.split(' ') : line;
  return spawn(process.execPath, [LAUNCHER, ...words], {
    cwd: directory,
    env: environmentOf(settings),
    stdio: 'pipe',
  });
}

function environmentOf(settings: Readonly<Record<string, string>>) {
  return { ...cleanEnvironment(settings), NODE_COMPILE_CACHE: COMPILED };
}
