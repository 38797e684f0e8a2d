/**
 * A real Redis of a test's own, on a socket in a folder that goes with it, and as much of a client as is needed to
 * send it commands: what a resource server brings with `redis` or `ioredis`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../broker-process.ts';

/** Why these tests cannot run here, or false. */
export const NO_REDIS: string | false =
  spawnSync('redis-server', ['--version']).error === undefined
    ? false
    : 'redis-server is not installed (Debian: apt-get install redis-server)';

export type RedisProcess = Awaited<ReturnType<typeof startRedis>>;

export async function startRedis() {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-redis-'));
  const path = join(folder, 'socket');
  const client = createClient(path);
  let child: ChildProcess;

  async function start(): Promise<void> {
    const options = { '--port': '0', '--unixsocket': path, '--dir': folder, '--save': '' };
    const lasting = { '--appendonly': 'yes', '--appendfsync': 'always', '--maxmemory-policy': 'noeviction' };
    child = spawn('redis-server', Object.entries({ ...options, ...lasting }).flat(), { stdio: 'ignore' });
    const answers = async () => (await client.command('PING').catch(() => null)) === 'PONG';
    await until(answers, 'Redis answers', 20_000);
  }

  async function kill(): Promise<void> {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  await start();
  return {
    command: client.command,
    start,
    kill,
    stop: () => child.kill('SIGSTOP'),
    resume: () => child.kill('SIGCONT'),
    async remove() {
      client.close();
      if (child.exitCode === null && child.signalCode === null) await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

type Waiting = { resolve: (reply: string | null) => void; reject: (error: Error) => void };

/** Commands are answered in their order; when the connection ends, so does every wait for an answer. */
function createClient(path: string) {
  let socket: Socket | null = null;
  let waiting: Waiting[] = [];

  function open(): Socket {
    const opened = connect(path);
    let text = '';
    opened.setEncoding('utf8');
    opened.on('data', (part: string) => {
      text += part;
      for (let end = text.indexOf('\r\n'); end >= 0; end = text.indexOf('\r\n')) {
        settle(text.slice(0, end), waiting.shift());
        text = text.slice(end + 2);
      }
    });
    opened.on('error', () => undefined);
    opened.on('close', () => {
      if (socket === opened) socket = null;
      for (const { reject } of waiting.splice(0)) reject(new Error('the connection ended'));
    });
    return opened;
  }

  return {
    command(...command: string[]): Promise<string | null> {
      socket ??= open();
      const parts = command.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`);
      return new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        socket?.write(`*${parts.length}\r\n${parts.join('')}`);
      });
    },
    close() {
      waiting = [];
      socket?.destroy();
    },
  };
}

/** Simple strings, errors, and the nil of RESP2: all that SET, PING and CONFIG SET answer with. */
function settle(line: string, asked: Waiting | undefined): void {
  if (line.startsWith('+')) asked?.resolve(line.slice(1));
  else if (line === '$-1') asked?.resolve(null);
  else asked?.reject(new Error(line));
}
