/** Debian's rsyslogd as a receiver of syslog over TLS, in a folder of its own; it writes what it reads as JSON lines. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tls } from './collectors.ts';
import { becomesTrue } from './sample-log.ts';

const PROGRAM = '/usr/sbin/rsyslogd';

/** Why it cannot be tried here, or false. */
export const missing: string | false = (() => {
  if (!existsSync(PROGRAM)) return 'rsyslogd is not installed (apt-get install rsyslog rsyslog-gnutls)';
  const modules = execFileSync('find', ['/usr/lib', '-name', 'lmnsd_gtls.so']).toString();
  return modules === '' ? 'rsyslogd is here without TLS (apt-get install rsyslog-gnutls)' : false;
})();

export type Heard = {
  id: string;
  app: string;
  host: string;
  msgid: string;
  pri: string;
  data: string;
  msg: string;
};

export async function startRsyslogd() {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-rsyslog-'));
  const [output, configuration] = [join(folder, 'out.jsonl'), join(folder, 'rsyslog.conf')];
  writeFileSync(join(folder, 'cert.pem'), tls.certificate);
  writeFileSync(join(folder, 'key.pem'), tls.privateKey, { mode: 0o600 });
  const port = await freePort();
  writeFileSync(configuration, configurationOf({ folder, output, port }));
  let child: ChildProcess | null = null;
  let complaints = '';

  async function start(): Promise<void> {
    const words = ['-n', '-f', configuration, '-i', join(folder, 'pid')];
    const started = spawn(PROGRAM, words, { stdio: ['ignore', 'ignore', 'pipe'] });
    started.stderr?.on('data', (text) => {
      complaints += text;
    });
    child = started;
    await becomesTrue(() => {
      if (started.exitCode !== null) throw new Error(`rsyslogd ended: ${complaints}`);
      return answers(port);
    }, 'rsyslogd');
  }

  async function stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const stopping = child;
    child = null;
    if (stopping === null || stopping.exitCode !== null) return;
    stopping.kill(signal);
    await once(stopping, 'exit');
  }

  await start();
  return {
    port,
    start,
    stop,
    heard(): Heard[] {
      if (!existsSync(output)) return [];
      const lines = readFileSync(output, 'utf8').split('\n').filter(Boolean);
      return lines
        .map((line) => JSON.parse(line) as Omit<Heard, 'id'>)
        .map((line) => ({
          ...line,
          id: / id="([^"]+)"/.exec(line.data)?.[1] ?? '',
        }));
    },
    async remove() {
      await stop('SIGKILL');
      rmSync(folder, { recursive: true });
    },
  };
}

function configurationOf({ folder, output, port }: { folder: string; output: string; port: number }): string {
  return `
global(workDirectory="${folder}" maxMessageSize="8k"
  defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="${folder}/cert.pem"
  defaultNetstreamDriverCertFile="${folder}/cert.pem" defaultNetstreamDriverKeyFile="${folder}/key.pem")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="json" type="list" option.jsonf="on") {
  property(outname="app" name="app-name" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="msgid" name="msgid" format="jsonf")
  property(outname="pri" name="pri" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="msg" name="msg" format="jsonf")
}
input(type="imtcp" port="${port}" address="127.0.0.1" ruleset="all")
ruleset(name="all") { action(type="omfile" file="${output}" template="json" asyncWriting="off" flushOnTXEnd="on") }
`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
