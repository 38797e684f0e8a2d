import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import {
  assertOracle,
  becomesTrue,
  CANARY,
  type Edge,
  FORM,
  type Header,
  header,
  openClient,
  postForm,
  request,
  send,
  startEdge,
} from './wire.ts';

const DEFECT = {
  method: 'POST',
  path: '/oauth/token',
  format: 'oauth',
  may: 'anyone',
  body: 'form',
} as const;
const GOOD = 'grant_type=client_credentials';
const form = (headers: readonly Header[], body: string | Buffer = GOOD) =>
  request('POST /oauth/token', { headers, body });

/** `close` stands for a connection that ended without an answer. */
type Case = { name: string; bytes: string | Buffer; expected: readonly (number | 'close')[]; code?: string };

const contentLengths = ['5, 5', '+5', '0x5', '9223372036854775808', '-1', '5 5', '', 'five', '5;5'];
const chunked = (body: string) =>
  `POST /oauth/token HTTP/1.1\r\nHost: a\r\n${FORM.join(': ')}\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;

const CASES: Record<string, Case[]> = {
  'TRN-02: a length that could be read in two ways': [
    ...contentLengths.map((length) => ({
      name: `Content-Length "${length}"`,
      bytes: form([FORM, ['Content-Length', length]]),
      expected: [400] as const,
    })),
    {
      name: 'two equal Content-Length',
      bytes: form([FORM, ['Content-Length', '29'], ['Content-Length', '29']]),
      expected: [400],
    },
    {
      name: 'two different Content-Length',
      bytes: form([FORM, ['Content-Length', '29'], ['Content-Length', '0']]),
      expected: [400],
    },
    {
      name: 'Content-Length beside Transfer-Encoding',
      bytes: form([FORM, ['Content-Length', '29'], ['Transfer-Encoding', 'chunked']]),
      expected: [400],
    },
  ],
  'TRN-04: a chunk that could be read in two ways': [
    { name: 'a size of 2^61', bytes: chunked('1FFFFFFFFFFFFFFFF\r\nx'), expected: [400, 413] },
    { name: 'no CRLF after the chunk', bytes: chunked('5\r\nabcdeX\r\n0\r\n\r\n'), expected: [400] },
    { name: 'a negative size', bytes: chunked('-5\r\nabcde\r\n0\r\n\r\n'), expected: [400] },
    { name: 'a size with 0x', bytes: chunked('0x5\r\nabcde\r\n0\r\n\r\n'), expected: [400] },
    {
      name: 'an extension of 20 kB',
      bytes: chunked(`5;${'a'.repeat(20_000)}\r\nabcde\r\n0\r\n\r\n`),
      expected: [400, 413],
    },
    { name: 'a bare line feed after the size', bytes: chunked('5\nabcde\r\n0\r\n\r\n'), expected: [400] },
    {
      name: 'Transfer-Encoding gzip, chunked',
      bytes: form([FORM, ['Transfer-Encoding', 'gzip, chunked']], '0\r\n\r\n'),
      expected: [400],
    },
    {
      name: 'Transfer-Encoding twice',
      bytes: form([FORM, ['Transfer-Encoding', 'chunked'], ['Transfer-Encoding', 'chunked']], '0\r\n\r\n'),
      expected: [400],
    },
    {
      name: 'Transfer-Encoding identity',
      bytes: form([FORM, ['Transfer-Encoding', 'identity']]),
      expected: [400],
    },
  ],
  'TRN-06: line ends that only some readers take': [
    { name: 'bare line feeds', bytes: 'POST /oauth/token HTTP/1.1\nHost: a\n\n', expected: [400] },
    { name: 'carriage returns alone', bytes: 'POST /oauth/token HTTP/1.1\rHost: a\r\r', expected: [400] },
    {
      name: 'a line that begins after CRLF CR',
      bytes: 'GET /metadata HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n',
      expected: [400],
    },
    {
      name: 'a folded DPoP header',
      bytes: `POST /oauth/token HTTP/1.1\r\nHost: a\r\nDPoP: a\r\n b\r\n\r\n`,
      expected: [400],
    },
    {
      name: 'a space before the colon',
      bytes: 'GET /metadata HTTP/1.1\r\nHost : a\r\n\r\n',
      expected: [400],
    },
  ],
  'TRN-08: control characters in a header': [
    ...['\u0000', '\u0001', '\u007f'].map((character) => ({
      name: `U+${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
      bytes: form([FORM, ['DPoP', `a${character}b`]]),
      expected: [400] as const,
    })),
  ],
  'TRN-10: a target that is not a path of this server': [
    ...[
      ['POST http://evil.test/oauth/token', 'absolute-form'],
      ['POST https://broker.test/oauth/token', 'absolute-form with our own name'],
      ['GET HTTP://evil.test/metadata', 'absolute-form in upper case'],
      ['OPTIONS *', 'asterisk-form'],
      ['GET *', 'asterisk-form with GET'],
    ].map(([line = '', name = '']) => ({
      name,
      bytes: line.startsWith('POST') ? request(line, { headers: [FORM], body: GOOD }) : request(line),
      expected: [400] as const,
      code: 'invalid_request',
    })),
    { name: 'authority-form', bytes: request('CONNECT evil.test:443'), expected: [400] },
    { name: 'authority-form with POST', bytes: request('POST evil.test:443'), expected: [400, 'close'] },
    { name: 'a path of two slashes', bytes: request('GET //evil.test/metadata'), expected: [404] },
  ],
  'TRN-14: a header that may come once': [
    ...(
      [
        [['Authorization', 'DPoP a'], ['Authorization', 'Bearer b'], 'invalid_request'],
        [['Authorization', 'Bearer b'], ['authorization', 'DPoP a'], 'invalid_request'],
        [['AUTHORIZATION', 'DPoP a'], ['Authorization', 'DPoP a'], 'invalid_request'],
        [['DPoP', 'a.b.c'], ['dpop', 'a.b.c'], 'invalid_dpop_proof'],
        [['DPoP', 'a.b.c'], ['DPoP', ''], 'invalid_dpop_proof'],
        [['Host', 'a'], ['Host', 'a'], 'invalid_request'],
        [['Host', 'a'], ['HOST', 'evil.test'], 'invalid_request'],
        [['Content-Type', 'application/json'], ['X-Other', 'a'], undefined],
        [['Content-Encoding', 'identity'], ['content-encoding', 'identity'], 'invalid_request'],
      ] as [Header, Header, string | undefined][]
    )
      .filter(([, , code]) => code !== undefined)
      .map(([one, other, code]) => ({
        name: `${one.join(': ')} and ${other.join(': ')}`,
        bytes: form([FORM, one, other]),
        expected: [400] as const,
        code: code ?? '',
      })),
    {
      name: 'Content-Type twice',
      bytes: form([FORM, ['content-type', 'application/json']]),
      expected: [400],
      code: 'invalid_request',
    },
    {
      name: 'Authorization twice on a GET',
      bytes: request('GET /metadata', {
        headers: [
          ['Authorization', 'a'],
          ['Authorization', 'a'],
        ],
      }),
      expected: [400],
    },
    {
      name: 'Authorization twice on an unknown path',
      bytes: request('GET /nowhere', {
        headers: [
          ['Authorization', 'a'],
          ['Authorization', 'a'],
        ],
      }),
      expected: [400],
    },
  ],
  'TRN-16: a body of another type': [
    { name: 'no Content-Type', bytes: form([]), expected: [415] },
    { name: 'no Content-Type and no body', bytes: request('POST /oauth/token'), expected: [415] },
    ...[
      'text/plain',
      'multipart/form-data; boundary=x',
      'application/json',
      'application/x-www-form-urlencoded; charset=iso-8859-1',
      'application/x-www-form-urlencoded; charset=utf-16',
      'application/x-www-form-urlencoded; charset=utf-7',
      'application/x-www-form-urlencoded; charset=utf-8; charset=utf-16',
      'application/x-www-form-urlencoded, application/json',
      'application/x-www-form-urlencodedx',
      `${CANARY}/${CANARY}`,
    ].map((type) => ({ name: type, bytes: form([['Content-Type', type]]), expected: [415] as const })),
    {
      name: 'a form where JSON is expected',
      bytes: request('POST /v1/things/a', { headers: [FORM], body: GOOD }),
      expected: [415],
    },
    {
      name: 'a body on a GET',
      bytes: request('GET /metadata', { headers: [FORM], body: GOOD }),
      expected: [400],
    },
  ],
  'TRN-18: a compressed body': [
    ...(
      [
        ['gzip', gzipSync(GOOD)],
        ['gzip', Buffer.from('not gzip at all')],
        ['gzip', gzipSync(Buffer.alloc(60_000_000))],
        ['br', Buffer.from('x')],
        ['deflate', Buffer.from('x')],
        ['zstd', Buffer.from('x')],
        ['gzip, gzip', gzipSync(gzipSync(GOOD))],
        ['identity', Buffer.from(GOOD)],
        [CANARY, Buffer.from(GOOD)],
      ] as [string, Buffer][]
    ).map(([encoding, body], index) => ({
      name: `${encoding} (${index})`,
      bytes: form([FORM, ['Content-Encoding', encoding]], body),
      expected: [415] as const,
    })),
  ],
  'TRN-36: a target with what no URL has': [
    ...[
      '/metadata#x',
      '/oauth\\token',
      '/metadata?a=%',
      '/metadata?a=%e',
      '/%',
      '/%ZZ',
      '/a"b',
      '/<a>',
      '/metadat\u00e4',
    ].map((target) => ({ name: target, bytes: request(`GET ${target}`), expected: [400, 404] as const })),
    { name: 'raw UTF-8', bytes: Buffer.from('GET /metadatä HTTP/1.1\r\nHost: a\r\n\r\n'), expected: [400] },
    {
      name: 'escapes that are not UTF-8',
      bytes: request('POST /v1/things/%FF', { headers: [['Content-Type', 'application/json']], body: '{}' }),
      expected: [400],
    },
    { name: 'an escaped NUL in an unknown path', bytes: request('GET /%00'), expected: [404] },
    { name: 'a target of 20 kB', bytes: request(`GET /${'a'.repeat(20_000)}`), expected: [431] },
  ],
  'What is no HTTP at all': [
    { name: 'binary', bytes: Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00]), expected: [400] },
    { name: 'an unknown method', bytes: request('BREW /metadata'), expected: [400] },
    { name: 'the HTTP/2 preface', bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', expected: [400] },
    { name: 'HTTP/9.9', bytes: 'GET /metadata HTTP/9.9\r\nHost: a\r\n\r\n', expected: [400] },
    ...['0.9', '1.2', '2.0', '3.0'].map((version) => ({
      name: `HTTP/${version}`,
      bytes: `GET /metadata HTTP/${version}\r\nHost: a\r\n\r\n`,
      expected: [400] as const,
    })),
    ...['a b', 'a/c@d', 'a@b', 'a:b', '[::1', 'a:123456', 'a,b', 'ä'].map((host) => ({
      name: `the Host "${host}"`,
      bytes: `GET /metadata HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
      expected: [400] as const,
    })),
    {
      name: 'no Host header',
      bytes: 'GET /metadata HTTP/1.1\r\n\r\n',
      expected: [400],
      code: 'invalid_request',
    },
    { name: 'a header of 20 kB', bytes: form([FORM, ['X-Big', 'a'.repeat(20_000)]]), expected: [431] },
    { name: 'a header without a colon', bytes: 'GET /metadata HTTP/1.1\r\nHost\r\n\r\n', expected: [400] },
  ],
};

for (const [title, cases] of Object.entries(CASES)) {
  describe(title, () => {
    for (const { name, bytes, expected, code } of cases) {
      test(`${name} is refused before a handler sees it`, async (context) => {
        const edge = await startEdge(context);
        const answer = await send(edge.port, bytes);
        assert.ok(expected.includes(answer?.status ?? 'close'), `${answer?.status} ${answer?.body}`);
        assert.equal(edge.calls.length, 0);
        if (code !== undefined) assert.equal(JSON.parse(answer?.body ?? '{}').code, code);
        await assertOracle(edge, answer);
      });
    }
  });
}

describe('What only looks dangerous is handled like anything else', () => {
  test('TRN-12: two hundred headers named __proto__, constructor and the like change nothing', async (context) => {
    const edge = await startEdge(context);
    const names = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'valueOf', '__defineGetter__'];
    const headers = Array.from(
      { length: 200 },
      (_, index): Header => [names[index % names.length] ?? '', 'a'],
    );
    const answer = await send(edge.port, form([FORM, ...headers]));
    assert.equal(answer?.status, 200);
    await assertOracle(edge, answer);
  });

  test('TRN-08: bytes above 0x7f in a header reach the handler as they are and break nothing', async (context) => {
    const edge = await startEdge(context);
    const answer = await send(edge.port, form([FORM, ['DPoP', 'a\u0080\u00ffb']]));
    assert.equal(answer?.status, 200);
    await assertOracle(edge, answer);
  });

  test('TRN-28: headers and parameters that name another method or path are ignored', async (context) => {
    const edge = await startEdge(context);
    const overrides: Header[] = [
      ['X-HTTP-Method-Override', 'GET'],
      ['X-HTTP-Method', 'DELETE'],
      ['X-Original-URL', '/metadata'],
      ['X-Rewrite-URL', '/metadata'],
    ];
    const answer = await send(edge.port, form([FORM, ...overrides], `${GOOD}&_method=GET`));
    assert.deepEqual(JSON.parse(answer?.body ?? ''), {
      grant_type: 'client_credentials',
      scope: null,
      resource: [],
    });
    await assertOracle(edge, answer);
  });

  test('TRN-30: forwarded headers of a stranger change neither the source nor the answer', async (context) => {
    const edge = await startEdge(context);
    const hops = Array.from({ length: 50 }, (_, index) => `10.0.0.${index}`).join(', ');
    const forwarded: Header[] = [
      ['X-Forwarded-For', hops],
      ['X-Forwarded-Proto', 'https'],
      ['X-Forwarded-Host', 'evil.test'],
      ['X-Forwarded-Port', '443'],
      ['X-Forwarded-Prefix', '/evil'],
      ['Forwarded', 'for=10.9.9.9;host=evil.test;proto=https'],
      ['Host', 'evil.test'],
    ];
    const answer = await send(edge.port, form([FORM, ...forwarded]));
    assert.equal(answer?.status, 200);
    assert.deepEqual(edge.calls[0]?.source, { address: '127.0.0.1', network: '127.0.0.1' });
    assert.ok(!JSON.stringify([...(answer?.headers ?? [])]).includes('evil'));
    await assertOracle(edge, answer);
  });

  test('an expectation that nobody knows is ignored, and 100-continue is answered', async (context) => {
    const edge = await startEdge(context);
    assert.equal((await send(edge.port, form([FORM, ['Expect', '200-maybe']])))?.status, 200);
    const client = openClient(edge.port);
    client.write(
      request('POST /oauth/token', { headers: [FORM, ['Expect', '100-continue'], ['Content-Length', '29']] }),
    );
    client.write(GOOD);
    assert.equal((await client.answer())?.status, 200);
    assert.match(client.received(), /^HTTP\/1\.1 100 Continue/);
    client.socket.destroy();
  });

  test('who announces too much and waits for 100-continue is told before sending it', async (context) => {
    const edge = await startEdge(context);
    const client = openClient(edge.port);
    client.write(
      request('POST /oauth/token', {
        headers: [FORM, ['Expect', '100-continue'], ['Content-Length', '70000']],
      }),
    );
    assert.equal((await client.answer())?.status, 413);
    assert.doesNotMatch(client.received(), /100 Continue/);
    client.socket.destroy();
  });

  test('HTTP/1.0 without a Host header, as simple health checks speak it, is answered', async (context) => {
    const edge = await startEdge(context);
    assert.equal((await send(edge.port, 'GET /metadata HTTP/1.0\r\n\r\n'))?.status, 200);
  });
});

describe('TRN-32: names that a client gives its request', () => {
  /** Where they would be written down. */
  const defective = (context: TestContext) =>
    startEdge(context, {
      routes: [{ ...DEFECT, answer: () => Promise.reject(new Error('a defect')) }],
    });
  const namesOf = ({ logged }: Edge) =>
    logged.map(({ details: { caller_request_id, traceparent } }) => [caller_request_id, traceparent]);

  const hostile = [
    'a'.repeat(65),
    'a'.repeat(10_000),
    '../../etc/passwd',
    'a b',
    'a"b',
    '',
    'a\u0080',
    '{}',
    'a,b',
    'eyJhbGciOiJFZERTQSJ9.eyJqdGkiOiIxIn0.c2ln', // a token
    'eyJhbGciOiJFZERTQSJ9',
    'sk-live-4eC39HqLyjWDarjtT1zdp7dc', // keys of others
    'AKIAIOSFODNN7EXAMPLE',
    `${'a-'.repeat(32)}!`,
  ];
  for (const claimed of hostile) {
    test(`${JSON.stringify(claimed.slice(0, 20))} (${claimed.length}) is not recorded`, async (context) => {
      const edge = await defective(context);
      const names = claimed.length > 5_000 ? ['Request-Id'] : ['Request-Id', 'X-Request-Id', 'traceparent'];
      const answer = await send(edge.port, form([FORM, ...names.map((name): Header => [name, claimed])]));
      assert.equal(answer?.status, 500);
      assert.deepEqual(namesOf(edge), [[undefined, undefined]]);
    });
  }

  for (const claimed of ['a\rb', '\u001b[31mred']) {
    test(`${JSON.stringify(claimed)} is refused by the parser`, async (context) => {
      const edge = await startEdge(context);
      const answer = await send(edge.port, form([FORM, ['Request-Id', claimed]]));
      assert.equal(answer?.status, 400);
      await assertOracle(edge, answer);
    });
  }

  test('a plain one is recorded beside the id that mayfly gave, and never answered in its place', async (context) => {
    const edge = await defective(context);
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const answer = await send(
      edge.port,
      form([FORM, ['X-Request-Id', 'job-17.a_b'], ['traceparent', traceparent]]),
    );
    assert.ok(answer);
    assert.deepEqual(namesOf(edge), [['job-17.a_b', traceparent]]);
    assert.equal(header(answer, 'request-id'), edge.logged[0]?.details.request_id);
    assert.match(header(answer, 'request-id') ?? '', /^req_/);
  });

  for (const name of [
    'f81d4fae-7dec-11d0-a765-00a0c91e6bf6',
    '01ARZ3NDEKTSV4RRFFQ69G5FAV',
    '4bf92f3577b34da6a3ce929d0e0e4736',
    '1-67891233-abcdef012345678912345678',
    'checkout--2026.11.23_step-7',
  ]) {
    test(`${name} is a name`, async (context) => {
      const edge = await defective(context);
      await send(edge.port, form([FORM, ['Request-Id', name]]));
      assert.deepEqual(namesOf(edge), [[name, undefined]]);
    });
  }

  test('every request gets an id of its own', async (context) => {
    const edge = await startEdge(context);
    const ids = new Set<string | undefined>();
    for (let count = 0; count < 20; count += 1) {
      const answer = await send(edge.port, postForm(GOOD, [['Request-Id', 'same']]));
      ids.add(answer === null ? undefined : header(answer, 'request-id'));
    }
    assert.equal(ids.size, 20);
  });
});

describe('TRN-34: pages of other origins', () => {
  for (const origin of ['null', 'https://evil.test']) {
    test(`a preflight from ${origin} learns nothing`, async (context) => {
      const edge = await startEdge(context);
      const headers: Header[] = [
        ['Origin', origin],
        ['Access-Control-Request-Method', 'POST'],
        ['Access-Control-Request-Headers', 'dpop'],
      ];
      const answer = await send(edge.port, request('OPTIONS /oauth/token', { headers }));
      assert.equal(answer?.status, 404);
      await assertOracle(edge, answer);
    });

    test(`a request from ${origin} gets no Access-Control header`, async (context) => {
      const edge = await startEdge(context);
      const answer = await send(edge.port, form([FORM, ['Origin', origin]]));
      assert.deepEqual(
        [...(answer?.headers.keys() ?? [])].filter((name) => name.startsWith('access-control')),
        [],
      );
      await assertOracle(edge, answer);
    });
  }
});

describe('TRN-38 and TRN-24: what follows a request, and requests that stop', () => {
  test('bytes past Content-Length are no request, and the request before them is answered', async (context) => {
    const edge = await startEdge(context);
    const client = openClient(edge.port);
    client.write(form([FORM, ['Content-Length', '29']], `${GOOD}${CANARY}\r\n\r\n`));
    const answer = await client.answer();
    assert.ok(answer?.status === 200 || answer?.status === 400);
    await client.closed();
    assert.ok(edge.calls.length <= 1);
    assert.equal(client.received().split('HTTP/1.1 ').length - 1, 1, 'one answer');
    await assertOracle(edge, null);
  });

  test('nonsense after a request that is still being answered does not take its answer away', async (context) => {
    const asked: (() => void)[] = [];
    const edge = await startEdge(context, {
      routes: [
        {
          method: 'POST',
          path: '/oauth/token',
          format: 'oauth',
          may: 'agent',
          body: 'form',
          answer: (call) =>
            new Promise((resolve) => {
              const answer = () => resolve({ body: 'minted' });
              if (call.form.one('wait') === undefined) answer();
              else asked.push(answer);
            }),
        },
      ],
    });
    const client = openClient(edge.port);
    client.write(form([FORM], 'wait=1'));
    await becomesTrue(() => asked.length > 0);
    client.write(`${CANARY}\r\n\r\n`);
    await send(edge.port, form([FORM], 'a=1')); // a round trip later the nonsense has been read
    asked[0]?.();
    const answer = await client.answer();
    assert.equal(answer?.body, '"minted"');
    assert.equal(header(answer, 'connection'), 'close');
    await client.closed();
    await assertOracle(edge, answer);
  });

  test('a body shorter than Content-Length that ends with FIN reaches no handler', async (context) => {
    const edge = await startEdge(context);
    const client = openClient(edge.port);
    client.write(form([FORM, ['Content-Length', '100']]));
    client.socket.end();
    await client.closed();
    await firstRefusal(edge);
    assert.equal(edge.refused[0]?.refusal.reason, 'request_malformed');
    await assertOracle(edge, null);
    assert.equal(edge.calls.length, 1, 'only the request that the oracle sent');
  });

  test('a body that is cut off by RST reaches no handler', async (context) => {
    const edge = await startEdge(context);
    const client = openClient(edge.port);
    client.write(form([FORM, ['Content-Length', '100']]));
    await new Promise<void>((resolve) => client.socket.write('', () => resolve()));
    client.socket.resetAndDestroy();
    await client.closed();
    await firstRefusal(edge);
    await assertOracle(edge, null);
    assert.equal(edge.calls.length, 1);
  });

  test('a client that resets after its whole request costs one answer that nobody reads', async (context) => {
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    let aborted: AbortSignal | undefined;
    const edge = await startEdge(context, {
      routes: [
        {
          method: 'POST',
          path: '/oauth/token',
          format: 'oauth',
          may: 'agent',
          body: 'form',
          async answer(call) {
            if (call.form.one('wait') !== undefined) {
              aborted = call.signal;
              client.socket.resetAndDestroy();
              await new Promise((resolve) => call.signal.addEventListener('abort', resolve, { once: true }));
              release();
            }
            return { body: {} };
          },
        },
      ],
    });
    const client = openClient(edge.port);
    client.write(form([FORM], 'wait=1'));
    await released;
    assert.ok(aborted?.aborted);
    await assertOracle(edge, null);
  });

  test('two requests in one packet get two answers, in order', async (context) => {
    const edge = await startEdge(context);
    const client = openClient(edge.port);
    client.write(Buffer.concat([form([FORM], 'grant_type=one'), form([FORM], 'grant_type=two')]));
    assert.match((await client.answer())?.body ?? '', /one/);
    assert.match((await client.answer())?.body ?? '', /two/);
    client.socket.destroy();
  });
});

/** Whoever waits for the rest of a body is told that it will not come. */
async function firstRefusal({ refused }: Edge): Promise<void> {
  await becomesTrue(() => refused.length > 0);
}
