/** TRN: bytes on the broker's own listener, at every endpoint. (The edge by itself is tested in test/http.) */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { until } from '../broker-process.ts';
import { type Header, openClient, request, send, type WireAnswer } from '../http/wire.ts';
import { soakFactor } from '../soak.ts';
import { CANARY, expectSafeAnswer } from './after-checks.ts';
import { type Case, createStage } from './oracle.ts';
import { type Answer, formOf, jsonOf } from './raw-request.ts';

const stage = await createStage();
const port = Number(new URL(stage.broker.url).port);
const PATHS = ['/oauth/token', '/oauth/introspect', '/oauth/revoke', '/v1/tokens/tok_x/consume'];
const READ_PATHS = ['/.well-known/oauth-authorization-server', '/.well-known/jwks.json', '/oauth/authorize'];
const FORM: Header = ['Content-Type', 'application/x-www-form-urlencoded'];
const JSON_TYPE: Header = ['Content-Type', 'application/json'];
const typeOf = (path: string) => (path.startsWith('/v1/') ? JSON_TYPE : FORM);
const bodyOf = (path: string) => (path.startsWith('/v1/') ? '{}' : 'token=x');

/** As the oracle reads an answer. */
function answerOf({ status, headers, body }: WireAnswer): Answer {
  return { status, headers, text: body, body: jsonOf(body) };
}

type Entries = { count: string }[];
const countEntries = async () =>
  Number((await stage.world.query<Entries[number]>('select count(*) from audit_entries'))[0]?.count);

type Refusal = {
  name: string;
  bytes: (path: string) => string | Buffer;
  /** `close` stands for a connection that ended without an answer. */
  expected: readonly (number | 'close')[];
};

/** At every path that takes a body: refused below the handlers, and nothing of it remains. */
function refusals(title: string, cases: readonly Refusal[]): void {
  describe(title, () => {
    for (const { name, bytes, expected } of cases) {
      test(name, async () => {
        for (const path of PATHS) {
          const before = { rows: await stage.ledger.countRows(), entries: await countEntries() };
          const answer = await send(port, bytes(path));
          assert.ok(
            expected.includes(answer?.status ?? 'close'),
            `${path}: ${answer?.status} ${answer?.body}`,
          );
          if (answer !== null) expectSafeAnswer(answerOf(answer));
          const after = { rows: await stage.ledger.countRows(), entries: await countEntries() };
          assert.deepEqual(after, before, `${path}: framing leaves no entry and no row`);
          assert.equal((await stage.mint()).status, 200, 'the next good request is served');
        }
      });
    }
  });
}

const post = (path: string, headers: readonly Header[] = [], body?: string | Buffer) =>
  request(`POST ${path}`, { headers: [typeOf(path), ...headers], body: body ?? bodyOf(path) });
const chunked = (path: string, body: string) =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\n${typeOf(path).join(': ')}\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;
const line = (path: string, text: string) => `POST ${path} HTTP/1.1\r\nHost: a\r\n${text}`;

refusals('TRN-02: a length that could be read in two ways', [
  ...['5, 5', '+5', '0x5', '5 5', '9223372036854775808', '-1', '', 'five', '7.0'].map((length) => ({
    name: `Content-Length "${length}"`,
    bytes: (path: string) => post(path, [['Content-Length', length]]),
    expected: [400] as const,
  })),
  {
    name: 'two equal',
    bytes: (path) =>
      post(path, [
        ['Content-Length', '2'],
        ['Content-Length', '2'],
      ]),
    expected: [400],
  },
  {
    name: 'two different',
    bytes: (path) =>
      post(path, [
        ['Content-Length', '2'],
        ['content-length', '3'],
      ]),
    expected: [400],
  },
  {
    name: 'beside Transfer-Encoding',
    bytes: (path) =>
      post(path, [
        ['Content-Length', '2'],
        ['Transfer-Encoding', 'chunked'],
      ]),
    expected: [400],
  },
]);

refusals('TRN-04: chunks that could be read in two ways', [
  { name: 'a size of 2^61', bytes: (path) => chunked(path, '1FFFFFFFFFFFFFFFF\r\nx'), expected: [400, 413] },
  { name: 'no CRLF', bytes: (path) => chunked(path, '2\r\n{}X\r\n0\r\n\r\n'), expected: [400] },
  { name: 'a negative size', bytes: (path) => chunked(path, '-2\r\n{}\r\n0\r\n\r\n'), expected: [400] },
  { name: 'a size with 0x', bytes: (path) => chunked(path, '0x2\r\n{}\r\n0\r\n\r\n'), expected: [400] },
  {
    name: 'an extension of 20 kB',
    bytes: (path) => chunked(path, `2;${'a'.repeat(20_000)}\r\n{}\r\n0\r\n\r\n`),
    expected: [400, 413],
  },
  {
    name: 'Transfer-Encoding gzip, chunked',
    bytes: (path) => post(path, [['Transfer-Encoding', 'gzip, chunked']], '0\r\n\r\n'),
    expected: [400],
  },
  {
    name: 'Transfer-Encoding twice',
    bytes: (path) =>
      post(
        path,
        [
          ['Transfer-Encoding', 'chunked'],
          ['Transfer-Encoding', 'chunked'],
        ],
        '0\r\n\r\n',
      ),
    expected: [400],
  },
  ...['xchunked', 'chunked;q=1', 'chunked, chunked', 'chunked, identity', '"chunked"', 'identity'].map(
    (coding) => ({
      name: `Transfer-Encoding ${coding}`,
      bytes: (path: string) => post(path, [['Transfer-Encoding', coding]], '0\r\n\r\n'),
      expected: [400] as const,
    }),
  ),
]);

refusals('TRN-06, TRN-08: line ends and control characters', [
  { name: 'bare line feeds', bytes: (path) => `POST ${path} HTTP/1.1\nHost: a\n\n`, expected: [400] },
  { name: 'carriage returns alone', bytes: (path) => `POST ${path} HTTP/1.1\rHost: a\r\r`, expected: [400] },
  { name: 'CRLF CR', bytes: (path) => line(path, '\rX: y\r\n\r\n'), expected: [400] },
  { name: 'a folded DPoP header', bytes: (path) => line(path, 'DPoP: a\r\n b\r\n\r\n'), expected: [400] },
  {
    name: 'a folded DPoP header with a tab',
    bytes: (path) => line(path, 'DPoP: a\r\n\tb\r\n\r\n'),
    expected: [400],
  },
  { name: 'a space before the colon', bytes: (path) => line(path, 'DPoP : a\r\n\r\n'), expected: [400] },
  { name: 'a header without a colon', bytes: (path) => line(path, 'DPoP\r\n\r\n'), expected: [400] },
  { name: 'an empty header name', bytes: (path) => line(path, ': a\r\n\r\n'), expected: [400] },
  ...['\u0000', '\u0001', '\u000b', '\u007f'].map((character) => ({
    name: `U+${character.charCodeAt(0).toString(16).padStart(4, '0')} in the DPoP header`,
    bytes: (path: string) => post(path, [['DPoP', `a${character}b`]]),
    expected: [400] as const,
  })),
  { name: 'a header of 20 kB', bytes: (path) => post(path, [['DPoP', 'a'.repeat(20_000)]]), expected: [431] },
]);

refusals('TRN-10, TRN-36: targets', [
  {
    name: 'absolute-form of somebody else',
    bytes: (path) => request(`POST http://evil.test${path}`, { headers: [typeOf(path)], body: bodyOf(path) }),
    expected: [400],
  },
  {
    name: 'absolute-form of ours',
    bytes: (path) =>
      request(`POST https://broker.example.com${path}`, { headers: [typeOf(path)], body: bodyOf(path) }),
    expected: [400],
  },
  { name: 'authority-form', bytes: () => request('CONNECT evil.test:443'), expected: [400, 'close'] },
  { name: 'asterisk-form', bytes: () => request('OPTIONS *'), expected: [400] },
  {
    name: 'a fragment',
    bytes: (path) => request(`POST ${path}#x`, { headers: [typeOf(path)], body: bodyOf(path) }),
    expected: [400, 404],
  },
  {
    name: 'a backslash',
    bytes: (path) =>
      request(`POST ${path.replaceAll('/', '\\')}`, { headers: [typeOf(path)], body: bodyOf(path) }),
    expected: [400, 404],
  },
  {
    name: 'half an escape',
    bytes: (path) => request(`POST ${path}?a=%e`, { headers: [typeOf(path)], body: bodyOf(path) }),
    expected: [400, 404],
  },
  {
    name: 'raw UTF-8',
    bytes: (path) => Buffer.from(`POST ${path}ä HTTP/1.1\r\nHost: a\r\n\r\n`),
    expected: [400],
  },
  {
    name: 'a slash after it',
    bytes: (path) => request(`POST ${path}/`, { headers: [typeOf(path)], body: bodyOf(path) }),
    expected: [404],
  },
  {
    name: 'upper case',
    bytes: (path) => request(`POST ${path.toUpperCase()}`, { headers: [typeOf(path)], body: bodyOf(path) }),
    expected: [404],
  },
  {
    name: 'two slashes before it',
    bytes: (path) => request(`POST /${path}`, { headers: [typeOf(path)], body: bodyOf(path) }),
    expected: [404],
  },
  {
    name: 'an escaped slash',
    bytes: (path) =>
      request(`POST ${path.replace('/', '%2F')}`, { headers: [typeOf(path)], body: bodyOf(path) }),
    expected: [400, 404],
  },
  {
    name: 'dot segments',
    bytes: (path) => request(`POST /x/..${path}`, { headers: [typeOf(path)], body: bodyOf(path) }),
    expected: [404],
  },
  { name: 'no Host', bytes: (path) => `POST ${path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n`, expected: [400] },
  {
    name: 'two Hosts',
    bytes: (path) =>
      post(path, [
        ['Host', 'a'],
        ['Host', 'evil.test'],
      ]),
    expected: [400],
  },
]);

refusals('TRN-14, TRN-16, TRN-18: headers that come twice, types and encodings', [
  {
    name: 'DPoP, then Bearer',
    bytes: (path) =>
      post(path, [
        ['Authorization', 'DPoP a'],
        ['Authorization', 'Bearer b'],
      ]),
    expected: [400],
  },
  {
    name: 'Bearer, then DPoP',
    bytes: (path) =>
      post(path, [
        ['authorization', 'Bearer b'],
        ['Authorization', 'DPoP a'],
      ]),
    expected: [400],
  },
  {
    name: 'the same twice',
    bytes: (path) =>
      post(path, [
        ['Authorization', 'DPoP a'],
        ['Authorization', 'DPoP a'],
      ]),
    expected: [400],
  },
  {
    name: 'Content-Type twice',
    bytes: (path) => post(path, [['Content-Type', 'text/plain']]),
    expected: [400],
  },
  { name: 'no Content-Type', bytes: (path) => request(`POST ${path}`, { body: 'x' }), expected: [415] },
  ...[
    'text/plain',
    'multipart/form-data; boundary=x',
    'application/xml',
    `${CANARY}/x`,
    'application/x-www-form-urlencoded; charset=utf-7',
  ].map((type) => ({
    name: type,
    bytes: (path: string) => request(`POST ${path}`, { headers: [['Content-Type', type]], body: 'x' }),
    expected: [415] as const,
  })),
  ...(
    [
      ['gzip', gzipSync('token=x')],
      ['gzip', Buffer.from('no gzip')],
      ['gzip', gzipSync(Buffer.alloc(40_000_000))],
      ['br', Buffer.from('x')],
      ['deflate', Buffer.from('x')],
      ['gzip, gzip', Buffer.from('x')],
    ] as const
  ).map(([encoding, body], index) => ({
    name: `Content-Encoding ${encoding} (${index})`,
    bytes: (path: string) => post(path, [['Content-Encoding', encoding]], body),
    expected: [415] as const,
  })),
  {
    name: 'a body that announces 64 KiB and a byte',
    bytes: (path) => `${line(path, typeOf(path).join(': '))}\r\nContent-Length: 65537\r\n\r\n`,
    expected: [413],
  },
]);

/** A good request for a token with these headers beside its own. */
const withHeaders = (headers: readonly Header[]) => () => {
  const one = stage.tokenRequest();
  return { ...one, headers: [...(one.headers ?? []), ...headers] };
};
const names = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'valueOf', '__defineGetter__'];

stage.run('TRN: what only looks dangerous', [
  {
    id: 'TRN-12',
    name: 'headers called like members of every object, two hundred of them',
    ask: withHeaders(Array.from({ length: 200 }, (_, i): Header => [names[i % names.length] ?? 'x', 'x'])),
    expected: 'OK',
  },
  {
    id: 'TRN-28',
    name: 'headers that name another method or path',
    ask: withHeaders([
      ['X-HTTP-Method-Override', 'GET'],
      ['X-HTTP-Method', 'DELETE'],
      ['X-Original-URL', '/livez'],
      ['X-Rewrite-URL', '/livez'],
    ]),
    expected: 'OK',
  },
  {
    id: 'TRN-32',
    name: 'a request id of 10 kB',
    ask: withHeaders([['X-Request-Id', 'x'.repeat(10_000)]]),
    expected: 'OK',
  },
  {
    id: 'TRN-32',
    name: 'a request id with an escape of terminals and a path',
    ask: withHeaders([
      ['X-Request-Id', `\u009b31m../../${CANARY}`],
      ['Request-Id', '../../etc'],
      ['traceparent', `00-${CANARY}-01`],
      ['baggage', CANARY],
    ]),
    expected: 'OK',
  },
  {
    id: 'TRN-34',
    name: 'an Origin',
    ask: withHeaders([
      ['Origin', 'https://evil.test'],
      ['Sec-Fetch-Site', 'cross-site'],
    ]),
    expected: 'OK',
  },
  { id: 'TRN-34', name: 'the Origin null', ask: withHeaders([['Origin', 'null']]), expected: 'OK' },
  {
    id: 'TRN-34',
    name: 'cookies',
    ask: withHeaders([['Cookie', `session=${CANARY}-cookie; __proto__=x`]]),
    expected: 'OK',
    also: ({ headers }) => void assert.equal(headers.get('set-cookie'), undefined),
  },
  ...['/oauth/token', '/oauth/introspect', '/.well-known/jwks.json'].map(
    (path): Case => ({
      id: 'TRN-34',
      name: `a preflight for ${path}`,
      ask: () => ({
        method: 'OPTIONS',
        path,
        headers: [
          ['Origin', 'https://evil.test'],
          ['Access-Control-Request-Method', 'POST'],
          ['Access-Control-Request-Headers', 'dpop'],
        ],
      }),
      expected: '404',
      also: ({ headers }) => {
        for (const [name] of headers) assert.ok(!name.startsWith('access-control-'), name);
      },
    }),
  ),
  ...['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE'].map(
    (method): Case => ({
      id: 'TRN-35',
      name: `${method} at the token endpoint`,
      ask: () => ({ method, path: '/oauth/token' }),
      expected: '405',
      also: ({ headers }) => void assert.equal(headers.get('allow')?.join(), 'POST'),
    }),
  ),
]);

test('TRN-35: where people would sign in, there is a clear error and no redirect', async () => {
  const query = `response_type=code&client_id=${CANARY}&redirect_uri=https://evil.test/${CANARY}&state=${CANARY}`;
  for (const path of [
    `/oauth/authorize?${query}`,
    '/oauth/authorize',
    '/oauth/authorize?redirect_uri=javascript:alert(1)',
  ]) {
    const answer = await stage.ask({ method: 'GET', path });
    assert.equal(answer.status, 400);
    assert.equal(answer.body.error, 'unsupported_response_type');
    expectSafeAnswer(answer);
  }
});

test('TRN-30: the headers of a stranger change neither what a proof is for nor who is recorded', async () => {
  const open = await createStage({ world: stage.world, settings: { MAYFLY_TRUSTED_PROXIES: '' } });
  const forwarded: Header[] = [
    ['X-Forwarded-Host', 'evil.test'],
    ['X-Forwarded-Proto', 'http'],
    ['X-Forwarded-Port', '80'],
    ['X-Forwarded-Prefix', '/evil'],
    ['X-Real-IP', '6.6.6.6'],
    ['Forwarded', 'for=6.6.6.6;host=evil.test;proto=http'],
    ['Via', '1.1 evil'],
  ];
  const hops = Array.from({ length: 50 }, (_, index) => `6.6.6.${index}`).join(', ');
  const one = open.tokenRequest();
  const headers: Header[] = [...(one.headers ?? []), ...forwarded, ['X-Forwarded-For', hops]];
  const answer = await open.raw.send({ ...one, headers });
  assert.equal(answer.status, 200, answer.text);
  const [entry] = await open.ledger.entriesOf(answer);
  assert.equal(entry?.details.source, '127.0.0.1');
  const dpop = open.agent.proof(open.session, { claims: { htu: 'http://evil.test/oauth/token' } });
  const other = open.tokenRequest({ dpop });
  const refused = await open.raw.send({ ...other, headers: [...(other.headers ?? []), ...forwarded] });
  assert.equal(refused.body.error, 'invalid_dpop_proof');
});

test('TRN-08: bytes above 0x7f in the DPoP and Authorization headers are refused like any other nonsense', async () => {
  const { fields = {} } = stage.tokenRequest();
  const body = formOf(fields);
  const proof = await send(
    port,
    request('POST /oauth/token', { headers: [FORM, ['DPoP', 'a\u00ff\u0080b']], body }),
  );
  assert.equal(jsonOf(proof?.body ?? '')?.error, 'invalid_dpop_proof');
  const basic = await send(
    port,
    request('POST /oauth/token', {
      headers: [FORM, ['Authorization', 'Basic \u00ff']],
      body: 'grant_type=client_credentials&scope=a',
    }),
  );
  assert.equal(jsonOf(basic?.body ?? '')?.error, 'invalid_client');
  for (const answer of [proof, basic]) if (answer !== null) expectSafeAnswer(answerOf(answer));
});

const mintBytes = () => {
  const { fields = {}, headers = [] } = stage.tokenRequest();
  return request('POST /oauth/token', { headers: [FORM, ...headers], body: formOf(fields) });
};

test('TRN-38: bytes after the announced length are no request, and the request before them is answered', async () => {
  const client = openClient(port);
  client.write(Buffer.concat([mintBytes(), Buffer.from('garbage')]));
  const answer = await client.answer();
  assert.equal(answer?.status, 200, answer?.body ?? 'closed');
  await client.closed();
});

test('TRN-38: after an error, what follows on the connection is not taken for a request', async () => {
  const client = openClient(port);
  client.write(Buffer.concat([Buffer.from(chunked('/oauth/token', '-2\r\n')), mintBytes()]));
  const before = await stage.ledger.countRows();
  const answer = await client.answer();
  assert.equal(answer?.status, 400);
  await client.closed();
  assert.deepEqual(await stage.ledger.countRows(), before);
});

test('TRN-38: two good requests in one packet are two tokens, in order', async () => {
  const client = openClient(port);
  client.write(Buffer.concat([mintBytes(), mintBytes()]));
  for (let count = 0; count < 2; count += 1) assert.equal((await client.answer())?.status, 200);
  client.socket.destroy();
});

/** A good request for a token, byte for byte, with these lines in its header; chunked when there are trailers. */
function mintLines(lines: readonly string[], { method = 'POST', host = 'a', trailers = '' } = {}): string {
  const { fields = {}, headers = [] } = stage.tokenRequest();
  const body = formOf(fields);
  const length = trailers === '' ? `Content-Length: ${body.length}` : 'Transfer-Encoding: chunked';
  const sent = trailers === '' ? body : `${body.length.toString(16)}\r\n${body}\r\n0\r\n${trailers}\r\n`;
  const head = [
    `Host: ${host}`,
    FORM.join(': '),
    ...headers.map((each) => each.join(': ')),
    length,
    ...lines,
  ];
  return `${method} /oauth/token HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n${sent}`;
}

const oddButGood: [string, () => string][] = [
  ['an offer to become a WebSocket', () => mintLines(['Connection: Upgrade', 'Upgrade: websocket'])],
  [
    'an offer to become HTTP/2',
    () =>
      mintLines(['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAoAAA']),
  ],
  ['another Host', () => mintLines([], { host: 'evil.test' })],
  ['a Host with a port that is none', () => mintLines([], { host: 'evil.test:99999' })],
  ['an empty Host', () => mintLines([], { host: '' })],
  [
    'a second proof in the trailers',
    () => mintLines(['Trailer: DPoP'], { trailers: 'DPoP: x\r\nHost: evil.test\r\n' }),
  ],
  ['a wish for a page', () => mintLines(['Accept: text/html', 'Accept-Encoding: br;q=1, *;q=0'])],
  ['a wish to continue', () => mintLines(['Expect: 100-continue'])],
  [
    'a header that names the connection’s headers',
    () => mintLines(['Connection: close, DPoP, Content-Type']),
  ],
];
describe('TRN: what HTTP allows and a client hardly sends', () => {
  for (const [name, bytes] of oddButGood) {
    test(`${name} changes nothing`, async () => {
      const answer = await send(port, bytes());
      assert.equal(answer?.status, 200, answer?.body ?? 'closed');
      if (answer !== null) expectSafeAnswer(answerOf(answer));
    });
  }

  for (const method of ['post', 'Post', 'POST\t', 'PO ST']) {
    test(`the method ${JSON.stringify(method)} is none`, async () => {
      const before = await stage.ledger.countRows();
      const answer = await send(port, mintLines([], { method }));
      assert.equal(answer?.status, 400);
      if (answer !== null) expectSafeAnswer(answerOf(answer));
      assert.deepEqual(await stage.ledger.countRows(), before);
    });
  }

  test('a refusal is JSON also for who wishes for a page', async () => {
    const answer = await stage.ask({ fields: {}, headers: [['Accept', 'text/html,*/*;q=0.1']] });
    assert.equal(answer.status, 400);
    expectSafeAnswer(answer);
  });

  test('HEAD is answered like GET, without the body', async () => {
    for (const path of ['/.well-known/jwks.json', '/livez']) {
      const client = openClient(port);
      client.write(`HEAD ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
      await client.closed();
      assert.match(client.received(), /^HTTP\/1\.1 200 OK\r\n/);
      assert.ok(client.received().endsWith('\r\n\r\n'));
    }
  });
});

describe('TRN: the listener of the metrics', () => {
  const metricsPort = Number(new URL(stage.broker.metricsUrl).port);
  const wrong: [string, string | Buffer, number][] = [
    ['POST', request('POST /metrics', { headers: [FORM], body: 'x=1' }), 405],
    ['an unknown path', request(`GET /${CANARY}`), 404],
    ['the token endpoint', request('POST /oauth/token', { headers: [FORM], body: 'x=1' }), 404],
    ['a body', request('GET /metrics', { headers: [FORM], body: 'x=1' }), 400],
    ['an absolute target', request('GET http://evil.test/metrics'), 400],
    [
      'two lengths',
      request('GET /metrics', {
        headers: [
          ['Content-Length', '0'],
          ['Content-Length', '1'],
        ],
      }),
      400,
    ],
    ['bare line feeds', 'GET /metrics HTTP/1.1\nHost: a\n\n', 400],
    ['a header of 20 kB', request('GET /metrics', { headers: [['X-Big', 'a'.repeat(20_000)]] }), 431],
  ];
  for (const [name, bytes, status] of wrong) {
    test(`${name} is refused`, async () => {
      const answer = await send(metricsPort, bytes);
      assert.equal(answer?.status, status, answer?.body ?? 'closed');
      if (answer !== null) expectSafeAnswer(answerOf(answer));
    });
  }

  test('FLT-22: nothing that somebody sends becomes a series', async () => {
    const seriesOf = async () => {
      const text = await (await fetch(`${stage.broker.metricsUrl}/metrics`)).text();
      return (
        text
          .split('\n')
          // The first collection of a kind makes a series of its own, whenever it comes.
          .filter((each) => !each.startsWith('#') && !each.includes('_gc_duration_'))
          .map((each) => each.replace(/ [^ ]*$/, ''))
      );
    };
    for (let count = 0; count < 50; count += 1) {
      await stage.ask({ method: 'GET', path: `/${CANARY}-${count}` });
      await stage.ask({ fields: { grant_type: `${CANARY}-${count}`, client_id: `${CANARY}-${count}` } });
    }
    const before = await seriesOf();
    for (let count = 50; count < 100; count += 1) {
      await stage.ask({ method: 'GET', path: `/${CANARY}-${count}` });
      await stage.ask({ fields: { grant_type: `${CANARY}-${count}`, client_id: `${CANARY}-${count}` } });
    }
    const after = await seriesOf();
    assert.deepEqual(
      after.filter((each) => !before.includes(each)),
      [],
    );
    assert.ok(!after.join().includes(CANARY));
  });
});

/** What is minted is recorded, whoever went away meanwhile. */
async function assertMintedIsRecorded(): Promise<void> {
  const [row] = await stage.world.query<{ orphans: string }>(
    `select count(*) as orphans from tokens t
      where not exists (select from audit_entries e where e.token_id = t.jti and e.action = 'token.minted')`,
  );
  assert.equal(Number(row?.orphans), 0);
}

describe('TRN-24: a client that goes away', () => {
  const goodbyes: [string, (client: ReturnType<typeof openClient>, bytes: Buffer) => void][] = [
    ['by FIN in the middle of the body', ({ socket }, bytes) => socket.end(bytes.subarray(0, -50))],
    [
      'by RST in the middle of the body',
      ({ socket }, bytes) => void socket.write(bytes.subarray(0, -50), () => socket.resetAndDestroy()),
    ],
    ['by FIN after the body', ({ socket }, bytes) => socket.end(bytes)],
    [
      'by RST after the body',
      ({ socket }, bytes) => void socket.write(bytes, () => socket.resetAndDestroy()),
    ],
    ['in the middle of the header', ({ socket }, bytes) => socket.end(bytes.subarray(0, 60))],
  ];
  for (const [name, leave] of goodbyes) {
    test(`${name} costs nobody anything, and what was minted is recorded`, async () => {
      for (let times = 0; times < 10 * soakFactor(); times += 1) {
        const client = openClient(port);
        leave(client, mintBytes());
        await client.closed();
      }
      assert.equal((await stage.mint()).status, 200);
      await assertMintedIsRecorded();
    });
  }
});

test('TRN-26: a connection is closed after a thousand requests, and its last one is answered', async () => {
  const client = openClient(port);
  const ask = 'GET /livez HTTP/1.1\r\nHost: a\r\n\r\n';
  let answered = 0;
  for (let answer: WireAnswer | null = null; ; answered += 1) {
    client.write(ask);
    answer = await client.answer();
    if (answer === null) break;
    assert.equal(answer.status, 200);
    if (answer.headers.get('connection')?.[0] === 'close') {
      answered += 1;
      break;
    }
  }
  await client.closed();
  assert.equal(answered, 1_000);
});

test('the broker is as it was: no connection and no file is left open by all of this', async () => {
  if (!existsSync('/proc/self/fd')) return;
  const open = () => readdirSync('/proc/self/fd').length;
  const before = open();
  const clients = Array.from({ length: 50 }, () => openClient(port));
  for (const client of clients) client.write('POST /oauth/token HTTP/1.1\r\nHost: a\r\n');
  await until(() => open() >= before + 50, 'the connections are there');
  for (const client of clients) client.socket.destroy();
  await until(() => open() <= before + 5, 'they are gone');
});

if (soakFactor() > 1) {
  test('TRN-20: whoever sends a header a byte at a time is closed in time, and others are served', async () => {
    const clients = Array.from({ length: 2_000 }, () => openClient(port));
    const drip = setInterval(() => {
      for (const client of clients) client.write('X');
    }, 5_000);
    for (const client of clients) client.write('POST /oauth/token HTTP/1.1\r\nX-Slow: ');
    for (let times = 0; times < 20; times += 1) assert.equal((await stage.mint()).status, 200);
    await Promise.all(clients.map((client) => client.closed()));
    clearInterval(drip);
  });
}

for (const path of READ_PATHS) {
  test(`TRN-16: ${path} takes no body`, async () => {
    const answer = await send(port, request(`GET ${path}`, { headers: [FORM], body: 'x=1' }));
    assert.equal(answer?.status, 400, answer?.body ?? 'closed');
    if (answer !== null) expectSafeAnswer(answerOf(answer));
  });
}
