/** Who may ask, what passes and what does not, and what is said when it is no. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { openProxy } from '../../src/run/proxy.ts';
import { send } from '../http/wire.ts';
import { METADATA, TOKEN } from '../sdk/hostile-server.ts';
import { makeCertificate } from '../test-certificate.ts';
import {
  ACCESS_TOKEN,
  codeOf,
  proxyRequest,
  startRawUpstream,
  startTestProxy,
  whole,
} from './proxy-world.ts';

const upstream = await startRawUpstream();
const world = await startTestProxy({ resources: [`${upstream.url}/api`], limits: { bodyBytes: 3_000_000 } });
const { port, credentials } = world;
const place = `${upstream.url}/api`;

async function ask(line: string, options: Parameters<typeof world.ask>[1] = {}): Promise<string> {
  return codeOf(await world.ask(line, options));
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

describe('A resource that speaks TLS', () => {
  const { certificate, privateKey } = makeCertificate(['127.0.0.1']);
  let secure: Server;
  before(async () => {
    secure = createServer({ cert: certificate, key: privateKey }, (_request, response) =>
      response.end('secret'),
    );
    await once(secure.listen(0, '127.0.0.1'), 'listening');
  });
  after(() => secure.close());
  const addressOf = (protocol: string, host: string) =>
    `${protocol}://${host}:${(secure.address() as AddressInfo).port}`;

  test('is asked under http://, and answers over https', async () => {
    const one = await startTestProxy({
      resources: [addressOf('https', '127.0.0.1')],
      authorities: certificate,
    });
    assert.equal((await one.read(`GET ${addressOf('http', '127.0.0.1')}/`)).body, 'secret');
    assert.equal((await one.read(`GET ${addressOf('https', '127.0.0.1')}/`)).body, 'secret');
  });

  for (const [what, host, authorities] of [
    ['nobody vouches for it', '127.0.0.1', undefined],
    ['its certificate is for another name', 'localhost', certificate],
  ] as const) {
    test(`gets nothing when ${what}, whatever the environment says (EGR-02)`, async () => {
      process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
      const one = await startTestProxy({
        resources: [addressOf('https', host)],
        ...(authorities === undefined ? {} : { authorities }),
      });
      const answer = await one.read(`GET ${addressOf('http', host)}/`);
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      assert.equal(codeOf(answer), 'resource_unreachable');
    });
  }
});
