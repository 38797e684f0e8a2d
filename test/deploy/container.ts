/** A process as the image would start it: a user without rights, an environment with nothing else in it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { BuiltImage } from './built-image.ts';

/** Of the Dockerfile. */
const UID = 65_532;
const asNobody = process.getuid?.() === 0 ? { uid: UID, gid: UID } : {};

export type Container = {
  child: ChildProcess;
  output(): string;
  /** Resolves once the output contains this. @throws when it ends before */
  says(text: string): Promise<void>;
  exit: Promise<number | null>;
};

/** @param script below `/app`; the rest are its arguments */
export function startContainer(
  { app }: BuiltImage,
  [script = '', ...args]: readonly string[],
  env: Record<string, string>,
): Container {
  const child = spawn(process.execPath, [join(app, script), ...args], {
    cwd: app,
    env: { NODE_ENV: 'production', TMPDIR: '/nowhere', HOME: '/nowhere', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...asNobody,
  });
  let text = '';
  let heard: () => void = () => {};
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      heard();
    });
  }
  const exit = once(child, 'exit').then(([code]) => code as number | null);
  return {
    child,
    exit,
    output: () => text,
    says: (wanted) =>
      new Promise((resolve, reject) => {
        heard = () => {
          if (text.includes(wanted)) resolve();
        };
        heard();
        exit.then((code) => reject(new Error(`ended with ${code} before it said "${wanted}":\n${text}`)));
      }),
  };
}

/** `mayfly <args>` in the image, to its end. */
export async function runMayfly(
  image: BuiltImage,
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ code: number | null; output: string }> {
  const { exit, output } = startContainer(image, ['dist/launch.js', ...args], env);
  return { code: await exit, output: output() };
}

/** The test database listens on a Unix socket that only its owner reaches; containers come over TCP. */
export async function openPostgresPort(
  socketDirectory: string,
): Promise<{ port: number; close(): Promise<void> }> {
  const open = new Set<Socket>();
  const server = createServer((incoming) => {
    const outgoing = connect(join(socketDirectory, '.s.PGSQL.5432'));
    for (const [one, other] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      open.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        open.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    async close() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
