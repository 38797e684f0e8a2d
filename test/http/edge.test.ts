import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Refusal, refuse } from '../../src/errors/refusal.ts';
import { REFUSAL_CODES } from '../../src/errors/refusal-codes.ts';
import { REFUSAL_REASONS, type RefusalReason } from '../../src/errors/refusal-reasons.ts';
import { httpLimits } from '../../src/http/limits.ts';
import type { Answer, Call, Route } from '../../src/http/route.ts';
import {
  becomesTrue,
  CANARY,
  FORM,
  type Header,
  header,
  openClient,
  postForm,
  request,
  send,
  startEdge,
  type WireAnswer,
} from './wire.ts';

const OAUTH_TEXT = /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/;

function route(answer: (call: Call) => Answer | Promise<Answer>, changes: Partial<Route> = {}): Route {
  return { method: 'GET', path: '/it', format: 'oauth', may: 'anyone', answer, ...changes };
}

const bodyOf = (answer: WireAnswer | null): Record<string, unknown> => JSON.parse(answer?.body ?? '{}');

describe('Which route answers', () => {
  test('an unknown path is 404, in the format of its family', async (context) => {
    const edge = await startEdge(context);
    const oauth = await send(edge.port, request('GET /nowhere'));
    assert.equal(oauth?.status, 404);
    assert.equal(bodyOf(oauth).error, 'invalid_request');
    const problem = await send(edge.port, request('GET /v1/nowhere'));
    assert.equal(problem?.status, 404);
    assert.equal(header(problem, 'content-type'), 'application/problem+json');
    assert.equal(bodyOf(problem).code, 'not_found');
  });

  for (const path of [
    '/oauth/token/',
    '/OAUTH/token',
    '/oauth/Token',
    '/oauth//token',
    '/oauth/./token',
    '/oauth/token;v=1',
    '/',
    '/oauth',
  ]) {
    test(`${path} is not /oauth/token`, async (context) => {
      const edge = await startEdge(context);
      const answer = await send(
        edge.port,
        request(`POST ${path}`, { headers: [FORM], body: 'grant_type=a' }),
      );
      assert.equal(answer?.status, 404);
      assert.equal(edge.calls.length, 0);
    });
  }

  for (const [line, allow] of [
    ['GET /oauth/token', 'POST'],
    ['HEAD /oauth/token', 'POST'],
    ['PUT /oauth/token', 'POST'],
    ['DELETE /oauth/token', 'POST'],
    ['PATCH /v1/things/a', 'POST'],
    ['OPTIONS /oauth/token', 'POST'],
    ['TRACE /oauth/token', 'POST'],
    ['PROPFIND /oauth/token', 'POST'],
    ['POST /metadata', 'GET, HEAD'],
    ['OPTIONS /metadata', 'GET, HEAD'],
  ] as const) {
    test(`${line} is 405 and names ${allow}`, async (context) => {
      const edge = await startEdge(context);
      const answer = await send(edge.port, request(line));
      assert.equal(answer?.status, 405);
      assert.equal(header(answer, 'allow'), allow);
      assert.equal(edge.calls.length, 0);
    });
  }

  test('two methods of one path are named together', async (context) => {
    const routes = [route(() => ({ body: 1 })), route(() => ({ body: 2 }), { method: 'POST' })];
    const edge = await startEdge(context, { routes });
    assert.equal((await send(edge.port, request('GET /it')))?.body, '1');
    assert.equal((await send(edge.port, request('POST /it')))?.body, '2');
    assert.equal(header(await send(edge.port, request('PUT /it')), 'allow'), 'GET, HEAD, POST');
  });

  test('HEAD on a GET route answers its headers and no body', async (context) => {
    const edge = await startEdge(context);
    const get = await send(edge.port, request('GET /metadata'));
    const client = openClient(edge.port);
    client.write(request('HEAD /metadata', { headers: [['Connection', 'close']] }));
    const head = await client.answer({ toHead: true });
    await client.closed();
    assert.equal(head?.status, 200);
    assert.equal(header(head, 'content-length'), header(get, 'content-length'));
    assert.ok(client.received().endsWith('\r\n\r\n'));
  });
});

describe('The headers of an answer', () => {
  const table = {
    'content-security-policy': "default-src 'none';frame-ancestors 'none'",
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'cache-control': 'no-store',
    pragma: 'no-cache',
  };
  const requests = {
    'a success': postForm('grant_type=a'),
    'a refusal': postForm('%'),
    'an unknown path': request('GET /nowhere'),
    'a wrong method': request('GET /oauth/token'),
    'bytes that are no request': 'nonsense\r\n\r\n',
  };
  for (const [name, bytes] of Object.entries(requests)) {
    test(`${name} carries each security header once, and no-store`, async (context) => {
      const edge = await startEdge(context);
      const answer = await send(edge.port, bytes);
      for (const [wanted, value] of Object.entries(table)) {
        assert.deepEqual(answer?.headers.get(wanted), [value], wanted);
      }
      for (const absent of [
        'strict-transport-security',
        'etag',
        'x-powered-by',
        'server',
        'set-cookie',
        'vary',
      ]) {
        assert.equal(header(answer, absent), undefined);
      }
    });
  }

  test('Strict-Transport-Security is there when the public address is https', async (context) => {
    const edge = await startEdge(context, { https: true });
    assert.equal(
      header(await send(edge.port, request('GET /metadata')), 'strict-transport-security'),
      'max-age=63072000',
    );
  });

  test('what an answer says of caching takes the place of no-store', async (context) => {
    const edge = await startEdge(context);
    const answer = await send(edge.port, request('GET /metadata'));
    assert.deepEqual(answer?.headers.get('cache-control'), ['public, max-age=300']);
    assert.equal(header(answer, 'pragma'), undefined);
  });

  test('an answer sets its status, headers with several values, and text as it stands', async (context) => {
    const edge = await startEdge(context, {
      routes: [
        route(() => ({
          status: 202,
          headers: { Link: ['<a>', '<b>'], 'content-type': 'text/plain' },
          text: 'grüße',
        })),
        route(() => ({ status: 204 }), { path: '/empty' }),
        route(() => ({}), { path: '/nothing' }),
        route(() => ({ body: null }), { path: '/null' }),
      ],
    });
    const answer = await send(edge.port, request('GET /it'));
    assert.equal(answer?.status, 202);
    assert.deepEqual(answer?.headers.get('link'), ['<a>', '<b>']);
    assert.deepEqual(answer?.headers.get('content-type'), ['text/plain']);
    assert.equal(answer?.body, 'grüße');
    const empty = await send(edge.port, request('GET /empty'));
    assert.equal(empty?.status, 204);
    assert.equal(header(empty, 'content-length'), undefined);
    const nothing = await send(edge.port, request('GET /nothing'));
    assert.equal(header(nothing, 'content-length'), '0');
    assert.equal(header(nothing, 'content-type'), undefined);
    assert.equal((await send(edge.port, request('GET /null')))?.body, 'null');
  });
});

describe('TIM-14: a refusal is told in closed words', () => {
  for (const reason of Object.keys(REFUSAL_REASONS) as RefusalReason[]) {
    test(`${reason} has its status, error and words in both formats`, async (context) => {
      const refuseIt = () => refuse(reason, { hint: 'Say "a\\b" – now.', cause: new Error(CANARY) });
      const edge = await startEdge(context, {
        routes: [route(refuseIt), route(refuseIt, { path: '/v1/it', format: 'problem' })],
      });
      const code = REFUSAL_REASONS[reason];
      const { status, error, title } = REFUSAL_CODES[code];
      const hint = "Say 'a/b' ? now.";
      const oauth = await send(edge.port, request('GET /it'));
      assert.equal(oauth?.status, status);
      assert.equal(header(oauth, 'content-type'), 'application/json');
      const { request_id, ...rest } = bodyOf(oauth);
      assert.deepEqual(rest, { error, error_description: `${title}. ${hint}`, code, hint });
      assert.equal(request_id, header(oauth, 'request-id'));
      for (const text of [error, rest.error_description, rest.hint]) assert.match(text as string, OAUTH_TEXT);
      const problem = await send(edge.port, request('GET /v1/it'));
      assert.equal(problem?.status, status);
      assert.equal(header(problem, 'content-type'), 'application/problem+json');
      const type = `urn:mayfly:problem:${code}`;
      const expected = {
        type,
        title,
        status,
        code,
        hint: 'Say "a\\b" – now.',
        request_id: header(problem, 'request-id'),
      };
      assert.deepEqual(bodyOf(problem), expected);
      const retry = status === 429 || status === 503 ? '1' : undefined;
      assert.equal(header(oauth, 'retry-after'), retry);
      assert.ok(!`${oauth?.body}${problem?.body}`.includes(CANARY));
    });
  }

  test('all codes and titles are of the characters that RFC 6749 §5.2 allows', () => {
    for (const { error, title } of Object.values(REFUSAL_CODES)) {
      assert.match(error, OAUTH_TEXT);
      assert.match(title, OAUTH_TEXT);
    }
  });

  test('a refusal without a hint has that of its code, the same whatever the reason was', async (context) => {
    const answers: string[] = [];
    for (const reason of ['client_unknown', 'assertion_signature'] as const) {
      const edge = await startEdge(context, { routes: [route(() => refuse(reason))] });
      const { request_id: _, ...body } = bodyOf(await send(edge.port, request('GET /it')));
      assert.deepEqual(Object.keys(body), ['error', 'error_description', 'code', 'hint']);
      assert.equal(body.error_description, `Client authentication failed. ${body.hint}`);
      assert.match(String(body.hint), OAUTH_TEXT);
      answers.push(JSON.stringify(body));
    }
    assert.equal(answers[0], answers[1]);
  });

  test('a refusal brings its own headers', async (context) => {
    const routes = [route(() => refuse('proof_nonce_stale', { headers: { 'DPoP-Nonce': 'abc' } }))];
    const edge = await startEdge(context, { routes });
    assert.deepEqual((await send(edge.port, request('GET /it')))?.headers.get('dpop-nonce'), ['abc']);
  });
});

describe('OA-10: who tried the Authorization header is challenged in its scheme', () => {
  const cases: [authorization: string | null, challenge: string | undefined][] = [
    [null, undefined],
    ['Basic YTpi', 'Basic realm="mayfly"'],
    ['basic YTpi', 'Basic realm="mayfly"'],
    ['Bearer abc', 'Bearer realm="mayfly"'],
    ['DPOP abc', 'DPoP realm="mayfly"'],
    [`${CANARY} abc`, 'DPoP realm="mayfly"'],
    ['', 'DPoP realm="mayfly"'],
  ];
  for (const [authorization, challenge] of cases) {
    test(`${JSON.stringify(authorization)} is answered ${challenge ?? 'without a challenge'}`, async (context) => {
      const edge = await startEdge(context, { routes: [route(() => refuse('client_unknown'))] });
      const headers: Header[] = authorization === null ? [] : [['Authorization', authorization]];
      const answer = await send(edge.port, request('GET /it', { headers }));
      assert.equal(answer?.status, 401);
      assert.deepEqual(
        answer?.headers.get('www-authenticate'),
        challenge === undefined ? undefined : [challenge],
      );
    });
  }

  test('another refusal has no challenge', async (context) => {
    const edge = await startEdge(context, { routes: [route(() => refuse('parameter_missing'))] });
    const answer = await send(edge.port, request('GET /it', { headers: [['Authorization', 'Basic a']] }));
    assert.equal(header(answer, 'www-authenticate'), undefined);
  });
});

describe('A defect leaves as an opaque 500', () => {
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  const defects: [name: string, answer: (call: Call) => Answer | Promise<Answer>][] = [
    [
      'an error',
      () => {
        throw new Error(`${CANARY}: duplicate key value`);
      },
    ],
    ['a TypeError', (call) => ({ body: (call.json as { a: string }).a })],
    ['a rejection', () => Promise.reject(new Error(CANARY))],
    [
      'a string',
      () => {
        throw CANARY;
      },
    ],
    [
      'undefined',
      () => {
        throw undefined;
      },
    ],
    [
      'an error that carries a status of its own',
      () => {
        throw Object.assign(new Error(CANARY), { status: 400, expose: true, type: 'entity.too.large' });
      },
    ],
    ['an answer that is no JSON', () => ({ body: circle })],
    ['a bigint in an answer', () => ({ body: { amount: 1n } })],
    ['a header with a line break', () => ({ headers: { 'X-A': `a\r\n${CANARY}: b` }, body: {} })],
  ];
  for (const [name, answer] of defects) {
    for (const format of ['oauth', 'problem'] as const) {
      test(`${name}, in the format ${format}`, async (context) => {
        const edge = await startEdge(context, { routes: [route(answer, { format })] });
        const wire = await send(edge.port, request('GET /it'));
        assert.equal(wire?.status, 500);
        assert.ok(!wire?.body.includes(CANARY) && !/\bat .*:\d+/.test(wire?.body ?? ''));
        assert.equal(bodyOf(wire).code, 'internal_error');
        assert.equal(header(wire, 'cache-control'), 'no-store');
        const errors = edge.logged.filter(({ level }) => level === 'error');
        assert.equal(errors.length, 1, 'logged once');
        assert.equal(errors[0]?.details.request_id, header(wire, 'request-id'));
        assert.equal(edge.refused.length, 0);
        assert.equal((await send(edge.port, request('GET /nowhere')))?.status, 404);
      });
    }
  }
});

describe('An outage of the database', () => {
  class Away extends Error {}
  const isUnavailable = (error: unknown) => error instanceof Away;

  test('is 503 with Retry-After in both formats, and logged once a second', async (context) => {
    const fail = () => {
      throw new Away(CANARY);
    };
    const edge = await startEdge(context, {
      routes: [route(fail), route(fail, { path: '/v1/it', format: 'problem' })],
      isUnavailable,
    });
    for (const line of ['GET /it', 'GET /v1/it', 'GET /it', 'GET /it']) {
      const answer = await send(edge.port, request(line));
      assert.equal(answer?.status, 503);
      assert.equal(header(answer, 'retry-after'), '1');
      assert.equal(bodyOf(answer).code, 'temporarily_unavailable');
      assert.ok(!answer?.body.includes(CANARY));
    }
    assert.deepEqual(
      edge.refused.map(({ refusal }) => refusal.reason),
      Array.from({ length: 4 }, () => 'database_unavailable'),
    );
    assert.equal(edge.logged.filter(({ level }) => level === 'warn').length, 1);
  });
});

describe('Refusals are handed on to be recorded', () => {
  test('with the call when the route refused, without it when the route was not asked', async (context) => {
    const edge = await startEdge(context, {
      routes: [
        route((call) => refuse(call.form.one('a') === undefined ? 'scope_missing' : 'client_unknown'), {
          method: 'POST',
          body: 'form',
        }),
      ],
    });
    await send(edge.port, request('POST /it', { headers: [FORM], body: 'a=1' }));
    await send(edge.port, request('POST /it', { headers: [FORM], body: '%' }));
    await send(edge.port, request('GET /nowhere'));
    const told = edge.refused.map(({ refusal, route: reached, call, source }) => [
      refusal.reason,
      reached?.path ?? null,
      call !== null,
      source.address,
    ]);
    assert.deepEqual(told, [
      ['client_unknown', '/it', true, '127.0.0.1'],
      ['request_malformed', '/it', false, '127.0.0.1'],
      ['route_unknown', null, false, '127.0.0.1'],
    ]);
  });

  test('the answer waits for the record', async (context) => {
    const order: string[] = [];
    let write = () => {};
    const edge = await startEdge(context, {
      onRefusal: () =>
        new Promise<void>((resolve) => {
          write = resolve;
          order.push('asked');
        }),
    });
    const answered = send(edge.port, request('GET /nowhere')).then(() => order.push('answered'));
    await becomesTrue(() => order.length > 0);
    order.push('written');
    write();
    await answered;
    assert.deepEqual(order, ['asked', 'written', 'answered']);
  });

  test('a record that fails is logged and does not undo the refusal', async (context) => {
    const edge = await startEdge(context, { onRefusal: () => Promise.reject(new Error('disk full')) });
    assert.equal((await send(edge.port, request('GET /nowhere')))?.status, 404);
    assert.equal(edge.logged[0]?.message, 'a refusal could not be recorded');
  });
});

describe('The rate of a source', () => {
  test('is asked before anything is read, and answered 429 with Retry-After', async (context) => {
    const edge = await startEdge(context, {
      admit: ({ network }) => refuse('source_rate', { headers: { 'Retry-After': '7' }, hint: network }),
    });
    for (const bytes of [postForm('%'), request('GET /nowhere'), request('POST http://evil.test/')]) {
      const answer = await send(edge.port, bytes);
      assert.equal(answer?.status, 429);
      assert.equal(header(answer, 'retry-after'), '7');
    }
  });
});

describe('TRN-52: a limit that is none stops the start', () => {
  for (const limit of [Number.NaN, 0, -1, 1.5, Number.POSITIVE_INFINITY, '16kilo', '', null]) {
    test(`${JSON.stringify(limit)} (${typeof limit}) is refused by name`, async (context) => {
      const limits = { bodyBytes: limit as number };
      assert.throws(() => httpLimits(limits), /bodyBytes/);
      await assert.rejects(startEdge(context, { limits }), RangeError);
    });
  }
});

test('a Refusal is the only thing that a route can throw to be anything but 500', async (context) => {
  const lookalike = {
    name: 'Refusal',
    status: 400,
    code: 'invalid_request',
    reason: 'parameter_missing',
    headers: {},
  };
  const edge = await startEdge(context, {
    routes: [
      route(() => {
        throw lookalike;
      }),
      route(
        () => {
          throw new Refusal('token_not_ours');
        },
        { path: '/real' },
      ),
    ],
  });
  assert.equal((await send(edge.port, request('GET /it')))?.status, 500);
  assert.equal((await send(edge.port, request('GET /real')))?.status, 404);
});
