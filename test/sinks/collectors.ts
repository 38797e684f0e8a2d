/** Real receivers on this machine: an HTTP server and a TLS listener, that can be stopped, slowed down and made ill. */
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingHttpHeaders } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { makeCertificate } from '../test-certificate.ts';

export const tls = makeCertificate(['localhost', '127.0.0.1']);

export type HttpArrival = { headers: IncomingHttpHeaders; body: Buffer; url: string };
/** What to answer; `hang up` after having read everything, `never` for silence. */
export type HttpAnswer =
  | { status: number; headers?: Record<string, string>; body?: string | Buffer }
  | 'hang up'
  | 'never';

export async function startHttpCollector({
  secure = true,
  port = 0,
}: {
  secure?: boolean;
  port?: number;
} = {}) {
  const arrivals: HttpArrival[] = [];
  const collector = {
    arrivals,
    answer: (_arrival: HttpArrival): HttpAnswer | Promise<HttpAnswer> => ({ status: 204 }),
    connections: 0,
    port: 0,
    stop,
  };
  const server = secure
    ? createHttpsServer({ cert: tls.certificate, key: tls.privateKey })
    : createHttpServer();
  const sockets = trackSockets(server);
  server.on('connection', () => {
    collector.connections += 1;
  });
  server.on('request', async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const arrival = { headers: request.headers, body: Buffer.concat(parts), url: request.url ?? '' };
    arrivals.push(arrival);
    const answer = await collector.answer(arrival);
    if (answer === 'hang up') request.socket.destroy();
    else if (answer !== 'never') response.writeHead(answer.status, answer.headers).end(answer.body);
  });
  async function stop(): Promise<void> {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  }
  collector.port = await listen(server, port);
  return collector;
}

export type HttpCollector = Awaited<ReturnType<typeof startHttpCollector>>;

/** Reads octet-counted frames (RFC 6587 §3.4.1) until the end; `messages` is what was read, in order. */
export async function startSyslogCollector({ port = 0, ...options }: TlsOptions & { port?: number } = {}) {
  const messages: string[] = [];
  const collector = {
    messages,
    connections: 0,
    /** Of those, how many are closed in both directions. */
    closed: 0,
    /** Called for each message; may cut the connection. */
    heard: (_message: string, _socket: Socket): void => {},
    port: 0,
    stop,
  };
  const server = createTlsServer({ cert: tls.certificate, key: tls.privateKey, ...options });
  const sockets = trackSockets(server);
  server.on('secureConnection', (socket) => {
    collector.connections += 1;
    sockets.add(socket);
    socket.once('close', () => {
      collector.closed += 1;
    });
    let rest = Buffer.alloc(0);
    socket.on('data', (part: Buffer) => {
      rest = Buffer.concat([rest, part]);
      for (let frame = nextFrame(rest); frame !== null && !socket.destroyed; frame = nextFrame(rest)) {
        rest = rest.subarray(frame.bytes);
        messages.push(frame.message);
        collector.heard(frame.message, socket);
      }
    });
    socket.on('error', () => {});
  });
  server.on('tlsClientError', () => {});
  async function stop(): Promise<void> {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  }
  collector.port = await listen(server, port);
  return collector;
}

function nextFrame(bytes: Buffer): { message: string; bytes: number } | null {
  const blank = bytes.indexOf(0x20);
  if (blank === -1) return null;
  const digits = bytes.toString('latin1', 0, blank);
  if (!/^[1-9]\d*$/.test(digits))
    throw new Error(`no frame begins with ${JSON.stringify(digits.slice(0, 20))}`);
  const end = blank + 1 + Number(digits);
  return bytes.length < end ? null : { message: bytes.toString('utf8', blank + 1, end), bytes: end };
}

function trackSockets(server: Server): Set<Socket> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return sockets;
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
