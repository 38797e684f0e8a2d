/** CON at the management API: what a list, an identifier or a body may not be, and that nothing of it changes anything. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeBase64url } from '../../src/jws/base64url.ts';
import { newSessionKey } from '../test-agent.ts';
import { claimsIn, createManagementRaw } from './management-raw.ts';

const { world, broker, olivia, ask, headEpoch } = await createManagementRaw();
const minted = await world.agent(broker, 'report-writer').token(newSessionKey());
const { jti, sid } = claimsIn(minted.body.access_token);
const { keys } = (await (await fetch(`${broker.url}/.well-known/jwks.json`)).json()) as {
  keys: { kid: string }[];
};
const kid = keys[0]?.kid ?? '';

const LISTS = [
  ['/v1/sessions', 'mayfly:read:sessions'],
  ['/v1/agents', 'mayfly:read:agents'],
  ['/v1/signing-keys', 'mayfly:read:signing-keys'],
  ['/v1/verifiers', 'mayfly:read:verifiers'],
  ['/v1/kill-switch', 'mayfly:read:kill-switch'],
] as const;

const CHANGES = [
  [`/v1/sessions/${sid}/revoke`, 'mayfly:revoke:sessions'],
  [`/v1/tokens/${jti}/revoke`, 'mayfly:revoke:tokens'],
  ['/v1/agents/report-writer/revoke', 'mayfly:revoke:agents'],
  ['/v1/agents/report-writer/quarantine', 'mayfly:quarantine:agents'],
  ['/v1/agents/report-writer/release', 'mayfly:release:agents'],
  [`/v1/signing-keys/${kid}/revoke`, 'mayfly:revoke:signing-keys'],
  ['/v1/kill-switch', 'mayfly:engage:kill-switch'],
  ['/v1/kill-switch/rev_01k5h0m2v3x8q6d0w9r7t4y1zb/release', 'mayfly:release:kill-switch'],
] as const;

/** Each is the cursor of some list, or of none. */
const CURSORS = [
  sid,
  jti,
  'ver_01k5h0m2v3x8q6d0w9r7t4y1zb',
  'rev_01k5h0m2v3x8q6d0w9r7t4y1zb',
  'agt_01k5h0m2v3x8q6d0w9r7t4y1zb',
  'A'.repeat(43),
  'report-writer',
  'zzzz',
  `${sid}\n`,
  `${sid}' or true --`,
  '\u0000',
];
const IDENTIFIED: Readonly<Record<string, RegExp>> = {
  '/v1/sessions': /^ses_[0-9a-z]{26}$/,
  '/v1/agents': /^agt_[0-9a-z]{26}$/,
  '/v1/signing-keys': /^never$/,
  '/v1/verifiers': /^ver_[0-9a-z]{26}$/,
  '/v1/kill-switch': /^rev_[0-9a-z]{26}$/,
};

describe('CON-20: a list', () => {
  for (const [path, action] of LISTS) {
    test(`${path} takes no cursor of another list, and none that nobody gave out`, async () => {
      for (const text of CURSORS) {
        const { status, body } = await ask(['GET', `${path}?cursor=${encodeBase64url(text)}`, action]);
        if (IDENTIFIED[path]?.test(text)) assert.equal(status, 200, text);
        else assert.deepEqual([status, body.code], [400, 'invalid_request'], text);
      }
    });

    test(`${path} takes no bound, filter or order that makes no sense`, async () => {
      for (const query of [
        'limit=0',
        'limit=-1',
        'limit=201',
        'limit=1e2',
        'limit=NaN',
        'limit=01',
        'limit=1&limit=2',
        'cursor[]=a',
        'cursor=!',
        'sort=sealed_secret',
        '__proto__=1',
        'state=open%00',
        'state=OPEN',
        'resource=a&resource=b',
        'agent=%ff',
        `zone=${'x'.repeat(9_000)}`,
      ]) {
        const { status, body } = await ask(['GET', `${path}?${query}`, action]);
        assert.deepEqual([status, body.code], [400, 'invalid_request'], query.slice(0, 40));
      }
    });
  }

  test('/v1/agents gives everybody once, one by one, the canary too', async () => {
    const names: string[] = [];
    let cursor = '';
    do {
      const { body } = await ask(['GET', `/v1/agents?limit=1${cursor}`, 'mayfly:read:agents']);
      names.push(body.data[0].name);
      cursor = body.next_cursor === null ? '' : `&cursor=${body.next_cursor}`;
    } while (cursor !== '' && names.length < 100);
    const whole = await ask(['GET', '/v1/agents', 'mayfly:read:agents']);
    assert.deepEqual(
      names,
      whole.body.data.map(({ name }: { name: string }) => name),
    );
    assert.ok(names.includes('mayfly:canary'));
  });
});

test('the feed takes no parameter but the one that it knows, and that as a plain number', async () => {
  for (const query of [
    'sicne=5',
    'cursor=5',
    'since=-1',
    'since=1e3',
    'since=0x10',
    'since=01',
    'since=%201',
    'since=NaN',
    'since=9007199254740993',
    'since=99999999999999999999',
    'since=1&since=2',
  ]) {
    const { status, body } = await ask(['GET', `/v1/revocations?${query}`, 'mayfly:read:revocations']);
    assert.deepEqual([status, body.code], [400, 'invalid_request'], query);
  }
  const { status } = await ask(['GET', '/v1/revocations?since=9007199254740991', 'mayfly:read:revocations']);
  assert.equal(status, 200, 'who claims to be ahead is told where the ledger ends');
});

describe('CON-18: a change', () => {
  for (const [path, action] of CHANGES) {
    const good = path === '/v1/kill-switch' ? '"target":{"kind":"all"},"reason":"x"' : '"reason":"x"';
    const bad = (text: string) => text.replace('$', good);

    test(`${path.replace(/\/\w{3}_\w{26}|\/[\w-]{43}/, '/…')} is none with a body of another shape`, async () => {
      const before = await headEpoch();
      for (const text of [
        '',
        'null',
        '[]',
        '1',
        '"x"',
        '{',
        '{$} {}',
        '\ufeff{$}',
        '{$,"reason":"y"}',
        '{$,"r\\u0065ason":"y"}',
        '{$,"Reason":"y"}',
        '{$,"actor":"omar"}',
        '{$,"dry_run":"true"}',
        '{$,"dry_run":1}',
        '{$,"dry_run":null}',
        '{$,"__proto__":{"dry_run":true}}',
        '{$,"constructor":1}',
        `{$,"n":${'['.repeat(40)}${']'.repeat(40)}}`,
        '{$,"n":1e400}',
        `{$,"n":"${'x'.repeat(70_000)}"}`,
      ].map(bad)) {
        const { status } = await ask(['POST', path, action], { body: text });
        assert.ok(status === 400 || status === 413, `${status} for ${text.slice(0, 60)}`);
      }
      assert.equal(await headEpoch(), before);
    });

    test(`${path.replace(/\/\w{3}_\w{26}|\/[\w-]{43}/, '/…')} is none that was only to be tried, in the wrong place`, async () => {
      const before = await headEpoch();
      for (const query of ['dry_run=true', 'dry_run', 'reason=x', '%64ry_run=1']) {
        const answer = await ask(['POST', `${path}?${query}`, action], { body: bad('{$}') });
        assert.deepEqual([answer.status, answer.body.code], [400, 'invalid_request'], query);
      }
      assert.equal(await headEpoch(), before);
    });
  }

  test('is none as a form, as plain text, compressed or in another alphabet', async () => {
    const before = await headEpoch();
    for (const headers of [
      [['Content-Type', 'text/plain']],
      [['Content-Type', 'application/x-www-form-urlencoded']],
      [['Content-Type', 'application/json; charset=utf-16']],
      [['Content-Type', 'application/json, text/plain']],
      [['Content-Type', 'application/merge-patch+json']],
      [
        ['Content-Type', 'application/json'],
        ['Content-Encoding', 'gzip'],
      ],
    ] as const) {
      const body = '{"target":{"kind":"all"},"reason":"x"}';
      const { status } = await ask(['POST', '/v1/kill-switch', 'mayfly:engage:kill-switch'], {
        body,
        headers,
      });
      assert.equal(status, 415, JSON.stringify(headers));
    }
    assert.equal(await headEpoch(), before);
  });

  test('is none under another method, or one that a header names', async () => {
    const before = await headEpoch();
    for (const method of ['PUT', 'PATCH', 'DELETE', 'PROPFIND']) {
      const { status } = await ask([method, '/v1/kill-switch', 'mayfly:engage:kill-switch']);
      assert.equal(status, 405, method);
    }
    for (const name of ['X-HTTP-Method-Override', 'X-Method-Override', 'X-Original-URL']) {
      const headers = [[name, name.endsWith('URL') ? '/v1/kill-switch' : 'POST']] as const;
      const { status } = await ask(['GET', '/v1/kill-switch', 'mayfly:read:kill-switch'], { headers });
      assert.equal(status, 200, 'it is the list');
    }
    assert.equal(await headEpoch(), before);
  });
});

test('REV-16: an identifier that is spelled another way names nothing', async () => {
  const before = await headEpoch();
  const spellings = [
    'report-writer%20',
    'report-writer%00',
    'report-writer%0a',
    'Report-Writer',
    '%EF%BD%92eport-writer',
    'report-writer%2F',
    'report-writer;v=1',
    'report%25',
    '%25',
    '_',
    '*',
    'mayfly%3Acanary',
    'x'.repeat(3_000),
    sid,
    sid.toUpperCase(),
    `${sid}%20`,
    'ses_8zzzzzzzzzzzzzzzzzzzzzzzzz',
    'tok_7zzzzzzzzzzzzzzzzzzzzzzzzz',
    'rev_7zzzzzzzzzzzzzzzzzzzzzzzzz',
  ];
  for (const id of spellings) {
    for (const [path, action] of [
      ['/v1/agents/{}/quarantine', 'mayfly:quarantine:agents'],
      ['/v1/agents/{}/revoke', 'mayfly:revoke:agents'],
      ['/v1/tokens/{}/revoke', 'mayfly:revoke:tokens'],
      ['/v1/signing-keys/{}/revoke', 'mayfly:revoke:signing-keys'],
      ['/v1/kill-switch/{}/release', 'mayfly:release:kill-switch'],
      ...(id === sid ? [] : [['/v1/sessions/{}/revoke', 'mayfly:revoke:sessions'] as const]),
    ] as const) {
      const { status } = await ask(['POST', path.replace('{}', id), action], { body: '{"reason":"x"}' });
      assert.ok(status === 404 || status === 400, `${status} for ${path} ${id.slice(0, 40)}`);
    }
  }
  assert.equal(await headEpoch(), before);
  assert.equal((await olivia.get(`/v1/sessions/${sid}`, 'mayfly:read:sessions')).body.state, 'open');
});
