/**
 * A proxy of a run on a real socket, with a real agent. Its broker is the polite one of `hostile-server.ts`, and what
 * stands upstream writes its answers byte by byte.
 */
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after } from 'node:test';
import { openProxy, type ProxyLimits } from '../../src/run/proxy.ts';
import { createUpstream, type UpstreamLimits } from '../../src/run/proxy-upstream.ts';
import { createAgent } from '../../src/sdk/index.ts';
import { type Client, openClient, send, type WireAnswer } from '../http/wire.ts';
import { startHostileServer, TOKEN, tokenAnswer } from '../sdk/hostile-server.ts';
import { newDeclaredKey } from '../test-scopes.ts';

/** As long as those of a broker are, and like nothing else. */
export const ACCESS_TOKEN = `eyJhbGciOiJFZERTQSJ9.${'Zm9vYmFy'.repeat(60)}.${'c2lnbmF0dXJl'.repeat(7)}`;

export type RawRequest = { head: string; socket: Socket; connection: number };
type Script = (request: RawRequest) => void;

export type RawUpstream = Awaited<ReturnType<typeof startRawUpstream>>;

/** Reads one head after the other, bodies of `Content-Length` included, and has the script of the moment answer. */
export async function startRawUpstream() {
  const seen: RawRequest[] = [];
  const sockets = new Set<Socket>();
  let script: Script = ({ socket }) => socket.write(whole('ok'));
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    const connection = connections;
    let received = '';
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      for (let end = endOfRequest(received); end !== -1; end = endOfRequest(received)) {
        const head = received.slice(0, end);
        received = received.slice(end);
        const asked = { head, socket, connection };
        seen.push(asked);
        script(asked);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    seen,
    sockets,
    connections: () => connections,
    answers(next: Script | string) {
      script = typeof next === 'string' ? ({ socket }) => void socket.write(next, 'latin1') : next;
    },
  };
}

function endOfRequest(text: string): number {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return -1;
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text.slice(0, end))?.[1] ?? 0);
  return text.length < end + 4 + length ? -1 : end + 4 + length;
}

export function whole(body: string, ...lines: string[]): string {
  return ['HTTP/1.1 200 OK', `Content-Length: ${body.length}`, ...lines, '', body].join('\r\n');
}

export type TestProxy = Awaited<ReturnType<typeof startTestProxy>>;

export async function startTestProxy({
  resources,
  limits = {},
  upstreamLimits = {},
  authorities,
}: {
  resources: readonly string[];
  limits?: Partial<ProxyLimits>;
  upstreamLimits?: Partial<UpstreamLimits>;
  authorities?: string;
}) {
  const warnings: string[] = [];
  const broker = await startHostileServer();
  broker.answers(TOKEN, { status: 200, body: tokenAnswer({ access_token: ACCESS_TOKEN, expires_in: 900 }) });
  const upstream = createUpstream({
    warn: (line) => warnings.push(line),
    limits: upstreamLimits,
    ...(authorities === undefined ? {} : { authorities }),
  });
  const [resource = ''] = resources;
  const agent = createAgent({
    issuer: broker.url,
    clientId: 'a',
    key: newDeclaredKey().privateJwk as Parameters<typeof createAgent>[0]['key'],
    actions: ['a:b:c'],
    resource,
    fetch: (url, init) => (url.startsWith(broker.url) ? fetch : upstream.fetch)(url, init),
  });
  const proxy = await openProxy({ agent, resources, limits });
  after(async () => {
    await proxy.close();
    upstream.close();
  });
  const { port, username, password } = new URL(proxy.environment.http_proxy ?? '');
  const credentials = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

  return {
    proxy,
    broker,
    agent,
    warnings,
    port: Number(port),
    password,
    credentials,
    connect: (): Client => openClient(Number(port)),
    read: (line: string, options: Omit<ReadOptions, 'credentials'> = {}): Promise<Read> =>
      read(Number(port), line, { ...options, credentials }),
    /** One request on a connection of its own, with the password of the run. */
    ask: (line: string, options: Omit<Parts, 'credentials'> = {}): Promise<WireAnswer | null> =>
      send(Number(port), proxyRequest(line, { ...options, credentials })),
  };
}

export type Read = {
  status: number;
  headers: ReadonlyMap<string, readonly string[]>;
  body: string;
  /** Its end was what ends an answer. */
  isWhole: boolean;
};

/** As a careful program reads: with Node's client, on a connection of its own. Rejects when nothing came. */
export async function read(port: number, line: string, options: ReadOptions): Promise<Read> {
  const [method = 'GET', path = ''] = line.split(' ');
  const host = /^\w+:\/\/([^/?]*)/.exec(path)?.[1] ?? 'none';
  const { headers = {}, body, credentials } = options;
  const sent = request({
    port,
    method,
    path,
    agent: false,
    headers: { Host: host, 'Proxy-Authorization': credentials, ...headers },
  });
  sent.end(body);
  const [incoming] = (await once(sent, 'response')) as [IncomingMessage];
  const parts: Buffer[] = [];
  let isWhole = true;
  sent.on('error', () => {
    isWhole = false;
  });
  try {
    for await (const part of incoming) parts.push(part as Buffer);
  } catch {
    isWhole = false;
  }
  const { statusCode: status = 0, headersDistinct } = incoming;
  const fields = new Map(Object.entries(headersDistinct).map(([name, values]) => [name, values ?? []]));
  return { status, headers: fields, body: Buffer.concat(parts).toString('latin1'), isWhole };
}

type ReadOptions = { headers?: Record<string, string>; body?: string | Buffer; credentials: string };

type Parts = { headers?: readonly string[]; body?: string; host?: string | null; credentials: string | null };

/** `GET http://host/path`, with the Host that belongs to it. */
export function proxyRequest(line: string, { headers = [], body = '', host, credentials }: Parts): Buffer {
  const named = host === undefined ? /^\S+ \w+:\/\/([^/?\s]*)/.exec(line)?.[1] : host;
  const lines = [
    `${line} HTTP/1.1`,
    ...(named === null || named === undefined ? [] : [`Host: ${named}`]),
    ...(credentials === null ? [] : [`Proxy-Authorization: ${credentials}`]),
    ...headers,
    ...(body === '' || headers.some((each) => /^(content-length|transfer-encoding):/i.test(each))
      ? []
      : [`Content-Length: ${body.length}`]),
    '',
    body,
  ];
  return Buffer.from(lines.join('\r\n'), 'latin1');
}

/** What the proxy called it, or that it was the resource who answered. */
export function codeOf(
  answer: (Pick<WireAnswer, 'status' | 'body'> & { headers: Read['headers'] }) | null,
): string {
  if (answer === null) return 'no answer';
  const status = answer.headers.get('proxy-status')?.[0];
  return status === undefined ? `resource ${answer.status}` : String(JSON.parse(answer.body).code);
}
