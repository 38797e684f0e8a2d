/** The endpoint by itself: who is let in, once, and what the others are told. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { createConnection } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { anybodyHere } from '../../src/run/bearer.ts';
import { type Bootstrap, createBootstrap } from '../../src/run/bootstrap.ts';
import { type LocalEndpoint, openLocalEndpoint, type Verb } from '../../src/run/local-endpoint.ts';
import type { RunContext } from '../../src/run/offer.ts';
import { offerTokensOnSocket } from '../../src/run/offer-tokens.ts';
import { AgentError, type AgentErrorCode } from '../../src/sdk/agent-error.ts';
import { fc } from '../properties.ts';
import { askLocally, type Local, sendBytes } from './local-request.ts';

let bootstrap: Bootstrap;
let endpoint: LocalEndpoint;
let said: string[];
let worked: object[];
let failure: unknown;
const opened: LocalEndpoint[] = [];
after(() => Promise.all(opened.map(({ close }) => close())));

beforeEach(async () => {
  [said, worked, failure] = [[], [], undefined];
  bootstrap = createBootstrap({ report: (line) => said.push(line) });
  endpoint = await open([bootstrap.verb, echo('echo', bootstrap.guard), echo('open', anybodyHere)]);
});

async function open(verbs: readonly Verb[]): Promise<LocalEndpoint> {
  const one = await openLocalEndpoint({ verbs });
  opened.push(one);
  return one;
}

function echo(name: string, guard: Verb['guard']): Verb {
  return {
    method: 'POST',
    name,
    guard,
    async work(body) {
      worked.push(body);
      if (failure !== undefined) throw failure;
      return { heard: body };
    },
  };
}

const bearer = (secret: string) => ({ Authorization: `Bearer ${secret}` });
const bootstrapWith = (code: string) =>
  askLocally(endpoint.addressOf('bootstrap'), { headers: bearer(code) });

async function secretOf(answer: Promise<Local>): Promise<string> {
  const { status, body } = await answer;
  assert.equal(status, 200);
  return String(body.secret);
}

describe('The endpoint of a run', () => {
  test('listens on 127.0.0.1 and on no other address (SDK-08)', async () => {
    const { hostname, port } = new URL(endpoint.address);
    assert.equal(hostname, '127.0.0.1');
    const others = Object.values(networkInterfaces())
      .flatMap((addresses = []) => addresses)
      .map(({ address }) => address)
      .filter((address) => address !== '127.0.0.1');
    for (const host of ['::1', '127.0.0.2', ...others]) {
      const socket = createConnection({ host, port: Number(port) });
      const code = await new Promise((resolve) => {
        socket.on('connect', () => resolve('connected'));
        socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
      });
      socket.destroy();
      assert.notEqual(code, 'connected', host);
    }
  });

  test('answers below a random path, a new one each time, and the same everywhere else (SDK-08)', async () => {
    const { origin, pathname } = new URL(endpoint.address);
    assert.match(pathname, /^\/[\w-]{43}$/);
    assert.notEqual(pathname, new URL((await open([])).address).pathname);
    const elsewhere = [
      '/',
      '/open',
      `${pathname}`,
      `${pathname}/`,
      `${pathname}/nothing`,
      `/x${pathname}/open`,
      `${pathname}/open/`,
      `${pathname}x/open`,
      `${pathname.slice(0, -1)}/open`,
      `${pathname.toUpperCase()}/open`,
      '/.well-known/oauth-protected-resource',
    ];
    const answers = await Promise.all(elsewhere.map((path) => askLocally(`${origin}${path}`)));
    const [first] = answers;
    assert.equal(first?.status, 404);
    for (const { text, status } of answers) assert.deepEqual([status, text], [404, first?.text]);
    assert.deepEqual(worked, []);
  });

  for (const [what, headers] of [
    ['localhost', { Host: 'localhost' }],
    ['localhost with the port', { Host: 'localhost:PORT' }],
    ['a name that an attacker points here', { Host: 'rebound.example.com:PORT' }],
    ['no port', { Host: '127.0.0.1' }],
    ['another port', { Host: '127.0.0.1:1' }],
    ['a dot at the end', { Host: '127.0.0.1.:PORT' }],
    ['another spelling', { Host: '127.1:PORT' }],
    ['the right one with space', { Host: '127.0.0.1:PORT x' }],
    ['the right one, from a page', { Origin: 'https://example.com' }],
    ['the right one, from a page without an origin', { Origin: 'null' }],
    ['the right one, from another site', { 'Sec-Fetch-Site': 'cross-site' }],
    ['the right one, from the same site', { 'Sec-Fetch-Site': 'same-origin' }],
  ] as const) {
    test(`refuses a Host of ${what}, with the right path and secret (SDK-08)`, async () => {
      const { port } = new URL(endpoint.address);
      const given = Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [name, value.replace('PORT', port)]),
      );
      const answer = await askLocally(endpoint.addressOf('bootstrap'), {
        headers: { ...given, ...bearer(bootstrap.code) },
      });
      assert.deepEqual([answer.status, answer.body.code], [403, 'foreign_request']);
      assert.equal(answer.headers['access-control-allow-origin'], undefined);
      await secretOf(bootstrapWith(bootstrap.code)); // it is still there for the program
    });
  }

  test('refuses two Host headers, and a request line with a host of its own (SDK-08)', async () => {
    const { host, pathname } = new URL(endpoint.address);
    for (const head of [
      `POST ${pathname}/open HTTP/1.1\r\nHost: ${host}\r\nHost: example.com\r\n`,
      `POST http://example.com${pathname}/open HTTP/1.1\r\nHost: ${host}\r\n`,
      `POST ${pathname}/open HTTP/1.1\r\n`,
      `POST ${pathname}/open HTTP/1.0\r\n`,
    ]) {
      const answer = await sendBytes(endpoint.address, `${head}Content-Length: 0\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 (400|403|404) /, head);
    }
    assert.deepEqual(worked, []);
  });

  test('lets programs in that use fetch of Node', async () => {
    const response = await fetch(endpoint.addressOf('open'), { method: 'POST' });
    assert.equal(response.status, 200);
  });

  test('knows the methods of its verbs, and serves no page', async () => {
    for (const method of ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH', 'TRACE']) {
      const { status, headers } = await askLocally(endpoint.addressOf('open'), { method });
      assert.deepEqual([status, headers.allow], [405, 'POST'], method);
      assert.ok(!Object.keys(headers).some((name) => name.startsWith('access-control-')));
    }
    const { headers } = await askLocally(endpoint.addressOf('open'));
    assert.equal(headers['cache-control'], 'no-store');
  });

  for (const [code, status, body, headers] of [
    ['content_too_large', 413, `{"a":"${'x'.repeat(16_384)}"}`, {}],
    ['unsupported_media_type', 415, '{}', { 'Content-Type': 'text/plain' }],
    ['unsupported_media_type', 415, '{}', { 'Content-Type': 'application/jsonp' }],
    ['unsupported_media_type', 415, '{}', { 'Content-Encoding': 'gzip' }],
    ['invalid_request', 400, '{', {}],
    ['invalid_request', 400, '[]', {}],
    ['invalid_request', 400, 'null', {}],
    ['invalid_request', 400, '{"a":1,"a":2}', {}],
    ['invalid_request', 400, '{"__proto__":{}}', {}],
    ['invalid_request', 400, '['.repeat(200), {}],
  ] as const) {
    test(`answers ${status} to a body like ${body.slice(0, 20)} ${JSON.stringify(headers)}`, async () => {
      const given = { 'Content-Type': 'application/json', ...headers };
      const answer = await askLocally(endpoint.addressOf('open'), { body, headers: given });
      assert.deepEqual([answer.status, answer.body.code], [status, code]);
      assert.equal(answer.headers['content-type'], 'application/problem+json');
      assert.deepEqual(worked, []);
    });
  }

  test('reads a body of 16 KiB and not one byte more', async () => {
    const body = (length: number) => `{"a":"${'x'.repeat(length - 8)}"}`;
    for (const [length, status] of [
      [16_384, 200],
      [16_385, 413],
    ] as const) {
      const answer = await askLocally(endpoint.addressOf('open'), {
        body: body(length),
        headers: { 'Content-Type': 'application/json' },
      });
      assert.equal(answer.status, status);
    }
  });
});

describe('The bootstrap code', () => {
  test('is good once, and the secret given first goes on (SDK-08)', async () => {
    const secret = await secretOf(bootstrapWith(bootstrap.code));
    for (let times = 0; times < 3; times += 1) {
      const { status, body, text } = await bootstrapWith(bootstrap.code);
      assert.deepEqual([status, body.code], [403, 'bootstrap_used']);
      assert.ok(!text.includes(secret));
    }
    assert.equal(said.length, 1, 'whoever started the run is told, once');
    assert.match(said[0] ?? '', /shown a second time/);
    const { status } = await askLocally(endpoint.addressOf('echo'), { headers: bearer(secret) });
    assert.equal(status, 200);
  });

  test('is taken from one of a hundred who have it at the same time (SDK-08)', async () => {
    const answers = await Promise.all(Array.from({ length: 100 }, () => bootstrapWith(bootstrap.code)));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
  });

  test('cannot be guessed more than five times (SDK-08)', async () => {
    for (let times = 0; times < 5; times += 1) {
      assert.equal((await bootstrapWith('guess')).body.code, 'bootstrap_wrong');
    }
    assert.equal((await bootstrapWith(bootstrap.code)).body.code, 'bootstrap_closed');
    assert.equal(said.length, 1);
  });

  test('is needed: before it, and with anything but the secret, nothing is given', async () => {
    const ask = (headers: Record<string, string | string[]>) =>
      askLocally(endpoint.addressOf('echo'), { headers });
    const before = [{}, bearer(''), bearer('undefined'), bearer(bootstrap.code)];
    for (const headers of before) assert.equal((await ask(headers)).status, 401);
    const secret = await secretOf(bootstrapWith(bootstrap.code));
    const after = [
      {},
      bearer(bootstrap.code),
      bearer(secret.slice(1)),
      bearer(`${secret}x`),
      { Authorization: secret },
      { Authorization: `Basic ${secret}` },
      { Authorization: [`Bearer ${secret}`, 'Bearer x'] },
    ];
    for (const headers of after) {
      const { status, body } = await ask(headers);
      assert.deepEqual([status, body.code], [401, 'secret_needed'], JSON.stringify(headers));
    }
    assert.deepEqual(worked, []);
    assert.equal((await ask(bearer(secret))).status, 200);
  });
});

describe('What the broker says', () => {
  for (const [code, status] of [
    ['denied', 403],
    ['approval_pending', 403],
    ['stopped', 403],
    ['throttled', 429],
    ['unavailable', 503],
    ['closed', 503],
    ['misconfigured', 502],
    ['clock', 502],
    ['protocol', 502],
  ] as const satisfies readonly [AgentErrorCode, number][]) {
    test(`reaches the program as ${status} when it is ${code}`, async () => {
      failure = new AgentError(code, 'A message.', { hint: 'A hint.', approvalId: 'apr_1', brokerCode: 'b' });
      const { body, headers, ...answer } = await askLocally(endpoint.addressOf('open'));
      assert.equal(answer.status, status);
      assert.deepEqual(
        [body.code, body.title, body.hint, body.approval_id, body.broker_code, body.status],
        [code, 'A message.', 'A hint.', 'apr_1', 'b', status],
      );
      assert.equal(headers['retry-after'] !== undefined, status === 429 || status === 503);
    });
  }

  test('is the only thing that is told: a defect says nothing of what it is', async () => {
    failure = new Error('the key is d=secret');
    const { status, text } = await askLocally(endpoint.addressOf('open'));
    assert.equal(status, 502);
    assert.doesNotMatch(text, /secret/);
  });
});

test('A folder with a name that is too long for a socket is told, with what to do', async () => {
  const folder = `/${'long'.repeat(30)}`;
  await assert.rejects(offerTokensOnSocket({ folder } as RunContext), /shorter folder in TMPDIR/);
});

test('On a Unix socket only its user gets in, and needs no secret', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-test-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const socket = join(folder, 'tokens.sock');
  const one = await openLocalEndpoint({ verbs: [echo('open', anybodyHere)], socket });
  assert.equal(one.address, socket);
  assert.equal(statSync(socket).mode & 0o777, 0o600);
  const ask = (path: string, headers = {}) =>
    askLocally(`http://localhost${path}`, { socketPath: socket, headers });
  assert.equal((await ask(one.addressOf('open'))).status, 200);
  assert.equal((await ask('/other/open')).status, 404);
  assert.equal((await ask('/open', { Origin: 'https://example.com' })).status, 403);
  await one.close();
  await assert.rejects(ask('/open'));
});

test('Whatever is sent, nothing of a run comes back and nothing breaks', async () => {
  const secret = await secretOf(bootstrapWith(bootstrap.code));
  const { pathname } = new URL(endpoint.address);
  const word = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.constantFrom('Host', 'Content-Length', 'Transfer-Encoding', 'chunked', 'Expect', '100-continue', '..'),
  );
  const path = fc.oneof(
    word,
    fc.constantFrom(`${pathname}/open`, `${pathname}/echo`, `${pathname}/bootstrap`),
  );
  const line = fc
    .tuple(fc.constantFrom('GET', 'POST', 'CONNECT', 'PRI'), path)
    .map((words) => words.join(' '));
  const headers = fc.array(
    fc.tuple(word, word).map((pair) => pair.join(': ')),
    { maxLength: 4 },
  );
  const message = fc
    .tuple(line, headers, fc.string({ maxLength: 100 }))
    .map(
      ([first, fields, body]) =>
        `${first} HTTP/1.1\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n${body}`,
    );
  const secrets = [secret, bootstrap.code];
  await fc.assert(
    fc.asyncProperty(fc.oneof(message, fc.string({ maxLength: 200 })), async (bytes) => {
      const answer = await sendBytes(endpoint.address, bytes);
      assert.doesNotMatch(answer, /^HTTP\/1\.1 5/);
      for (const one of secrets) assert.ok(!answer.includes(one));
    }),
    { numRuns: 200 },
  );
  const { status } = await askLocally(endpoint.addressOf('echo'), { headers: bearer(secret) });
  assert.equal(status, 200);
});
