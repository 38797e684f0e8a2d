/** A program of the benchmark in a process of its own, whose end is noticed and which is surely ended. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { cleanEnvironment } from '../broker-process.ts';

const WITH_PARENT = new URL('./end-with-parent.ts', import.meta.url).href;
const START_MILLISECONDS = 30_000;
const STOP_MILLISECONDS = 15_000;

export type ChildProgram = {
  pid: number;
  child: ChildProcess;
  /** Rejects, with what it wrote, when it ends although nobody asked it to. Never resolves. */
  ended: Promise<never>;
  stop(): Promise<void>;
};

export type ChildOptions = {
  name: string;
  program: URL;
  args?: readonly string[];
  settings?: Readonly<Record<string, string>>;
  profileFolder?: string | undefined;
};

export function startProgram({ name, program, args = [], ...options }: ChildOptions): ChildProgram {
  const { settings = {}, profileFolder } = options;
  const child = fork(fileURLToPath(program), args, {
    execArgv: ['--import', WITH_PARENT, ...profiling(name, profileFolder)],
    env: cleanEnvironment({ NODE_ENV: 'production', ...settings }),
    silent: true,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      output = `${output}${chunk}`.slice(-4_000);
    });
  }
  const exit = once(child, 'exit');
  const ended = exit.then(([code, signal]) => {
    throw new Error(`${name} ended by itself (${code ?? signal}):\n${output}`);
  });
  ended.catch(() => {});

  return {
    pid: child.pid ?? 0,
    child,
    ended,
    async stop() {
      child.kill('SIGTERM');
      const impatience = setTimeout(() => child.kill('SIGKILL'), STOP_MILLISECONDS);
      if (child.exitCode === null && child.signalCode === null) await exit;
      clearTimeout(impatience);
    },
  };
}

function profiling(name: string, folder: string | undefined): string[] {
  if (folder === undefined) return [];
  return ['--cpu-prof', '--cpu-prof-dir', folder, '--cpu-prof-name', `${name}.cpuprofile`];
}

/** Resolves when something listens there. */
export async function untilListening(port: number, program: ChildProgram): Promise<void> {
  const deadline = performance.now() + START_MILLISECONDS;
  while (!(await Promise.race([isListening(port), program.ended]))) {
    if (performance.now() > deadline) throw new Error(`nothing listens on port ${port}`);
    await delay(20);
  }
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
