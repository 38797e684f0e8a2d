/** A checkout as somebody has who has just cloned this, and the terminals in which he types. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanEnvironment, freePort, until } from '../broker-process.ts';
import { ROOT } from './documents.ts';

const CLONED = ['src', 'scopes', 'migrations', 'examples', 'build.js', 'package.json', 'package-lock.json'];
const CONFIGURED = ['tsconfig.json', 'tsconfig.build.json'];

/** What goes on until it is stopped, and what it says when the next step can be done. */
const GOES_ON: Readonly<Record<string, string>> = {
  'npm start': 'mayfly is up',
  'npm run resource-server': 'answers.',
};

/** Nothing is downloaded here: that the two files fit to each other is what can be seen without. */
const WITHOUT_A_NETWORK: Readonly<Record<string, string>> = {
  'npm ci': 'npm ci --dry-run --offline --ignore-scripts',
};

export type Checkout = {
  folder: string;
  /** The ports of the documents, in place of which others are free. */
  placed(text: string): string;
  /** @returns what it has printed so far, both streams @throws {Error} with that, when it fails */
  type(command: string): Promise<() => string>;
  remove(): Promise<void>;
};

export async function createCheckout(): Promise<Checkout> {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-checkout-'));
  chmodSync(folder, 0o755);
  for (const name of [...CLONED, ...CONFIGURED]) {
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const port = await freePort();
  const settings = { MAYFLY_PORT: String(port), ISSUER: `http://127.0.0.1:${port}` };
  const env = cleanEnvironment({ ...settings, npm_config_update_notifier: 'false' });
  const running: ChildProcess[] = [];

  async function type(command: string): Promise<() => string> {
    const line = WITHOUT_A_NETWORK[command] ?? command;
    const child = spawn('sh', ['-c', `exec 2>&1; ${line}`], { cwd: folder, env, detached: true });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part.replaceAll('\r\n', '\n');
    });
    const closed = once(child, 'close');
    const sign = GOES_ON[command];
    if (sign === undefined) {
      const [code] = await closed;
      if (code !== 0) throw new Error(`${command}: ${code}\n${text}`);
    } else {
      running.push(child);
      await until(() => text.includes(sign) || child.exitCode !== null, `${command} says "${sign}"`, 60_000);
      if (!text.includes(sign)) throw new Error(`${command}: ${child.exitCode}\n${text}`);
    }
    return () => text;
  }

  return {
    folder,
    type,
    placed: (text) => text.replaceAll(/\b842([0-9])\b/g, (_port, last) => String(port + Number(last))),
    async remove() {
      for (const child of running.toReversed()) await interrupt(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Ctrl-C: everything that was started in that terminal hears of it. */
async function interrupt(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.pid === undefined) return;
  const ended = once(child, 'close');
  process.kill(-child.pid, 'SIGINT');
  await ended;
}
