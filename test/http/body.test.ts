import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Route } from '../../src/http/route.ts';
import {
  assertOracle,
  CANARY,
  FORM,
  type Header,
  header,
  JSON_TYPE,
  openClient,
  postForm,
  postJson,
  request,
  send,
  startEdge,
} from './wire.ts';

describe('TRN-50 to TRN-60: what is not one JSON document is refused before a handler sees it', () => {
  const nested = (depth: number, open: string, close: string) =>
    `${open.repeat(depth)}1${close.repeat(depth)}`;
  const cases: [string, string | Buffer, number?][] = [
    ...[33, 100, 10_000].flatMap((depth): [string, string][] => [
      [`arrays ${depth} deep`, nested(depth, '[', ']')],
      [`objects ${depth} deep`, nested(depth, '{"a":', '}').slice(0, 65_000)],
      [`a mixture ${depth} deep`, nested(depth, '[{"a":', '}]').slice(0, 65_000)],
    ]),
    ['200,000 brackets', '['.repeat(200_000), 413],
    [
      '50,000 names like integers',
      `{${Array.from({ length: 50_000 }, (_, index) => `"${index}":1`).join(',')}}`,
      413,
    ],
    [
      '6,000 names like integers',
      `{${Array.from({ length: 6_000 }, (_, index) => `"${index * 7}":1`).join(',')}}`,
    ],
    ['a byte order mark', '\ufeff{}'],
    ['a trailing comma', '{"a":1,}'],
    ['NaN', '{"a":NaN}'],
    ['single quotes', "{'a':1}"],
    ['a comment', '{/**/}'],
    ['two documents', '{}{}'],
    ['trailing bytes', `{}${CANARY}`],
    ['UTF-16 LE', Buffer.from('{"a":1}', 'utf16le')],
    ['UTF-16 BE', Buffer.from('{"a":1}', 'utf16le').swap16()],
    ['UTF-32', Buffer.from('7b0000007d000000', 'hex')],
    ['broken UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['a member twice', '{"a":1,"a":1}'],
    ['a member twice, once escaped', '{"a":1,"\\u0061":2}'],
    ['__proto__', `{"__proto__":{"${CANARY}":1}}`],
    ['a lone surrogate', '"\\ud800"'],
    ...['1e400', '-0', '9007199254740993', '1E+2', '0.1e1', '01', '+1', '1.', '1.0'].map(
      (literal): [string, string] => [literal, `{"seconds":${literal}}`],
    ),
  ];
  for (const [name, body, status = 400] of cases) {
    test(`${name} is refused`, async (context) => {
      const edge = await startEdge(context);
      const start = performance.now();
      const answer = await send(edge.port, postJson(body));
      assert.ok(performance.now() - start < 10_000);
      assert.equal(answer?.status, status, `${answer?.body}`);
      assert.equal(header(answer, 'content-type'), 'application/problem+json');
      assert.equal(edge.calls.length, 0);
      await assertOracle(edge, answer);
    });
  }

  for (const type of [
    'text/json',
    'application/json; charset=utf-16',
    'application/problem+json',
    'application/jsonp',
    'text/plain',
  ]) {
    test(`${type} is refused`, async (context) => {
      const edge = await startEdge(context);
      const answer = await send(
        edge.port,
        request('POST /v1/things/a', { headers: [['Content-Type', type]], body: '{}' }),
      );
      assert.equal(answer?.status, 415);
      await assertOracle(edge, answer);
    });
  }

  for (const type of [
    'application/json',
    'Application/JSON',
    'application/json; charset=utf-8',
    'application/json;charset="UTF-8"',
  ]) {
    test(`${type} is read`, async (context) => {
      const edge = await startEdge(context);
      const answer = await send(
        edge.port,
        request('POST /v1/things/a', { headers: [['Content-Type', type]], body: '{"a":[1,"é"]}' }),
      );
      assert.equal(answer?.status, 200);
      assert.deepEqual(edge.calls[0]?.json, { a: [1, 'é'] });
    });
  }

  test('no body is no value, and needs no Content-Type', async (context) => {
    const edge = await startEdge(context);
    assert.equal((await send(edge.port, request('POST /v1/things/b')))?.status, 200);
    assert.equal(edge.calls[0]?.json, undefined);
    assert.equal(edge.calls[0]?.params.name, 'b');
  });

  test('a route that carries other people’s values may let fractions through', async (context) => {
    const route: Route = {
      method: 'POST',
      path: '/v1/free',
      format: 'problem',
      may: 'anyone',
      body: 'json',
      numbers: 'any',
      answer: (call) => ({ body: call.json }),
    };
    const edge = await startEdge(context, { routes: [route] });
    const free = (body: string) => send(edge.port, request('POST /v1/free', { headers: [JSON_TYPE], body }));
    assert.equal((await free('[1.5,1E+2]'))?.body, '[1.5,100]');
    assert.equal((await free('[1e400]'))?.status, 400);
  });
});

describe('A body has a bound that is kept while it arrives', () => {
  const full = `a=${'b'.repeat(16_000)}&c=${'d'.repeat(16_000)}&e=${'f'.repeat(16_000)}&g=${'h'.repeat(16_000)}`;
  const exactly = (bytes: number) => full.padEnd(bytes, '&').slice(0, bytes);

  test('65,536 bytes are read and one more refused', async (context) => {
    const edge = await startEdge(context);
    assert.equal((await send(edge.port, postForm(exactly(65_536))))?.status, 200);
    const answer = await send(edge.port, postForm(exactly(65_537)));
    assert.equal(answer?.status, 413);
    await assertOracle(edge, answer);
  });

  test('a chunked body is counted, too', async (context) => {
    const edge = await startEdge(context);
    const chunk = `4000\r\n${'&'.repeat(16_384)}\r\n`;
    const bytes = (chunks: number) =>
      request('POST /oauth/token', {
        headers: [FORM, ['Transfer-Encoding', 'chunked']],
        body: `${chunk.repeat(chunks)}0\r\n\r\n`,
      });
    assert.equal((await send(edge.port, bytes(4)))?.status, 200);
    const answer = await send(edge.port, bytes(5));
    assert.equal(answer?.status, 413);
    await assertOracle(edge, answer);
  });

  test('two megabytes are refused with an answer that their sender can read', async (context) => {
    const edge = await startEdge(context);
    const answer = await send(edge.port, postForm('a'.repeat(2_000_000)));
    assert.equal(answer?.status, 413);
    await assertOracle(edge, answer);
  });

  test('who goes on sending after the refusal is cut off', async (context) => {
    const edge = await startEdge(context, { limits: { discardedBytes: 100_000 } });
    const client = openClient(edge.port);
    client.write(request('POST /oauth/token', { headers: [FORM, ['Transfer-Encoding', 'chunked']] }));
    const chunk = `4000\r\n${'&'.repeat(16_384)}\r\n`;
    const pump = () => {
      while (!client.socket.destroyed && client.socket.write(chunk));
    };
    client.socket.on('drain', pump);
    pump();
    await client.closed();
    assert.ok(client.socket.bytesWritten < 50_000_000);
    await assertOracle(edge, null);
  });

  test('after a refusal the connection is of use', async (context) => {
    const edge = await startEdge(context);
    const client = openClient(edge.port);
    client.write(Buffer.concat([postForm(exactly(70_000)), postForm('grant_type=next')]));
    assert.equal((await client.answer())?.status, 413);
    assert.match((await client.answer())?.body ?? '', /next/);
    client.socket.destroy();
  });
});

describe('The query is no second place for parameters', () => {
  const post = (query: string, body: string) =>
    request(`POST /oauth/token?${query}`, { headers: [FORM], body });

  test('a parameter that the endpoint reads is refused there', async (context) => {
    const edge = await startEdge(context);
    for (const query of ['grant_type=a', 'scope=b', 'resource=c', 'grant%5Ftype=a']) {
      const answer = await send(edge.port, post(query, 'grant_type=client_credentials'));
      assert.equal(answer?.status, 400, query);
      await assertOracle(edge, answer);
    }
  });

  test('a parameter that nobody knows is ignored there', async (context) => {
    const edge = await startEdge(context);
    assert.equal((await send(edge.port, post('trace=1&x', 'grant_type=a')))?.status, 200);
  });

  test('a route reads its query when it asks for it, as strictly as a form', async (context) => {
    const route: Route = {
      method: 'GET',
      path: '/v1/list',
      format: 'problem',
      may: 'anyone',
      answer: (call) => ({ body: { cursor: call.query.one('cursor') ?? null } }),
    };
    const edge = await startEdge(context, { routes: [route] });
    const list = (query: string) => send(edge.port, request(`GET /v1/list${query}`));
    assert.equal((await list('?cursor=a+b%C3%A9'))?.body, '{"cursor":"a bé"}');
    assert.equal((await list(''))?.body, '{"cursor":null}');
    for (const query of ['?cursor=a&cursor=b', '?cursor=%FF', '?cursor=%00']) {
      assert.equal((await list(query))?.status, 400, query);
    }
  });
});

test('a form in any of the usual spellings of its type is read', async (context) => {
  const edge = await startEdge(context);
  for (const type of [
    'application/x-www-form-urlencoded;charset=UTF-8',
    'application/x-www-form-urlencoded; charset=utf-8',
    'APPLICATION/X-WWW-FORM-URLENCODED',
    'application/x-www-form-urlencoded ; charset="utf-8"',
  ]) {
    const headers: Header[] = [['Content-Type', type]];
    const answer = await send(edge.port, request('POST /oauth/token', { headers, body: 'scope=a+b' }));
    assert.equal(answer?.status, 200, type);
  }
});
