import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openProxy } from '../../src/run/proxy.ts';
import { AgentError } from '../../src/sdk/index.ts';
import { until } from '../broker-process.ts';
import { openClient, send } from '../http/wire.ts';
import { fc } from '../properties.ts';
import { METADATA, TOKEN } from '../sdk/hostile-server.ts';
import { soakFactor } from '../soak.ts';
import {
  ACCESS_TOKEN,
  codeOf,
  proxyRequest,
  startRawUpstream,
  startTestProxy,
  whole,
} from './proxy-world.ts';

const upstream = await startRawUpstream();
const other = await startRawUpstream();
const world = await startTestProxy({ resources: [`${upstream.url}/api`], limits: { bodyBytes: 3_000_000 } });
const { port, credentials } = world;
const place = `${upstream.url}/api`;

async function ask(line: string, options: Parameters<typeof world.ask>[1] = {}): Promise<string> {
  return codeOf(await world.ask(line, options));
}

/** Nobody upstream hears of it. */
async function assertRefused(line: string, code: string, options: Parameters<typeof world.ask>[1] = {}) {
  const before = [upstream.seen.length, other.seen.length];
  assert.equal(await ask(line, options), code, line);
  assert.deepEqual([upstream.seen.length, other.seen.length], before, line);
}

test('a request for a declared resource goes there with a token and a proof of its own', async () => {
  assert.equal(await ask(`GET ${place}/a?b=c`), 'resource 200');
  const { head = '' } = upstream.seen.at(-1) ?? {};
  assert.match(head, /^GET \/api\/a\?b=c HTTP\/1\.1\r\n/);
  assert.match(head, new RegExp(`\r\nhost: ${upstream.host}\r\n`, 'i'));
  assert.match(head, new RegExp(`\r\nauthorization: DPoP ${ACCESS_TOKEN}\r\n`, 'i'));
  assert.match(head, /\r\ndpop: eyJ[\w-]+\.[\w-]+\.[\w-]+\r\n/i);
  assert.match(head, /\r\naccept-encoding: identity\r\n/i);
});

describe('Who asks', () => {
  const wrong: [string, string | null, (readonly string[])?][] = [
    ['nobody', null],
    ['another password', `Basic ${Buffer.from('run:wrong').toString('base64')}`],
    ['the password under another name', `Basic ${Buffer.from(`me:${world.password}`).toString('base64')}`],
    ['another scheme', `Bearer ${world.password}`],
    ['the password cut short', credentials.slice(0, -8)],
    ['something that is no base64', 'Basic ***'],
    ['two of them', credentials, [`Proxy-Authorization: ${credentials}`]],
    ['the password where resources look for one', null, [`Authorization: ${credentials}`]],
  ];
  for (const [who, given, headers = []] of wrong) {
    test(`with ${who} is not of this run, and gets 407`, async () => {
      for (const line of [`GET ${place}`, `CONNECT ${upstream.host}`, 'GET /', `TRACE ${place}`]) {
        const before = upstream.seen.length;
        const answer = await send(
          port,
          proxyRequest(line, { headers, host: upstream.host, credentials: given }),
        );
        assert.equal(answer?.status, 407, line);
        assert.match(answer?.headers.get('proxy-authenticate')?.[0] ?? '', /^Basic realm=/);
        assert.ok(!JSON.stringify(answer?.body).includes(world.password));
        assert.equal(upstream.seen.length, before);
      }
    });
  }
});

describe('What is asked for', () => {
  const tunnels = ['5432', '22', '25', '53', '443', '80', '8443'].map((each) => [
    `127.0.0.1:${each}`,
    'tunnel_refused',
  ]);
  const noTunnels = [
    '127.0.0.1:0',
    '127.0.0.1:70000',
    '127.0.0.1:443:443',
    'a@127.0.0.1:443',
    '127.0.0.1',
    '[::1]',
    ':443',
  ];
  for (const [target, code] of [
    ...tunnels,
    [`${upstream.host}`, 'tunnel_refused'],
    ['[::ffff:10.0.0.1]:443', 'tunnel_refused'],
    ...noTunnels.map((each) => [each, 'target_malformed']),
  ]) {
    test(`is no tunnel: CONNECT ${target} is ${code} (EGR-02, EGR-06)`, async () => {
      await assertRefused(`CONNECT ${target}`, `${code}`, { host: `${target}` });
    });
  }

  test('is no tunnel either when bytes of TLS follow at once (EGR-02)', async () => {
    const client = openClient(port);
    const hello = Buffer.from('16030100050100000100', 'hex');
    client.write(
      Buffer.concat([
        proxyRequest(`CONNECT ${upstream.host}`, { host: 'other.test:443', credentials }),
        hello,
      ]),
    );
    assert.equal(codeOf(await client.answer()), 'tunnel_refused');
    await client.closed();
  });

  const port8 = upstream.host.split(':')[1];
  const odd: [string, string][] = [
    [`http://[::ffff:127.0.0.1]:${port8}/api`, 'target_malformed'],
    [`http://[::ffff:7f00:1]:${port8}/api`, 'resource_not_declared'],
    [`http://[64:ff9b::7f00:1]:${port8}/api`, 'resource_not_declared'],
    [`http://[::1]:${port8}/api`, 'resource_not_declared'],
    [`http://0x7f000001:${port8}/api`, 'target_malformed'],
    [`http://2130706433:${port8}/api`, 'target_malformed'],
    [`http://0177.0.0.1:${port8}/api`, 'target_malformed'],
    [`http://127.1:${port8}/api`, 'target_malformed'],
    [`http://127.0.0.1.:${port8}/api`, 'target_malformed'],
    [`http://localhost:${port8}/api`, 'resource_not_declared'],
    [`http://user@${upstream.host}/api`, 'target_malformed'],
    [`http://user:pass@${upstream.host}/api`, 'target_malformed'],
    [`http://${upstream.host}@${other.host}/api`, 'target_malformed'],
    [`http://${other.host}/api`, 'resource_not_declared'],
    [`http://${upstream.host}:${port8}/api`, 'target_malformed'],
    [`http://127.0.0.1:0${port8}/api`, 'target_malformed'],
    ['http://127.0.0.1:/api', 'target_malformed'],
    ['http://127.0.0.1/api', 'resource_not_declared'],
    [`http://%3127.0.0.1:${port8}/api`, 'target_malformed'],
    [`http:\\\\${upstream.host}\\api`, 'request_malformed'],
    [`http:/${upstream.host}/api`, 'request_malformed'],
    [`http:///${upstream.host}/api`, 'target_malformed'],
    [`http://${upstream.host}\\@${other.host}/api`, 'request_malformed'],
    [`http://${upstream.host}#@${other.host}/api`, 'request_malformed'],
    [`http://${upstream.host}.evil.test/api`, 'target_malformed'],
    [`https://${upstream.host}/api`, 'resource_not_declared'],
    [`ftp://${upstream.host}/api`, 'target_malformed'],
    [`//${upstream.host}/api`, 'target_not_absolute'],
    ['/api', 'target_not_absolute'],
    ['*', 'target_not_absolute'],
    [`${upstream.url}/`, 'resource_not_declared'],
    [`${upstream.url}/apix`, 'resource_not_declared'],
    [`${upstream.url}/api/../secret`, 'resource_not_declared'],
    [`${upstream.url}/api/%2e%2e/secret`, 'resource_not_declared'],
    [`${upstream.url}/api/..%2fsecret`, 'target_malformed'],
    [`${upstream.url}/api/%2e%2e%5Csecret`, 'target_malformed'],
    [`${upstream.url}/api/..;x/secret`, 'target_malformed'],
  ];
  for (const [target, code] of odd) {
    test(`is not ${target}: ${code} (EGR-04)`, async () => {
      const host = /^\w+:\/\/(?:[^@/]*@)?([^/?#\\]*)/.exec(target)?.[1] ?? upstream.host;
      await assertRefused(`GET ${target}`, code, { host });
      await assertRefused(`GET ${target}`, code === 'resource_not_declared' ? 'host_differs' : code, {
        host: 'elsewhere.test',
      });
    });
  }

  const hosts: [string, Parameters<typeof world.ask>[1]][] = [
    ['none', { host: null }],
    ['another one', { host: other.host }],
    ['one without the port', { host: '127.0.0.1' }],
    ['two', { headers: [`Host: ${upstream.host}`] }],
    ['two that differ', { headers: [`Host: ${other.host}`] }],
    ['one with a name', { host: `user@${upstream.host}` }],
    ['two in one', { host: `${upstream.host}, ${other.host}` }],
  ];
  for (const [name, options] of hosts) {
    test(`has one Host, that of the address, and not ${name} (EGR-02)`, () =>
      assertRefused(`GET ${place}`, 'host_differs', options));
  }

  const malformed: [string, string, readonly string[], string?][] = [
    ['TRACE', 'method_refused', []],
    ['GET', 'upgrade_refused', ['Connection: Upgrade', 'Upgrade: websocket']],
    ['GET', 'request_malformed', ['Content-Length: 2'], 'ab'],
    ['POST', 'request_malformed', ['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'],
    ['POST', 'request_malformed', ['Content-Length: 2', 'Content-Length: 3'], 'ab'],
    ['POST', 'request_malformed', ['Content-Length: 2', 'Transfer-Encoding: chunked'], '0\r\n\r\n'],
    ['POST', 'request_malformed', ['Content-Type: a/b', 'Content-Type: c/d'], 'ab'],
    ['POST', 'body_too_large', ['Content-Length: 3000001']],
    ['GET', 'header_too_large', [`X: ${'a'.repeat(20_000)}`]],
    ['GET', 'request_malformed', ['X : a']],
    ['GET', 'request_malformed', [' X: a']],
  ];
  for (const [method, code, headers, body = ''] of malformed) {
    test(`is not ${method} with ${headers.join(', ').slice(0, 60) || 'nothing else'}: ${code}`, () =>
      assertRefused(`${method} ${place}`, code, { headers, body }));
  }

  test('may be an offer of HTTP/2, which is passed over', async () => {
    const headers = [
      'Connection: Upgrade, HTTP2-Settings',
      'Upgrade: h2c',
      'HTTP2-Settings: AAMAAABkAAQAoAAA',
    ];
    assert.equal(await ask(`GET ${place}`, { headers }), 'resource 200');
    assert.doesNotMatch(upstream.seen.at(-1)?.head ?? '', /upgrade|http2/i);
  });
});

test('what is for this hop, or says who asks, does not go upstream, and credentials never do (EGR-10)', async () => {
  const headers = [
    'Authorization: Bearer child-secret',
    'DPoP: child-proof',
    'Proxy-Connection: keep-alive',
    'Connection: close, X-Mine, Keep-Alive',
    'Keep-Alive: timeout=5',
    'X-Mine: mine',
    'TE: trailers',
    'Trailer: X-Late',
    'Via: 1.1 child',
    'Forwarded: for=6.6.6.6',
    'X-Forwarded-For: 6.6.6.6',
    'X-Forwarded-Host: evil.test',
    'X-Real-IP: 6.6.6.6',
    'Accept-Encoding: gzip, br',
    'Expect: 100-continue',
    'X-Kept: one',
    'X-Kept: two',
    'Cookie: a=1',
    'Cookie: b=2',
  ];
  assert.equal(await ask(`POST ${place}`, { headers, body: 'hello' }), 'resource 200');
  const { head = '' } = upstream.seen.at(-1) ?? {};
  const names = [...head.matchAll(/\r\n([\w-]+):/g)].map(([, name = '']) => name.toLowerCase());
  assert.deepEqual(names.toSorted(), [
    'accept-encoding',
    'authorization',
    'connection',
    'content-length',
    'cookie',
    'dpop',
    'host',
    'x-kept',
  ]);
  assert.match(head, /\r\nx-kept: one, two\r\n/i);
  assert.match(head, /\r\ncookie: a=1; b=2\r\n/i);
  assert.match(head, /\r\nconnection: keep-alive\r\n/i);
  for (const secret of [world.password, credentials.slice(6), 'child-', 'evil', '6.6.6.6']) {
    assert.ok(!head.includes(secret), secret);
  }
  assert.ok(head.endsWith('\r\n\r\nhello'));
});

test('what is between agent and resource, or leads around the proxy, does not come back', async () => {
  upstream.answers(
    whole(
      'ok',
      'Connection: X-Hop',
      'X-Hop: 1',
      'Keep-Alive: timeout=1',
      'Proxy-Status: mayfly-run; error=http_request_denied',
      'Proxy-Authenticate: Basic realm="x"',
      'Via: 1.1 resource',
      'Alt-Svc: h3=":443"',
      'DPoP-Nonce: n',
      'Set-Cookie: a=1',
      'Set-Cookie: b=2',
      'X-Own: kept',
    ),
  );
  const { headers, body } = await world.read(`GET ${place}`);
  assert.deepEqual([...headers.keys()].toSorted(), [
    'connection',
    'content-length',
    'date',
    'set-cookie',
    'x-own',
  ]);
  assert.deepEqual(headers.get('set-cookie'), ['a=1', 'b=2']);
  assert.equal(body, 'ok');
});

test('a body of some size goes through whole in both directions, and one that is too long does not', async () => {
  const body = Buffer.alloc(2_500_000, 'abcdefg');
  upstream.answers(
    ({ socket, head }) => void socket.write(whole(head.slice(head.indexOf('\r\n\r\n') + 4)), 'latin1'),
  );
  const answer = await world.read(`POST ${place}`, {
    body,
    headers: { 'Content-Length': String(body.length) },
  });
  assert.equal(answer.status, 200);
  assert.ok(Buffer.from(answer.body, 'latin1').equals(body));
  upstream.answers(() => undefined);
  const long = await world.read(`POST ${place}`, {
    body: Buffer.alloc(3_000_001, 'x'),
    headers: { 'Transfer-Encoding': 'chunked' },
  });
  assert.equal(codeOf(long), 'body_too_large', long.body);
});

test('a program that sends everything before it reads gets an answer that came early', async () => {
  upstream.answers(
    ({ socket }) =>
      void socket.end('HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno'),
  );
  const denied = await startTestProxy({ resources: [upstream.url] });
  denied.broker.answers(TOKEN, { status: 400, body: { code: 'invalid_scope' } });
  const one = await startTestProxy({ resources: [upstream.url] });
  for (const [line, expected, by] of [
    [`POST ${place}`, 'resource 413', one],
    [`POST ${place}`, 'denied', denied],
    [`POST http://${other.host}/`, 'resource_not_declared', one],
  ] as const) {
    const client = by.connect();
    const bytes = 16_000_000; // more than two sockets hold
    const headers = [`Content-Length: ${bytes}`];
    client.write(proxyRequest(line, { headers, credentials: by.credentials }));
    for (let sent = 0; sent < bytes; sent += 100_000) {
      if (!client.socket.write(Buffer.alloc(100_000, 'x')))
        await new Promise((drained) => client.socket.once('drain', drained));
    }
    const answer = await client.answer();
    assert.equal(codeOf(answer), expected);
    client.write(proxyRequest(`GET http://${other.host}/`, { credentials: by.credentials }));
    assert.equal(codeOf(await client.answer()), 'resource_not_declared', 'the connection goes on');
    client.socket.destroy();
  }
});

test('whoever reads slowly is waited for, and nothing piles up meanwhile', async () => {
  let written = 0;
  const total = 100_000_000;
  upstream.answers(({ socket }) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
    const part = Buffer.alloc(100_000, 'x');
    const more = () => {
      while (!socket.destroyed && written < total) {
        written += part.length;
        if (!socket.write(part)) return void socket.once('drain', more);
      }
    };
    more();
  });
  const client = openClient(port);
  client.socket.pause();
  client.write(proxyRequest(`GET ${place}`, { credentials }));
  let last = -1;
  await until(async () => {
    const still = written > 0 && written === last;
    last = written;
    await new Promise((turn) => setTimeout(turn, 200));
    return still;
  }, 'it stands still');
  assert.ok(written < total / 2, `${written} bytes were taken`);
  const { socket } = upstream.seen.at(-1) ?? assert.fail();
  client.socket.destroy();
  await until(() => socket.destroyed, 'the resource is told that nobody reads any more');
});

describe('What the broker says no to', () => {
  const answers: [string, string, number, string][] = [
    ['invalid_scope', 'denied', 403, 'absent'],
    ['approval_required', 'approval_pending', 403, 'absent'],
    ['agent_stopped', 'stopped', 403, 'absent'],
    ['rate_limited', 'throttled', 429, '3600'],
    ['invalid_client', 'misconfigured', 502, 'absent'],
  ];
  for (const [brokerCode, code, status, retryAfter] of answers) {
    test(`as ${brokerCode} is ${status} ${code} for the program`, async () => {
      const one = await startTestProxy({ resources: [upstream.url] });
      const body = {
        error: 'x',
        code: brokerCode,
        error_description: 'Told',
        hint: 'Ask them',
        request_id: 'req_1',
      };
      const isRate = status === 429;
      one.broker.answers(TOKEN, {
        status: isRate ? 429 : 400,
        headers: isRate ? { 'Retry-After': '3600' } : {},
        body,
      });
      const before = upstream.seen.length;
      const answer = await one.ask(`GET ${upstream.url}/`);
      assert.equal(codeOf(answer), code);
      assert.equal(answer?.status, status);
      assert.equal(answer?.headers.get('content-type')?.[0], 'application/problem+json');
      assert.equal(answer?.headers.get('retry-after')?.[0] ?? 'absent', retryAfter);
      assert.equal(JSON.parse(answer?.body ?? '').broker_code, brokerCode);
      assert.equal(upstream.seen.length, before);
    });
  }

  test('by not being there is 503 with Retry-After', async () => {
    const one = await startTestProxy({ resources: [upstream.url] });
    one.broker.answers(METADATA, { status: 0 });
    const answer = await one.ask(`GET ${upstream.url}/`);
    assert.equal(codeOf(answer), 'unavailable');
    assert.match(answer?.headers.get('retry-after')?.[0] ?? '', /^\d+$/);
  });
});

test('a place within the resource that it redirects to is told as the program can follow it', async () => {
  const secure = await openProxy({
    agent: {
      fetch: async (url) =>
        new Response(null, { status: 302, headers: { Location: String(url).replace('/from', '/to') } }),
    },
    resources: ['https://customers.example.com'],
  });
  const { port: at, username, password } = new URL(secure.environment.http_proxy ?? '');
  const own = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const go = async (target: string) => {
    const answer = await send(Number(at), proxyRequest(`GET ${target}`, { credentials: own }));
    return answer?.headers.get('location')?.[0] ?? codeOf(answer);
  };
  assert.equal(await go('http://customers.example.com/from'), 'http://customers.example.com/to');
  assert.equal(await go('http://CUSTOMERS.example.com:80/from'), 'http://customers.example.com/to');
  assert.equal(await go('https://customers.example.com/from'), 'http://customers.example.com/to');
  assert.equal(await go('http://customers.example.com:8080/from'), 'resource_not_declared');
  assert.equal(await go('http://customers.example.com.evil.test/from'), 'resource_not_declared');
  await secure.close();
});

test('resources that are none, or the same place twice, are refused at the start', async () => {
  const wrong = [
    [],
    ['http://customers.example.com'],
    ['customers'],
    ['https://a.test/?x'],
    ['https://u:p@a.test'],
    ['https://a.test/#x'],
    ['http://localhost:9', 'https://localhost:9'],
  ];
  for (const resources of wrong) {
    const error = await openProxy({ agent: world.agent, resources }).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof AgentError && error.code === 'misconfigured', JSON.stringify(resources));
  }
});

test('whatever is asked for, no undeclared place is spoken to, and nobody gets a 500 (EGR-02, EGR-04)', async () => {
  const piece = fc.constantFrom(
    'http://', 'https://', 'HTTP://', '//', '/', '/api', '/api/', '..', '%2e', '%2f', '@', ':', '\\', '#', '?', ';',
    upstream.host, other.host, '127.0.0.1', 'localhost', '[::1]', '0x7f000001', 'a.test', '%00', '\u00e9', 'x',
  ); // biome-ignore format: a list
  const header = fc.constantFrom(
    'Connection: upgrade', 'Connection: close, host', 'Connection: authorization', 'Upgrade: h2c', 'Upgrade: websocket', 'Expect: 100-continue', 'Expect: x', 'TE: gzip',
    'Transfer-Encoding: chunked', 'Transfer-Encoding: identity', 'Content-Length: 0', 'Content-Length: 5', 'Content-Length: -1', 'X-\u00e9: a', 'X: \u00ff\u0080', 'Cookie: a',
    `Host: ${upstream.host}`, `Host: ${other.host}`, 'Authorization: Basic x', 'DPoP: x', 'Max-Forwards: 0',
  ); // biome-ignore format: a list
  upstream.answers(({ socket }) => socket.write(whole('ok')));
  const from = upstream.seen.length;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(
        'GET',
        'POST',
        'PUT',
        'DELETE',
        'HEAD',
        'OPTIONS',
        'CONNECT',
        'TRACE',
        'PROPFIND',
        'get',
        'QUERY',
      ),
      fc.oneof(
        fc.constant(`${place}/x`),
        fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join('')),
      ),
      fc.array(header, { maxLength: 3 }),
      fc.constantFrom(upstream.host, other.host, '', 'a.test'),
      async (method, target, headers, host) => {
        const client = openClient(port);
        client.write(
          proxyRequest(`${method} ${target || '/'}`, { headers, host, body: 'hello', credentials }),
        );
        await client.answer({ toHead: true });
        client.socket.destroy();
        assert.doesNotMatch(client.received(), /^HTTP\/1\.1 5/);
      },
    ),
    { numRuns: 150 * soakFactor() },
  );
  assert.equal(other.seen.length, 0);
  const heads = upstream.seen.slice(from).map(({ head }) => head);
  assert.ok(heads.length > 0);
  for (const head of heads) {
    assert.match(head, /^\S+ \/api(?:[/?]\S*)? HTTP\/1\.1\r\n/);
    assert.match(head, new RegExp(`\r\nhost: ${upstream.host}\r\n`, 'i'));
    assert.doesNotMatch(head, /\r\n(?:proxy-|upgrade|transfer-encoding: identity)/i);
  }
});
