/** A broker in a process of its own, started the way that people start it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FOLDER_VARIABLE } from './test-cluster.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const LAUNCHER = fileURLToPath(new URL('../src/launch.js', import.meta.url));
const UP = /mayfly is up: (\S+?),? /;

export type BrokerProcess = {
  child: ChildProcess;
  pid: number;
  /** Everything that it wrote so far, both streams. */
  output(): string;
  /** Where it listens; rejects with the output when it ends before. */
  url: Promise<string>;
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
};

/**
 * Ports that nobody uses: the broker's, one more for the sample server, nine more for metrics. Below those that
 * systems hand out to whoever asks for any, or one of them would be somebody's before the broker comes to it; and
 * above the last that `fetch` refuses to call (10080, https://fetch.spec.whatwg.org/#port-blocking).
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const first = randomInt(1_100, 3_200) * 10;
    if (isHandedOut(first)) continue;
    const tried = await Promise.allSettled([first, first + 1, first + 9].map(listenOnce));
    if (tried.every(({ status }) => status === 'fulfilled')) return first;
  }
}

/** Each once a run: between looking and listening, a file that runs beside this one may look, too. */
function isHandedOut(port: number): boolean {
  const folder = process.env[FOLDER_VARIABLE];
  if (folder === undefined) return false;
  try {
    mkdirSync(join(folder, `port-${port}`));
    return false;
  } catch {
    return true;
  }
}

async function listenOnce(port: number): Promise<void> {
  const server = createServer();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  server.close();
  await once(server, 'close');
}

/** Nothing of this run's own settings gets into the child. */
export function cleanEnvironment(settings: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(MAYFLY_|DATABASE_URL|NODE_TEST|npm_)/.test(name),
  );
  return { ...Object.fromEntries(inherited), ...settings };
}

export function startBrokerProcess(options: {
  settings: Readonly<Record<string, string>>;
  /** Through npm, as the README says, instead of node alone. */
  npm?: boolean;
  /** In a process group of its own, so that a test can press Ctrl-C. */
  ownGroup?: boolean;
  /** Where its standard output goes instead: a file that is open. What it wrote there is not in `output`. */
  stdout?: number;
}): BrokerProcess {
  const { settings, npm = false, ownGroup = false, stdout = 'pipe' } = options;
  const [command, args] = npm ? ['npm', ['start', '--silent']] : [process.execPath, [LAUNCHER, 'start']];
  const child = spawn(command, args, {
    cwd: ROOT,
    env: cleanEnvironment(settings),
    detached: ownGroup,
    stdio: ['pipe', stdout, 'pipe'],
  });
  let text = '';
  let announce: () => void = () => {};
  const collect = (chunk: Buffer) => {
    text += chunk.toString();
    announce();
  };
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);

  const exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
  const url = new Promise<string>((resolve, reject) => {
    announce = () => {
      const match = UP.exec(text);
      if (match?.[1] !== undefined) resolve(match[1]);
    };
    exited.then(({ code }) => reject(new Error(`the broker ended with ${code}:\n${text}`)));
  });
  url.catch(() => {});
  return { child, pid: child.pid ?? 0, output: () => text, url, exited };
}

/** Waits for a condition, not for a time. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  withinMilliseconds = 20_000,
): Promise<void> {
  const deadline = performance.now() + withinMilliseconds;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
