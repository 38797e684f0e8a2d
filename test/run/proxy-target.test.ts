/** What a program may ask for: written in one way, and one of the run's resources. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openProxy } from '../../src/run/proxy.ts';
import { AgentError } from '../../src/sdk/index.ts';
import { openClient } from '../http/wire.ts';
import { fc } from '../properties.ts';
import { soakFactor } from '../soak.ts';
import { codeOf, proxyRequest, startRawUpstream, startTestProxy, whole } from './proxy-world.ts';

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
