/**
 * Where programs of a run ask for credentials: on 127.0.0.1 below a path that nobody can guess, or on a Unix socket
 * that only their user can open. It is no server for others: who calls it by another name, from a page or at another
 * path is told nothing. What there is to ask for is a table of verbs that whoever opens it brings.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Guard } from './bearer.ts';
import { answerOf, type LocalAnswer, problemOf } from './local-answer.ts';
import { closeNow, LOOPBACK, listenOnLoopback, listenOnSocket } from './own-server.ts';
import { discardBody, type Json, readBody, requireOwnProgram } from './read-request.ts';
import { refuseHere } from './refused-here.ts';
import { isSame, newSecret } from './secret.ts';

/** One thing that can be asked for. */
export type Verb = {
  method: 'GET' | 'POST';
  /** The last segment of its path: `credentials`. */
  name: string;
  /** Asked before the body is read. */
  guard: Guard;
  /**
   * @param body the members of its JSON; none where there was no body
   * @param signal aborted when whoever asked is gone
   * @returns the members of the answer
   * @throws {RefusedHere | AgentError} which are told
   */
  work(body: Json, signal: AbortSignal): Promise<Json>;
};

export type LocalEndpoint = {
  /** With the random path and without a slash at the end; on a Unix socket the path of that. */
  address: string;
  /** Of one verb; on a Unix socket only its path. */
  addressOf(name: string): string;
  close(): Promise<void>;
};

const LIMITS = {
  maxHeaderSize: 16_384,
  headersTimeout: 10_000,
  requestTimeout: 15_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
  requireHostHeader: false, // answered here, as the others are
} as const;
const MAX_CONNECTIONS = 1_000;

/** @param options.socket path of a Unix socket to make, in a folder that others cannot enter */
export async function openLocalEndpoint({
  verbs,
  socket,
}: {
  verbs: readonly Verb[];
  socket?: string;
}): Promise<LocalEndpoint> {
  const secretPath = newSecret();
  let host: string | undefined;

  function verbAt({ url = '', method }: IncomingMessage): Verb {
    const [empty, ...segments] = url.split('/');
    const name = segments.pop();
    const isHere = socket === undefined ? isSame(segments.join('/'), secretPath) : segments.length === 0;
    const found = verbs.filter((verb) => empty === '' && isHere && verb.name === name);
    if (found.length === 0) return refuseHere('not_found', 'Use the address that the run gave.');
    const allowed = found.map((verb) => verb.method).join(', ');
    return (
      found.find((verb) => verb.method === method) ??
      refuseHere('method_not_allowed', `Use ${allowed}.`, { Allow: allowed })
    );
  }

  async function respond(request: IncomingMessage, gone: AbortSignal): Promise<LocalAnswer> {
    try {
      requireOwnProgram(request, host);
      const verb = verbAt(request);
      verb.guard(onlyAuthorization(request));
      return answerOf(await verb.work(await readBody(request), gone));
    } catch (error) {
      return problemOf(error);
    }
  }

  const server = createServer(LIMITS, (request, response) => {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    respond(request, gone.signal).then((answer) => send(request, response, answer));
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  for (const name of ['connect', 'clientError'] as const) {
    server.on(name, (_first: unknown, connection: Duplex) => hangUp(connection));
  }
  if (socket === undefined) host = `${LOOPBACK}:${await listenOnLoopback(server)}`;
  else await listenOnSocket(server, socket);
  const prefix = host === undefined ? '' : `http://${host}/${secretPath}`;
  return {
    address: socket ?? prefix,
    addressOf: (name) => `${prefix}/${name}`,
    close: () => closeNow(server),
  };
}

/** RFC 9110 §11.6.2 knows one; of two nobody can say which one was meant. */
function onlyAuthorization({ headersDistinct: { authorization = [] } }: IncomingMessage): string | undefined {
  return authorization.length === 1 ? authorization[0] : undefined;
}

function send(request: IncomingMessage, response: ServerResponse, { status, headers, body }: LocalAnswer) {
  if (response.destroyed) return;
  if (!request.complete) {
    response.shouldKeepAlive = false;
    discardBody(request);
  }
  const text = JSON.stringify(body);
  response
    .writeHead(status, {
      ...headers,
      'Content-Length': Buffer.byteLength(text),
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
    })
    .end(request.method === 'HEAD' ? undefined : text);
}

/** Bytes that are no request, or that want a tunnel. */
function hangUp(connection: Duplex): void {
  if (connection.writable) connection.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
  else connection.destroy();
}
