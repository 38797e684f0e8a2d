import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { argumentsOfQuery, digestOfArguments } from '../../src/verifier/index.ts';
import { fc } from '../properties.ts';
import { CONSUME, LEASE, sendJson } from './fake-issuer.ts';
import { ACTION, AUDIENCE, claimsOf, createFixture, outcomeOf } from './fixture.ts';

const world = await createFixture();
after(() => world.stop());
const { requestToken, proof, request, verify } = world;

const ARGUMENTS = { name: 'weekly', rows: 3 };
const POST_PROOF = { claims: { htm: 'POST' } };

function send(
  accessToken: string,
  { method = 'POST', target = '/customers', given = ARGUMENTS as unknown, claims = {} } = {},
) {
  const dpop = proof(accessToken, { claims: { htm: method, htu: `${AUDIENCE}${target}`, ...claims } });
  return verify(request(accessToken, dpop, { method, target, readArguments: () => given }));
}

const callToken = (call: object = {}) =>
  requestToken({ arguments_digest: digestOfArguments(ARGUMENTS), ...call });

test('A request token passes once, for its call, and the arguments that were checked come back', async () => {
  const accessToken = callToken();
  const verification = await send(accessToken);
  assert.ok(verification.granted);
  assert.deepEqual(verification.call, { arguments: ARGUMENTS });
  assert.equal(outcomeOf(await send(accessToken)), 'invalid_token token_spent');
});

test('Of twenty uses of one request token at once, each with a proof of its own, exactly one passes', async () => {
  const accessToken = callToken();
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, async () => outcomeOf(await send(accessToken))),
  );
  assert.equal(outcomes.filter((outcome) => outcome === 'ok').length, 1);
  assert.equal(outcomes.filter((outcome) => outcome === 'invalid_token token_spent').length, 19);
});

test('A token of a session has no call, so its arguments are never read', async () => {
  const readArguments = () => assert.fail('read');
  assert.equal(outcomeOf(await verify(request(undefined, undefined, { readArguments }))), 'ok');
});

test('Where a request token is demanded, a token of a session is not enough', async () => {
  const verification = await verify(request(), { action: ACTION, requestToken: true });
  assert.equal(outcomeOf(verification), 'insufficient_scope request_token_needed');
});

describe('Another call than the one in the token', () => {
  const cases: [what: string, () => ReturnType<typeof send>, outcome: string][] = [
    ['another method', () => send(callToken(), { method: 'PUT' }), 'call_of_another_method'],
    ['another path', () => send(callToken(), { target: '/customers/1' }), 'call_of_another_url'],
    ['a query more', () => send(callToken(), { target: '/customers?a=1' }), 'call_of_another_url'],
    ['a query less', () => send(callToken({ url: `${AUDIENCE}/customers?a=1` })), 'call_of_another_url'],
    [
      'the query in another order',
      () => send(callToken({ url: `${AUDIENCE}/customers?a=1&b=2` }), { target: '/customers?b=2&a=1' }),
      'call_of_another_url',
    ],
    [
      'another host',
      () => send(callToken({ url: 'https://evil.example.com/customers' })),
      'call_of_another_url',
    ],
    ['a URL that is none', () => send(callToken({ url: 'customers' })), 'call_of_another_url'],
    [
      'other arguments',
      () => send(callToken(), { given: { ...ARGUMENTS, rows: 4 } }),
      'call_of_other_arguments',
    ],
    [
      'an argument more',
      () => send(callToken(), { given: { ...ARGUMENTS, all: true } }),
      'call_of_other_arguments',
    ],
    [
      'a number as text',
      () => send(callToken(), { given: { ...ARGUMENTS, rows: '3' } }),
      'call_of_other_arguments',
    ],
    ['no arguments', () => send(callToken(), { given: {} }), 'call_of_other_arguments'],
    [
      'a digest in hexadecimal',
      () =>
        send(
          callToken({
            arguments_digest: Buffer.from(digestOfArguments(ARGUMENTS), 'base64url').toString('hex'),
          }),
        ),
      'call_of_other_arguments',
    ],
    ['another action', () => send(callToken({ action: 'db:read:orders' })), 'call_of_another_action'],
    ['a member nobody knows', () => send(callToken({ amount: 5 })), 'call_unreadable'],
    ['a member missing', () => send(callToken({ url: undefined })), 'call_unreadable'],
    ['another type', () => send(callToken({ type: 'payment' })), 'call_unreadable'],
  ];
  for (const [what, make, reason] of cases) {
    test(`${what}: ${reason}, and the token is not used up`, async () => {
      const before = world.issuer.spent.size;
      assert.equal(outcomeOf(await make()), `invalid_token ${reason}`);
      assert.equal(world.issuer.spent.size, before);
    });
  }

  test('Details that are no list of one call make the token good for nothing', async () => {
    for (const details of [
      [],
      {},
      null,
      'x',
      [null],
      [[]],
      [{ type: 'mayfly_call' }, { type: 'mayfly_call' }],
    ]) {
      const accessToken = requestToken({}, { claims: { authorization_details: details } });
      assert.equal(
        outcomeOf(await send(accessToken)),
        'invalid_token call_unreadable',
        JSON.stringify(details),
      );
    }
  });
});

test('Equivalent spellings of the URL, and arguments in another order, are the same call', async () => {
  const url = 'HTTPS://CUSTOMERS.example.com:443/%63ustomers';
  assert.equal(outcomeOf(await send(callToken({ url }), { given: { rows: 3.0, name: 'weekly' } })), 'ok');
});

test('Arguments without a JSON form are refused', async () => {
  for (const given of [Number.NaN, 'a\ud800', { at: new Date() }, { big: 1n }]) {
    assert.equal(outcomeOf(await send(callToken(), { given })), 'invalid_request arguments_unreadable');
  }
});

describe('What the broker says about using the token', () => {
  const outcomeWith = async (answer: object, options: Parameters<typeof sendJson>[2] = {}) => {
    world.issuer.answerWith(CONSUME, (response) => sendJson(response, answer, options));
    const outcome = outcomeOf(await send(callToken()));
    world.issuer.answerWith(CONSUME, null);
    return outcome;
  };
  const problem = { type: 'application/problem+json' };

  test('A revoked, an expired and an unknown one are dead', async () => {
    assert.equal(
      await outcomeWith({ code: 'token_dead' }, { ...problem, status: 409 }),
      'invalid_token token_inactive',
    );
    assert.equal(
      await outcomeWith({ code: 'token_unknown' }, { ...problem, status: 404 }),
      'invalid_token token_inactive',
    );
  });

  test('A yes that is not about this token and this question is no yes', async () => {
    const accessToken = callToken();
    const { jti } = claimsOf(accessToken);
    const unusable = 'temporarily_unavailable broker_answer_unusable';
    assert.equal(await outcomeWith({}), unusable);
    assert.equal(await outcomeWith({ jti: 'tok_other', nonce: 'x' }), unusable);
    for (const answer of [{ jti }, { jti, nonce: 'old' }, { jti, nonce: null }]) {
      world.issuer.answerWith(CONSUME, (response) => sendJson(response, answer));
      assert.equal(outcomeOf(await send(accessToken)), unusable);
    }
    world.issuer.answerWith(CONSUME, null);
  });

  test('A 404 of somebody else, a redirect and a 401 are outages, not answers about the token', async () => {
    assert.equal(
      await outcomeWith({ code: 'not_found' }, { ...problem, status: 404 }),
      'temporarily_unavailable broker_refuses',
    );
    assert.equal(
      await outcomeWith({ error: 'invalid_client' }, { status: 401 }),
      'temporarily_unavailable broker_refuses',
    );
    assert.equal(
      await outcomeWith({}, { status: 307, headers: { Location: `${world.issuer.url}/elsewhere` } }),
      'temporarily_unavailable broker_unreachable',
    );
  });

  test('The question names the token in its path, and a nonce and an assertion in its body', async () => {
    world.issuer.asked.length = 0;
    const accessToken = callToken();
    await send(accessToken);
    const asked = world.issuer.asked.filter(({ path }) => path !== LEASE);
    const [question] = asked;
    assert.equal(question?.path, `/v1/tokens/${claimsOf(accessToken).jti}/consume`);
    assert.deepEqual(Object.keys(JSON.parse(question?.body ?? '{}')).sort(), [
      'client_assertion',
      'client_assertion_type',
      'nonce',
    ]);
    assert.equal(asked.length, 1, 'no other question beside it');
  });
});

describe('Arguments out of a query', () => {
  test('A name that comes once has a string, one that comes more often a list', () => {
    assert.deepEqual(
      { ...argumentsOfQuery('/a?x=1&y=&x=2&z=a%20b+c') },
      { x: ['1', '2'], y: '', z: 'a b c' },
    );
  });

  test('Without a query they are the empty object, with the digest that the documentation names', () => {
    for (const target of ['/a', '/a?']) {
      assert.equal(
        digestOfArguments(argumentsOfQuery(target)),
        'RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o',
      );
    }
  });

  test('Names of the prototype are names like any other', () => {
    const found = argumentsOfQuery('/a?__proto__=1&constructor=2');
    assert.deepEqual(Object.keys(found), ['__proto__', 'constructor']);
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
    assert.match(digestOfArguments(found), /^[\w-]{43}$/);
  });

  test('Every query has arguments with a digest', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 100 }), (query) => {
        assert.match(digestOfArguments(argumentsOfQuery(`/a?${query}`)), /^[\w-]{43}$/);
      }),
    );
  });
});

test('The proof for the call has to be for its method', async () => {
  const accessToken = callToken();
  assert.equal(
    outcomeOf(await send(accessToken, { claims: { htm: 'GET' } })),
    'invalid_dpop_proof proof_method',
  );
  assert.equal(outcomeOf(await send(accessToken, POST_PROOF)), 'ok');
});
