/**
 * What a newcomer gets from `npm start`: a broker in a process of its own, on the embedded Postgres, with the
 * shipped catalogue and development keys, in a folder and on ports of its own.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Configuration, readConfiguration } from '../../src/config/configuration.ts';
import { freePort } from '../broker-process.ts';

const LAUNCHER = fileURLToPath(new URL('../../src/launch.js', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export type Place = {
  settings: Record<string, string>;
  configuration: Configuration;
  remove(): Promise<void>;
};

/** A folder and ports that nobody uses; nothing runs there yet. */
export async function createPlace(): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), 'mayfly-development-'));
  const port = await freePort();
  const settings = {
    MAYFLY_DATA_DIR: join(directory, 'data'),
    MAYFLY_PORT: String(port),
    MAYFLY_SAMPLE_PORT: String(port + 1),
    MAYFLY_METRICS_PORT: String(port + 9),
  };
  return {
    settings,
    configuration: readConfiguration(settings),
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

export type Running = {
  child: ChildProcess;
  output(): string;
  /** Resolves once the output contains this. @throws when the command ends without it */
  says(text: string): Promise<void>;
  /** @returns the exit code */
  ended(): Promise<number | null>;
  /** SIGTERM, and the exit code. */
  stop(): Promise<number | null>;
};

/** `mayfly <command>` in a process of its own. */
export function runMayfly(command: string, { settings }: Place): Running {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, [LAUNCHER, command], {
    cwd: ROOT,
    env: { PATH, HOME, ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  const wake = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      for (const check of wake) check();
    });
  }
  const exited = once(child, 'close') as Promise<[number | null]>;

  async function ended(): Promise<number | null> {
    const [code] = await exited;
    return code;
  }

  return {
    child,
    output: () => text,
    ended,
    async says(expected) {
      const said = new Promise<void>((resolve) => {
        const check = () => text.includes(expected) && resolve();
        wake.add(check);
        check();
      });
      const lost = exited.then(([code]) => {
        if (!text.includes(expected))
          throw new Error(`ended with ${code} and never said "${expected}":\n${text}`);
      });
      await Promise.race([said, lost]);
    },
    stop() {
      child.kill('SIGTERM');
      return ended();
    },
  };
}

export async function startDevelopmentBroker(place: Place): Promise<Running> {
  const broker = runMayfly('start', place);
  await broker.says('mayfly is up');
  return broker;
}
