/** Raw bytes on a real socket, and an edge with a small table of contents behind it. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { createHttpApplication } from '../../src/http/application.ts';
import type { Refused } from '../../src/http/edge.ts';
import type { HttpLimits } from '../../src/http/limits.ts';
import { createListener } from '../../src/http/listener.ts';
import type { TlsMaterial } from '../../src/http/node-server.ts';
import type { Call, Route } from '../../src/http/route.ts';
import { systemClock } from '../../src/time/clock.ts';
import { soakFactor } from '../soak.ts';

export type WireAnswer = { status: number; headers: Map<string, string[]>; body: string };

export type Logged = { level: string; details: Record<string, unknown>; message: string };

export type Edge = {
  port: number;
  /** What reached a handler. */
  calls: Call[];
  refused: Refused[];
  logged: Logged[];
  listener: ReturnType<typeof createListener>;
};

const DEADLINE_MILLISECONDS = 10_000 * soakFactor();

/** One form POST, one JSON POST, one GET; each tells what it saw. */
function sampleRoutes(calls: Call[]): Route[] {
  const seen = (call: Call, body: unknown) => {
    calls.push(call);
    return { body };
  };
  return [
    {
      method: 'POST',
      path: '/oauth/token',
      format: 'oauth',
      may: 'agent',
      body: 'form',
      answer: (call) =>
        seen(call, {
          grant_type: call.form.one('grant_type') ?? null,
          scope: call.form.one('scope') ?? null,
          resource: call.form.all('resource'),
        }),
    },
    {
      method: 'POST',
      path: '/v1/things/{:name}',
      format: 'problem',
      may: 'resource server',
      body: 'json',
      answer: (call) => seen(call, { json: call.json ?? null, name: call.params.name ?? null }),
    },
    {
      method: 'GET',
      path: '/metadata',
      format: 'oauth',
      may: 'anyone',
      answer: (call) => ({
        ...seen(call, { issuer: 'fixed' }),
        headers: { 'Cache-Control': 'public, max-age=300' },
      }),
    },
  ];
}

/** Starts an edge on a free port and stops it when the test is over. */
export async function startEdge(
  context: Pick<TestContext, 'after'>,
  options: {
    routes?: Route[];
    limits?: Partial<HttpLimits>;
    tls?: TlsMaterial;
    https?: boolean;
    trustedProxies?: string[];
    admit?: (source: { address: string; network: string }) => void;
    isUnavailable?: (error: unknown) => boolean;
    onRefusal?: (refused: Refused) => void | Promise<void>;
  } = {},
): Promise<Edge> {
  const calls: Call[] = [];
  const refused: Refused[] = [];
  const logged: Logged[] = [];
  const write = (level: string) => (details: object, message: string) => {
    logged.push({ level, details: details as Record<string, unknown>, message });
  };
  const log = { info: write('info'), warn: write('warn'), error: write('error') };
  const { routes = sampleRoutes(calls), limits = {}, tls, onRefusal, ...rest } = options;
  const app = createHttpApplication({
    routes,
    limits,
    log,
    clock: systemClock,
    https: false,
    onRefusal(each) {
      refused.push(each);
      return onRefusal?.(each);
    },
    ...rest,
  });
  const listener = createListener({
    app,
    host: '127.0.0.1',
    port: 0,
    portSetting: 'MAYFLY_PORT',
    limits,
    log,
    clock: systemClock,
    tls,
  });
  const { port } = await listener.listen();
  context.after(() => listener.drain({ withinMilliseconds: 0 }));
  return { port, calls, refused, logged, listener };
}

export type Client = {
  socket: Socket;
  write(bytes: string | Buffer): void;
  /** The next whole answer, or null when the connection ended without one. */
  answer(options?: { toHead: boolean }): Promise<WireAnswer | null>;
  /** Everything received so far, as latin1. */
  received(): string;
  closed(): Promise<void>;
};

export function openClient(port: number, existing?: Socket): Client {
  const socket = existing ?? connect(port, '127.0.0.1');
  let received = '';
  let taken = 0;
  let isClosed = false;
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const each of [...waiting]) each();
  };
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
    wake();
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    isClosed = true;
    wake();
  });

  /** Resolves with what `look` finds as soon as it finds something. */
  const until = <T>(look: () => T | undefined): Promise<T> =>
    new Promise((resolve, reject) => {
      const deadline = setTimeout(
        () =>
          reject(new Error(`nothing within ${DEADLINE_MILLISECONDS} ms; received ${received.slice(0, 200)}`)),
        DEADLINE_MILLISECONDS,
      );
      const check = () => {
        const found = look();
        if (found === undefined) return;
        clearTimeout(deadline);
        waiting.delete(check);
        resolve(found);
      };
      waiting.add(check);
      check();
    });

  return {
    socket,
    write: (bytes) => {
      socket.write(bytes);
    },
    answer: ({ toHead } = { toHead: false }) =>
      until(() => {
        const parsed = parseAnswer(received.slice(taken), toHead);
        if (parsed === null) return isClosed ? null : undefined;
        taken += parsed.length;
        return parsed.answer;
      }),
    received: () => received,
    closed: () => until(() => (isClosed ? true : undefined)).then(() => {}),
  };
}

/** Sends bytes on a connection of their own and gives the first answer. */
export async function send(port: number, bytes: string | Buffer): Promise<WireAnswer | null> {
  const client = openClient(port);
  client.write(bytes);
  const answer = await client.answer({ toHead: bytes.toString().startsWith('HEAD ') });
  client.socket.destroy();
  return answer;
}

export type Header = readonly [name: string, value: string];

export function request(
  line: string,
  { headers = [], body = '' }: { headers?: readonly Header[]; body?: string | Buffer } = {},
): Buffer {
  const bytes = Buffer.from(body);
  const has = (wanted: string) => headers.some(([name]) => name.toLowerCase() === wanted);
  const all: Header[] = [...(has('host') ? [] : [['Host', 'broker.test'] as const]), ...headers];
  if (bytes.length > 0 && !has('content-length') && !has('transfer-encoding')) {
    all.push(['Content-Length', String(bytes.length)]);
  }
  const head = `${line} HTTP/1.1\r\n${all.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), bytes]);
}

export const FORM: Header = ['Content-Type', 'application/x-www-form-urlencoded'];
export const JSON_TYPE: Header = ['Content-Type', 'application/json'];

export const postForm = (body: string | Buffer, headers: readonly Header[] = []) =>
  request('POST /oauth/token', { headers: [FORM, ...headers], body });

export const postJson = (body: string | Buffer, headers: readonly Header[] = []) =>
  request('POST /v1/things/a', { headers: [JSON_TYPE, ...headers], body });

export function header(answer: WireAnswer | null, name: string): string | undefined {
  return answer?.headers.get(name)?.[0];
}

/** Nothing that comes in under this name may ever go out again. */
export const CANARY = 'canary7f3a';

/** What holds after every case: JSON, no store, no page, no stack, no echo, and nobody else was harmed. */
export async function assertOracle(edge: Edge, answer: WireAnswer | null): Promise<void> {
  if (answer !== null) {
    assert.ok(answer.status !== 500 && answer.status !== 502, `status ${answer.status}`);
    assert.match(header(answer, 'content-type') ?? '', /^application\/(problem\+)?json$/);
    assert.doesNotThrow(() => JSON.parse(answer.body), answer.body);
    assert.equal(header(answer, 'cache-control'), 'no-store');
    assert.equal(header(answer, 'pragma'), 'no-cache');
    assert.match(header(answer, 'request-id') ?? '', /^req_[0-9a-z]{26}$/);
    for (const absent of [
      'etag',
      'x-powered-by',
      'access-control-allow-origin',
      'access-control-allow-credentials',
    ]) {
      assert.equal(header(answer, absent), undefined, absent);
    }
    assert.doesNotMatch(answer.body, /<html|<pre|\bat .*:\d+:\d+|node:|select |SyntaxError/i);
    assert.ok(!answer.body.includes(CANARY), 'the input is echoed');
  }
  assert.deepEqual(
    edge.logged.filter(({ level }) => level === 'error'),
    [],
  );
  const next = await send(edge.port, postForm('grant_type=client_credentials'));
  assert.equal(next?.status, 200, 'the next valid request succeeds');
}

function parseAnswer(text: string, toHead = false): { answer: WireAnswer; length: number } | null {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return null;
  const [statusLine = '', ...lines] = text.slice(0, end).split('\r\n');
  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const name = line.slice(0, line.indexOf(':')).toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), line.slice(line.indexOf(':') + 1).trim()]);
  }
  const status = Number(statusLine.split(' ')[1]);
  if (status === 100) return parseAfter(text, end + 4);
  const length = toHead ? 0 : Number(headers.get('content-length')?.[0] ?? 0);
  const body = text.slice(end + 4, end + 4 + length);
  if (body.length < length) return null;
  const decoded = Buffer.from(body, 'latin1').toString('utf8');
  return { answer: { status, headers, body: decoded }, length: end + 4 + length };
}

/** An interim answer is followed by the real one (RFC 9110 §15.2). */
function parseAfter(text: string, start: number): { answer: WireAnswer; length: number } | null {
  const parsed = parseAnswer(text.slice(start));
  return parsed === null ? null : { answer: parsed.answer, length: parsed.length + start };
}

/** Resolves when the edge has no open connection. */
export async function noConnections({ listener }: Edge): Promise<void> {
  await becomesTrue(() => listener.connections() === 0);
}

/** Looks again each turn of the event loop, until it is so; fails when it does not become so. */
export async function becomesTrue(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + DEADLINE_MILLISECONDS;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `not within ${DEADLINE_MILLISECONDS} ms: ${condition}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
