/** The TLS front of docker-compose.yml, run by the nginx of this machine, and requests that come in through it. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { until } from '../broker-process.ts';
import { textOf } from './files.ts';

/** Why the front cannot be run here, or false. */
export const withoutNginx: string | false = await promisify(execFile)('nginx', ['-v']).then(
  () => false,
  () => 'nginx is not installed here',
);

export type FrontOptions = {
  /** For its configuration and what it writes. */
  folder: string;
  secrets: string;
  port: number;
  healthPort: number;
  brokerPorts: readonly [number, number];
};

export async function startFront(options: FrontOptions) {
  const path = await writeConfiguration(options);
  const logPath = join(options.folder, 'front.log');
  const log = await open(logPath, 'a'); // a file, since nginx cannot open the socket that a child's pipe is
  const child = spawn('nginx', ['-c', path, '-g', 'daemon off;'], { stdio: ['ignore', log.fd, log.fd] });
  const exit = once(child, 'exit').finally(() => log.close());
  const stop = async () => {
    child.kill('SIGQUIT');
    await exit;
  };
  try {
    await until(() => answers(options.healthPort), 'nginx answers');
  } catch (error) {
    await stop();
    throw new Error(await readFile(logPath, 'utf8'), { cause: error });
  }
  const authority = await readFile(join(options.secrets, 'front_certificate'));
  return {
    log: () => readFile(logPath, 'utf8'),
    ask: (asked: FrontRequest) => ask({ ...asked, port: options.port, authority }),
    /** An answer that goes on: what came of it so far, each time that more came. */
    watch: (asked: FrontRequest) => watch({ ...asked, port: options.port, authority }),
    stop,
  };
}

function answers(healthPort: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${healthPort}/`).then(
    ({ ok }) => ok,
    () => false,
  );
}

/** The shipped configuration; only names and places of this machine are put in. */
async function writeConfiguration(options: FrontOptions): Promise<string> {
  const { folder, secrets, port, healthPort, brokerPorts } = options;
  const temporary = join(folder, 'tmp');
  await mkdir(temporary, { recursive: true });
  // nginx that runs as root hands its work to a user that could not write here
  const workers = `worker_processes 1;${process.getuid?.() === 0 ? '\nuser root;' : ''}`;
  const text = textOf('deploy/front/nginx.conf')
    .replace('worker_processes auto;', workers)
    .replaceAll(' /tmp/', ` ${temporary}/`)
    .replaceAll('/run/secrets', secrets)
    .replace('listen 8443 ssl', `listen 127.0.0.1:${port} ssl`)
    .replace('listen 127.0.0.1:8080', `listen 127.0.0.1:${healthPort}`)
    .replace('broker-1:8420', `127.0.0.1:${brokerPorts[0]}`)
    .replace('broker-2:8420', `127.0.0.1:${brokerPorts[1]}`);
  const path = join(folder, 'nginx.conf');
  await writeFile(path, text);
  return path;
}

export type FrontRequest = {
  method?: string;
  path: string;
  headers?: Record<string, string | string[]>;
  body?: string;
  /** Where the request comes from. */
  localAddress?: string;
  maxVersion?: 'TLSv1.2' | 'TLSv1.3';
};

export type FrontAnswer = {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
  protocol: string | null;
};

type Sent = FrontRequest & { port: number; authority: Buffer };

function watch({ path, headers = {}, port, authority }: Sent) {
  let text = '';
  const sent = request({
    host: '127.0.0.1',
    port,
    path,
    headers: { Host: 'broker.example.com', ...headers },
    servername: 'broker.example.com',
    ca: authority,
    agent: false,
  });
  sent.on('error', () => {});
  sent.on('response', (response) => {
    response.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    response.on('error', () => {});
  });
  sent.end();
  return { received: () => text, close: () => sent.destroy() };
}

/** On a connection of its own, as a client that verifies the certificate of the public name. */
function ask(asked: Sent): Promise<FrontAnswer> {
  const { method = 'GET', path, headers = {}, body, port, authority, localAddress, maxVersion } = asked;
  return new Promise((resolve, reject) => {
    const sent = request({
      host: '127.0.0.1',
      port,
      method,
      path,
      headers: { Host: 'broker.example.com', ...headers },
      servername: 'broker.example.com',
      ca: authority,
      agent: false,
      ...(maxVersion === undefined ? {} : { maxVersion, minVersion: maxVersion }),
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    sent.on('error', reject);
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      const protocol =
        'getProtocol' in response.socket
          ? String((response.socket as never as { getProtocol(): string }).getProtocol())
          : null;
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString('utf8'),
          protocol,
        }),
      );
    });
    sent.end(body);
  });
}
