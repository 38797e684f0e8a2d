/** How a command ends, whatever the other side does: scripts tell the endings apart by these numbers. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { decodeJwt } from 'jose';
import { commandLine } from './command-line.ts';
import { openStrangeBroker, type Strange } from './strange-broker.ts';

const broker = await openStrangeBroker();
after(() => broker.close());
const mayfly = commandLine(broker.settings);

const problem = (status: number, code: string): Strange => ({
  status,
  body: {
    type: `urn:mayfly:problem:${code}`,
    title: 'A title',
    status,
    code,
    hint: 'A hint.',
    request_id: 'req_2',
  },
});
const oauth = (status: number, error: string, code = error): Strange => ({
  status,
  body: { error, code, error_description: 'A description', request_id: 'req_2' },
});

const SHOW = 'session show ses_1';
const REVOKE = 'session revoke ses_1 --reason test --yes';

describe('A command of an operator ends', () => {
  for (const [code, stands, next] of [
    [1, 'for what does not exist', { management: problem(404, 'not_found') }],
    [1, 'for what cannot be had that way', { management: problem(409, 'nothing_to_release') }],
    [2, 'when the broker made a mistake', { management: problem(500, 'internal_error') }],
    [2, 'when the broker cannot decide', { management: problem(503, 'temporarily_unavailable') }],
    [2, 'when there are too many requests', { management: problem(429, 'rate_limited') }],
    [2, 'for what is no answer of a broker', { management: { status: 200, body: '<html>' } }],
    [2, 'for a token that is none', { token: { status: 200, body: { access_token: 7 } } }],
    [3, 'when the broker does not know the key', { token: oauth(401, 'invalid_client') }],
    [3, 'when the session has ended', { token: oauth(400, 'invalid_grant', 'session_ended') }],
    [3, 'when the token is not taken', { management: problem(401, 'invalid_token') }],
    [5, 'when no role has the action', { token: oauth(400, 'invalid_scope') }],
    [5, 'when the operator is stopped', { token: oauth(400, 'access_denied', 'agent_stopped') }],
    [5, 'when the token does not cover it', { management: problem(403, 'insufficient_scope') }],
  ] as const) {
    test(`with ${code} ${stands}`, async () => {
      broker.answers(next);
      const { code: ended, stdout, stderr } = await mayfly(SHOW);
      assert.deepEqual([ended, stdout], [code, ''], stderr);
      assert.equal(stderr.trim().split('\n').length, 1, 'one line says it');
      for (const secret of broker.secrets) assert.ok(!stderr.includes(secret), 'no key, no token');
    });
  }

  test('with 0 and the answer when all went well', async () => {
    broker.answers({ management: { status: 200, body: { id: 'ses_1', live: true } } });
    assert.deepEqual(await mayfly(SHOW), { code: 0, stdout: 'id    ses_1\nlive  yes\n', stderr: '' });
  });

  test('with 4 when nobody listens, and when somebody else does', async () => {
    const nobody = await mayfly(`${SHOW} --url http://127.0.0.1:9`);
    assert.equal(nobody.code, 4, nobody.stderr);
    const other = await mayfly(`${SHOW} --url ${broker.url.replace('127.0.0.1', 'localhost')}`);
    assert.deepEqual([other.code, broker.asked.length], [4, 1]);
    assert.match(other.stderr, /is no broker of that name/);
  });

  test('with 4, and without an assertion for anybody, when the metadata leads elsewhere', async () => {
    for (const metadata of [
      { issuer: 'https://other.example.com' },
      { issuer: `${broker.url}/` },
      { token_endpoint: 'https://other.example.com/oauth/token' },
      { token_endpoint: broker.url.replace('127.0.0.1', 'localhost') },
      { token_endpoint: null },
    ]) {
      broker.answers({ metadata, management: { status: 200, body: {} } });
      const { code, stderr } = await mayfly(SHOW);
      assert.deepEqual([code, broker.asked.length], [4, 0], JSON.stringify(metadata));
      assert.match(stderr, /is no broker of that name|names a token endpoint that is not its own/);
    }
  });

  test('with 3 and a word on the clock, when it is this machine that is wrong', async () => {
    const dated = (seconds: number) => ({ Date: new Date(Date.now() + seconds * 1_000).toUTCString() });
    broker.answers({ token: { ...oauth(401, 'invalid_client'), headers: dated(600) } });
    assert.match(
      (await mayfly(SHOW)).stderr,
      /A description\. The clock here is (5[5-9]\d|6[0-4]\d) s behind the broker's\. Asked as olivia\. \(request/,
    );
    broker.answers({ token: { ...oauth(401, 'invalid_client'), headers: dated(-600) } });
    assert.match(
      (await mayfly(SHOW)).stderr,
      /A description\. The clock here is (5[5-9]\d|6[0-4]\d) s ahead of the broker's\./,
    );
    broker.answers({ token: { ...oauth(401, 'invalid_client'), headers: dated(0) } });
    assert.doesNotMatch((await mayfly(SHOW)).stderr, /clock/);
  });

  test('with 1 for a wrong command line, before anybody is asked', async () => {
    broker.answers({});
    for (const line of [
      'session',
      'session shwo ses_1',
      'session show',
      'session show ses_1 ses_2',
      'session show ..',
      'session show ses_1 --output yaml',
      'session list --limit 0',
      'session revoke ses_1 --yes',
      'session show ses_1 --url http://broker.example.com',
      'session show ses_1 --key /does/not/exist',
    ]) {
      const { code, stderr } = await mayfly(line);
      assert.equal(code, 1, line);
      assert.doesNotMatch(stderr, /\n {4}at /, 'no stack');
    }
    assert.equal(broker.asked.length, 0);
  });
});

test('a self-test that was missed ends with 7, and says what came of it all the same', async () => {
  broker.answers({ management: { status: 200, body: { missed: true, last: null } } });
  const { code, stdout, stderr } = await mayfly('kill drill');
  assert.deepEqual([code, stdout], [7, 'missed  yes\nlast    -\n']);
  assert.match(stderr, /^The self-test was missed/);
});

test('a switch that no broker can decide about names the way around the brokers', async () => {
  for (const line of ['kill engage all --reason test --yes', 'kill release rev_1 --reason test --yes']) {
    for (const next of [
      { token: oauth(503, 'temporarily_unavailable', 'catalogue_differs') },
      { management: problem(503, 'temporarily_unavailable') },
      { management: problem(500, 'internal_error') },
    ]) {
      broker.answers(next);
      const { code, stderr } = await mayfly(line);
      assert.equal(code, 2);
      assert.match(stderr, /\(request req_1\) Whoever has the credentials .*: --database-url\.\n$/);
    }
    broker.answers({ management: problem(429, 'rate_limited') });
    assert.doesNotMatch((await mayfly(line)).stderr, /--database-url/, 'who asks too often waits');
  }
});

test('an error names code, hint and request, and no secret', async () => {
  broker.answers({ management: problem(404, 'not_found') });
  const { stderr } = await mayfly(SHOW);
  assert.equal(stderr, 'not_found: The broker knows nothing of the session ses_1. (request req_1)\n');
});

test('without a terminal nothing is changed unless --yes says so', async () => {
  broker.answers({ management: { status: 200, body: {} } });
  const { code, stderr } = await mayfly(REVOKE.replace(' --yes', ''), 'y\n');
  assert.deepEqual([code, broker.asked.length], [1, 0]);
  assert.match(stderr, /say --yes, or --dry-run/);
});

test('a change says why, happens once however often it is sent, and can be tried out', async () => {
  broker.answers({ management: { status: 200, body: { epoch: 7 } } });
  assert.equal((await mayfly(REVOKE)).stdout, 'epoch  7\n');
  assert.equal((await mayfly(`${REVOKE} --dry-run`)).code, 0);
  const [real, tried] = broker.asked;
  assert.deepEqual([real?.method, real?.url], ['POST', '/v1/sessions/ses_1/revoke']);
  assert.deepEqual(JSON.parse(real?.body ?? ''), { reason: 'test' });
  assert.match(String(real?.headers['idempotency-key']), /^[\w-]{36}$/);
  assert.deepEqual(JSON.parse(tried?.body ?? ''), { reason: 'test', dry_run: true });
});

test('a connection that breaks is tried once more: the same change, another proof', async () => {
  broker.answers({
    management: () => ({ status: broker.asked.length === 1 ? 0 : 200, body: { epoch: 7 } }),
  });
  assert.deepEqual(await mayfly(REVOKE), { code: 0, stdout: 'epoch  7\n', stderr: '' });
  const [first, second] = broker.asked;
  assert.equal(second?.headers['idempotency-key'], first?.headers['idempotency-key']);
  assert.notEqual(second?.headers.dpop, first?.headers.dpop);
  broker.answers({ management: { status: 0, body: '' } });
  assert.deepEqual([(await mayfly(REVOKE)).code, broker.asked.length], [4, 2]);
});

test('what a server sends cannot speak to the terminal', async () => {
  const evil = '\u001b]0;owned\u0007\u001b[2J\u009b31m\u202eevil\r\nroot';
  broker.answers({ management: { status: 200, body: { data: [{ id: evil, [evil]: evil }] } } });
  const dangerous = /[^\P{C}\n]|[\u2028\u2029]/u;
  for (const output of ['table', 'json', 'jsonl']) {
    const { code, stdout } = await mayfly(`session list -o ${output}`);
    assert.equal(code, 0);
    assert.doesNotMatch(stdout, dangerous, output);
    if (output !== 'table') assert.ok(JSON.stringify(JSON.parse(stdout)).includes(JSON.stringify(evil)));
  }
  for (const next of [
    { management: { status: 404, body: { code: evil, title: evil, hint: evil }, headers: {} } },
    { token: { status: 400, body: { error: evil, error_description: evil, request_id: evil } } },
  ]) {
    broker.answers(next);
    const { stderr } = await mayfly('session list');
    assert.doesNotMatch(stderr, dangerous);
    assert.equal(stderr.split('\n').length, 2);
  }
});

test('a session ends with its command, whatever comes of that', async () => {
  const management = { status: 200, body: { id: 'ses_1' } };
  for (const goodbye of [
    { status: 200, body: {} },
    { status: 500, body: '<html>' },
    { status: 0, body: '' },
    null,
  ]) {
    broker.answers({ management, goodbye });
    assert.deepEqual(await mayfly(SHOW), { code: 0, stdout: 'id  ses_1\n', stderr: '' });
    const [asked] = broker.goodbyes;
    assert.equal(asked?.method, 'POST');
    const { client_assertion: assertion } = JSON.parse(asked?.body ?? '');
    assert.deepEqual(
      [decodeJwt(assertion).sub, decodeJwt(String(asked?.headers.dpop)).htm],
      ['olivia', 'POST'],
    );
  }
  broker.answers({ management: problem(404, 'not_found') });
  assert.deepEqual([(await mayfly(SHOW)).code, broker.goodbyes.length], [1, 1], 'after a failure too');
  broker.answers({ token: oauth(401, 'invalid_client') });
  assert.deepEqual(
    [(await mayfly(SHOW)).code, broker.goodbyes.length],
    [3, 0],
    'where none was opened none ends',
  );
});

test('an error is JSON where the output was to be that', async () => {
  broker.answers({ management: problem(404, 'not_found') });
  for (const line of [`${SHOW} -o json`, `${SHOW} --output=jsonl`]) {
    const { code, stderr } = await mayfly(line);
    const { message, ...facts } = JSON.parse(stderr).error;
    assert.deepEqual(
      [code, facts],
      [1, { code: 'not_found', status: 404, request_id: 'req_1', exit_code: 1 }],
    );
    assert.match(message, /^not_found: The broker knows nothing of the session ses_1\./);
  }
  for (const line of [
    'session show -o json',
    'session revoke ses_1 --yes -o json',
    'session show .. -o json',
  ]) {
    const { code, stderr } = await mayfly(line);
    assert.deepEqual([code, JSON.parse(stderr).error.exit_code], [1, 1], line);
  }
  assert.deepEqual(broker.asked.length, 2);
});

test('a wrong command line is told what is missing, and how the command is written', async () => {
  broker.answers({});
  for (const [line, missing, usage] of [
    [
      'kill',
      "missing required argument 'kind'",
      /Usage: mayfly kill engage .*<kind> \[id\]\n {2}kind: what to stop.*all/,
    ],
    ['kill engage', "missing required argument 'kind'", /Usage: mayfly kill engage /],
    [
      'kill release',
      "missing required argument 'id'",
      /Usage: mayfly kill release .*<id>\n {2}id: as `kill list`/,
    ],
    ['session revoke', "missing required argument 'id'", /Usage: mayfly session revoke .*<id>/],
    [
      'session revoke ses_1',
      "required option '--reason <words>' not specified",
      /Usage: mayfly session revoke/,
    ],
  ] as const) {
    const { code, stderr } = await mayfly(line);
    assert.equal(code, 1);
    assert.ok(stderr.startsWith(`error: ${missing}\n`), stderr);
    assert.match(stderr, usage);
  }
  for (const [reason, complaint] of [
    ['', /--reason is empty/],
    ['   ', /--reason is blank/],
    ['a ', /--reason begins or ends with a blank/],
    ['a\nb', /--reason has a line break/],
    ['a\u001bb', /--reason has a character that does not print: \\u\{1b\}/],
    ['see eyJhbGciOiJFZERTQSJ9.eyJqdGkiOiIxIn0.c2ln', /--reason has a token in it/],
    ['x'.repeat(501), /--reason has 501 characters, and 500 are the most/],
  ] as const) {
    const { code, stderr } = await mayfly(['kill', 'all', '--yes', '--reason', reason]);
    assert.equal(code, 1);
    assert.match(stderr, complaint);
  }
  const { stderr } = await mayfly(`${SHOW} --url ftp://x`);
  assert.match(stderr, /--url/);
  assert.doesNotMatch(stderr, /MAYFLY_ISSUER/);
  assert.equal(broker.asked.length, 0);
});

test('closed verifiers are shown to whoever asks for a state', async () => {
  const data = [
    { instance: 'ver_1', state: 'live' },
    { instance: 'ver_2', state: 'closed' },
  ];
  broker.answers({ management: { status: 200, body: { data, next_cursor: null } } });
  assert.doesNotMatch((await mayfly('verifier list')).stdout, /ver_2/);
  assert.match((await mayfly('verifier list --state closed')).stdout, /ver_2/);
});

test('a list follows the cursor as far as the limit, and says when there is more', async () => {
  const page = (url: string) => Number(new URL(url, broker.url).searchParams.get('cursor') ?? 0);
  broker.answers({
    management: ({ url }) => ({
      status: 200,
      body: {
        data: [{ id: `ses_${page(url)}a` }, { id: `ses_${page(url)}b` }],
        next_cursor: page(url) < 2 ? String(page(url) + 1) : null,
      },
    }),
  });
  const whole = await mayfly('session list --agent report-writer -o jsonl');
  assert.deepEqual(
    whole.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).id),
    ['ses_0a', 'ses_0b', 'ses_1a', 'ses_1b', 'ses_2a', 'ses_2b'],
  );
  assert.equal(whole.stderr, '');
  assert.deepEqual(
    broker.asked.map(({ url }) => url),
    [
      [200, ''],
      [200, '&cursor=1'],
      [200, '&cursor=2'],
    ].map(([limit, rest]) => `/v1/sessions?agent=report-writer&limit=${limit}${rest}`),
  );
  const part = await mayfly('session list -o json --limit 3');
  assert.equal(JSON.parse(part.stdout).length, 3);
  assert.match(part.stderr, /There are more than these 3/);
  assert.match(broker.asked.at(-1)?.url ?? '', /limit=1&/);
  broker.answers({ management: { status: 200, body: { data: [], next_cursor: 'again' } } });
  assert.equal((await mayfly('session list')).code, 2, 'a list without an end');
});

test('a page on which nothing was found is not the end of a list', async () => {
  broker.answers({
    management: ({ url }) => {
      const page = Number(new URL(url, broker.url).searchParams.get('cursor') ?? 0);
      const data = page === 2 ? [{ index: 7, id: 'aud_1' }] : [];
      return { status: 200, body: { data, next_cursor: page < 3 ? String(page + 1) : null } };
    },
  });
  const { code, stdout, stderr } = await mayfly('audit search -o jsonl');
  assert.deepEqual([code, stdout], [0, '{"index":7,"id":"aud_1"}\n'], stderr);
  assert.equal(broker.asked.length, 4);
});

test('what is implied is sent, unless it is said to be all', async () => {
  broker.answers({ management: { status: 200, body: { data: [], next_cursor: null } } });
  for (const line of [
    'session list',
    'session list --kind all',
    'session list --agent a',
    'kill list --kind all',
  ])
    await mayfly(line);
  assert.deepEqual(
    broker.asked.map(({ url }) => url.replace(/[?&]limit=200/, '')),
    ['/v1/sessions?kind=agent', '/v1/sessions', '/v1/sessions?agent=a', '/v1/kill-switch?kind=all'],
  );
});
