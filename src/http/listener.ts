/**
 * A port that somebody outside can reach: HTTP, or HTTPS with TLS 1.3 alone. Whoever is slow, silent or greedy is
 * cut off by a limit with a name (`limits.ts`), bytes that are no request get a short JSON answer, and a stop is a
 * drain: nothing new comes in, what is being answered gets its answer and then `Connection: close`, and what is
 * still there at the end of the time allowed is cut off.
 */
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Log } from '../errors/log.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import { type HttpLimits, httpLimits } from './limits.ts';
import { ListenError } from './listen-error.ts';
import { createServer, type TlsMaterial } from './node-server.ts';
import { parserErrorStatus, rawErrorAnswer } from './parser-error.ts';
import { securityHeaders } from './security-headers.ts';

export type ListenerOptions = {
  app: RequestListener;
  host: string;
  /** 0 takes any free one. */
  port: number;
  /** The setting by which somebody would choose another port. */
  portSetting: string;
  tls?: TlsMaterial | undefined;
  limits?: Partial<HttpLimits>;
  log: Log;
  clock: Clock;
};

export type Listener = {
  /** Resolves when connections are accepted. @throws {ListenError} */
  listen(): Promise<{ port: number; url: string }>;
  /** Resolves when every connection is gone. */
  drain(options: Drain): Promise<void>;
  connections(): number;
};

export type Drain = {
  /** What is not answered by then is cut off. */
  withinMilliseconds: number;
  /**
   * For so long everything goes on, but each answer is the last on its connection. A front that keeps connections may
   * have put a request on one of them that has not arrived; were it closed now, nobody could say what became of that.
   */
  lingerMilliseconds?: number;
};

/** What is being asked and answered on one connection. */
type Exchange = { request: IncomingMessage; response: ServerResponse; count: number };

/** @throws {RangeError} for a limit that is none @throws {ListenError} for a certificate or key that cannot be used */
export function createListener(options: ListenerOptions): Listener {
  const { app, tls, log } = options;
  const limits = httpLimits(options.limits);
  const server = createServer(tls, limits);
  const sockets = new Set<Socket>(); // open TCP connections, handshakes included
  const exchanges = new Map<Duplex, Exchange>(); // by connection: the newest one
  const rejectBytes = createByteRejection(options, exchanges);
  let draining = false;
  let onLastClosed = (): void => undefined;

  /** Until nobody is connected, at the longest for so long. */
  async function linger(milliseconds: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    onLastClosed = resolve;
    const timer = setTimeout(resolve, milliseconds);
    if (sockets.size > 0) await promise;
    clearTimeout(timer);
  }

  function onRequest(request: IncomingMessage, response: ServerResponse): void {
    const count = (exchanges.get(request.socket)?.count ?? 0) + 1;
    exchanges.set(request.socket, { request, response, count });
    if (draining || count >= limits.requestsPerSocket) response.shouldKeepAlive = false;
    app(request, response);
  }

  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => {
      sockets.delete(socket);
      if (sockets.size === 0) onLastClosed();
    });
  });
  server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    socket.once('close', () => exchanges.delete(socket));
  });
  server.on('request', onRequest);
  server.on('checkExpectation', onRequest); // RFC 9110 §10.1.1: an unknown one may be ignored
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    if (Number(request.headers['content-length'] ?? 0) <= limits.bodyBytes) response.writeContinue();
    onRequest(request, response);
  });
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => rejectBytes(400, socket));
  server.on('clientError', (error: Error, socket: Duplex) => rejectBytes(parserErrorStatus(error), socket));

  return {
    async listen() {
      await bind(server, options);
      server.on('error', (error) => log.error({ err: error }, 'the listener met an error'));
      const { port } = server.address() as AddressInfo;
      const name = options.host.includes(':') ? `[${options.host}]` : options.host;
      return { port, url: `${tls === undefined ? 'http' : 'https'}://${name}:${port}` };
    },

    async drain({ withinMilliseconds, lingerMilliseconds = 0 }) {
      draining = true;
      for (const { response } of exchanges.values()) {
        if (!response.headersSent) response.shouldKeepAlive = false;
      }
      if (lingerMilliseconds > 0) await linger(lingerMilliseconds);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy(); // nothing was asked yet
      const deadline = setTimeout(() => {
        log.warn({ connections: sockets.size }, 'the drain took too long; connections are cut off');
        for (const socket of sockets) socket.destroy();
      }, withinMilliseconds);
      await closed;
      clearTimeout(deadline);
    },

    connections: () => sockets.size,
  };
}

/** Answers bytes that are no request; with status null, or in the middle of another answer, it only hangs up. */
function createByteRejection({ clock, tls }: ListenerOptions, exchanges: ReadonlyMap<Duplex, Exchange>) {
  const headers = securityHeaders({ https: tls !== undefined });

  return (status: number | null, socket: Duplex): void => {
    const current = exchanges.get(socket);
    const isBusy = current !== undefined && !current.response.writableFinished;
    if (status === null || !socket.writable || (isBusy && current.response.headersSent)) {
      socket.destroy();
    } else if (isBusy && current.request.complete) {
      finishThenClose(current, socket);
    } else {
      socket.end(rawErrorAnswer(status, { requestId: newIdentifier('req', clock), headers }), () =>
        socket.destroy(),
      );
    }
  };
}

/** What follows a whole request is nonsense: the request is answered all the same, and nothing after it is read. */
function finishThenClose({ response }: Exchange, socket: Duplex): void {
  socket.pause();
  response.shouldKeepAlive = false;
  response.once('close', () => socket.destroy());
}

/** Takes a port and gives it back. @throws {ListenError} when it cannot be had now */
export async function requireFreePort(wish: Wish): Promise<void> {
  const probe = createHttpServer();
  await bind(probe, wish);
  await new Promise((resolve) => probe.close(resolve));
}

function bind(server: Server, { host, port, portSetting }: Wish): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) => reject(listenError(error, { host, port, portSetting }));
    server.once('error', refuse);
    server.listen({ host, port }, () => {
      server.off('error', refuse);
      resolve();
    });
  });
}

type Wish = { host: string; port: number; portSetting: string };

function listenError(error: NodeJS.ErrnoException, { host, port, portSetting }: Wish): ListenError {
  const why: Record<string, string> = {
    EADDRINUSE: `Port ${port} on ${host} is taken: stop what listens there, or choose another port with ${portSetting}.`,
    EACCES: `Port ${port} may not be used by this user: choose one above 1023 with ${portSetting}.`,
    EADDRNOTAVAIL: `This machine has no address ${host}.`,
  };
  const message = why[error.code ?? ''] ?? `Port ${port} on ${host} cannot be listened on (${error.code}).`;
  return new ListenError(message, { cause: error });
}
