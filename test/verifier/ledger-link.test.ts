import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LEASE_TYPE, LEDGER_PAGE_TYPE } from '../../src/revocations/ledger-message.ts';
import { createVerifier, type VerifierOptions } from '../../src/verifier/index.ts';
import { until } from '../broker-process.ts';
import { FEED, LEASE, METADATA, newSigningKey, sendJson, startFakeIssuer } from './fake-issuer.ts';
import {
  ACTION,
  claimsOf,
  createFixture,
  type Fixture,
  type FixtureOptions,
  outcomeOf,
  SETTLED_SECONDS,
} from './fixture.ts';

async function using<Result>(
  work: (world: Fixture) => Promise<Result>,
  options: Partial<VerifierOptions> = {},
  fixture: FixtureOptions = {},
): Promise<Result> {
  const world = await createFixture(options, fixture);
  try {
    return await work(world);
  } finally {
    await world.stop();
  }
}

/** Renewals only where a test asks for them. */
const QUIET = { renewMilliseconds: 1_000_000 };
const OFTEN = { renewMilliseconds: 10 };

/** As it stands now, without a new lease. */
const outcomeNow = async ({ verifier, request }: Fixture, asked = request()) =>
  outcomeOf(await verifier.verify(asked, { action: ACTION }));

const questionOf = (body: string) => JSON.parse(body).question as string;

describe('The lease', () => {
  test('The question says who asks, what is applied, and how sensitive its actions are', () =>
    using(async ({ issuer, verifier, options }) => {
      const { instance, generation, epoch } = verifier.status();
      const question = issuer.questions.at(-1) ?? assert.fail();
      assert.match(instance, /^ver_/);
      assert.equal(question.instance, instance);
      assert.deepEqual(
        [question.iss, question.sub, question.aud],
        [options.resource, options.resource, issuer.url],
      );
      assert.deepEqual([question.generation, question.applied_epoch], [generation, epoch]);
      assert.equal(question.digest, issuer.ledger.head().digest);
      assert.deepEqual(question.sensitivities, ['LOW'], 'as the catalogue has it');
      assert.deepEqual(issuer.questions[0]?.sensitivities, ['HIGH'], 'before it knew better');
      assert.equal(question.catalogue, 1);
      assert.ok(question.exp - question.iat <= 60);
      assert.equal(new Set(issuer.questions.map(({ nonce }) => nonce)).size, issuer.questions.length);
    }, QUIET));

  test('An action that the catalogue does not have counts as HIGH', () =>
    using(
      async (world) => {
        assert.equal(await outcomeNow(world), 'ok');
        world.clock.advanceSeconds(3);
        assert.equal(await outcomeNow(world), 'temporarily_unavailable lease_expired');
        assert.equal(world.verifier.status().serving.MED, 'granted');
      },
      QUIET,
      { actions: { 'db:read:orders': 'MED' } },
    ));

  const forgeries: [what: string, forge: (world: Fixture, question: string) => string | undefined][] = [
    ['to another question', ({ issuer }, question) => issuer.answerTo(question, { nonce: 'n'.repeat(22) })],
    [
      'to another instance',
      ({ issuer }, question) => issuer.answerTo(question, { instance: 'ver_01k5h0m2v3x8q6d0w9r7t4y1zb' }),
    ],
    [
      'of another issuer',
      ({ issuer }, question) => issuer.answerTo(question, { iss: 'https://evil.example.com' }),
    ],
    ['that is no JWT', () => 'x'],
    ['that is missing', () => undefined],
    ['that is a page of the feed', ({ issuer }) => issuer.pageText(0)],
    [
      'by a key of tokens (L11)',
      ({ issuer }, question) => {
        const { kid, privateKey } = issuer.ledgerSigner;
        Object.assign(issuer.ledgerSigner, { kid: issuer.signer.kid, privateKey: issuer.signer.privateKey });
        const text = issuer.answerTo(question);
        Object.assign(issuer.ledgerSigner, { kid, privateKey });
        return text;
      },
    ],
    [
      'by another key under the same name',
      ({ issuer }, question) => {
        const { privateKey } = issuer.ledgerSigner;
        issuer.ledgerSigner.privateKey = newSigningKey('ledger-1').privateKey;
        const text = issuer.answerTo(question);
        issuer.ledgerSigner.privateKey = privateKey;
        return text;
      },
    ],
    ['of another shape', ({ issuer }) => issuer.sign(LEASE_TYPE, { iss: issuer.url, iat: 1 })],
  ];
  for (const [what, forge] of forgeries) {
    test(`An answer ${what} gives no lease`, () =>
      using(async (world) => {
        const { issuer, clock, verifier } = world;
        issuer.answerWith(LEASE, (response, { body }) =>
          sendJson(response, { answer: forge(world, questionOf(body)) }),
        );
        clock.advanceSeconds(301);
        await assert.rejects(verifier.ready());
        assert.equal(verifier.status().serving.LOW, 'lease_expired');
        assert.deepEqual(verifier.status().leases, { LOW: 0, MED: 0, HIGH: 0 });
        issuer.answerWith(LEASE, null);
        await verifier.ready();
        assert.equal(verifier.status().serving.HIGH, 'granted');
      }, QUIET));
  }

  test('Old answers, sent again, stretch nothing', () =>
    using(async ({ issuer, clock, verifier }) => {
      const answers: string[] = [];
      issuer.answerWith(LEASE, (response, { body }) => {
        answers.push(issuer.answerTo(questionOf(body)));
        sendJson(response, { answer: answers.at(-1) });
      });
      clock.advanceSeconds(4);
      await verifier.ready();
      issuer.answerWith(LEASE, (response) => sendJson(response, { answer: answers[0] }));
      clock.advanceSeconds(4);
      await assert.rejects(verifier.ready());
      assert.equal(verifier.status().serving.HIGH, 'lease_expired');
      assert.equal(verifier.status().leases.LOW, 296_000);
    }, QUIET));

  test('An answer that was held up on the way is good for what is left since the question', () =>
    using(async ({ issuer, clock, verifier }) => {
      const askedAt: number[] = [];
      issuer.answerWith(LEASE, (response, { body }) => {
        askedAt.push(clock.milliseconds());
        const answer = issuer.answerTo(questionOf(body));
        if (askedAt.length === 1) clock.advanceSeconds(2);
        sendJson(response, { answer });
      });
      clock.advanceSeconds(3);
      await verifier.ready();
      const left = () => 300_000 - (clock.milliseconds() - (askedAt.at(-1) ?? 0));
      await until(() => verifier.status().leases.LOW === left(), 'the lease runs from the question');
      assert.ok(askedAt.length > 1 || left() === 298_000);
    }, QUIET));

  test('A wall clock that jumps ten minutes ends it, and there is none until the clock is right again', () =>
    using(async (world) => {
      const { clock, verifier } = world;
      clock.jumpSeconds(600);
      assert.equal(verifier.status().serving.LOW, 'lease_expired');
      clock.jumpSeconds(-1_200);
      const { issuer } = world;
      issuer.answerWith(LEASE, (response, { body }) =>
        sendJson(response, { answer: issuer.answerTo(questionOf(body), { iat: world.now() + 600 }) }),
      );
      clock.advanceSeconds(301);
      await assert.rejects(verifier.ready(), /clock_differs/);
      assert.equal(verifier.status().serving.LOW, 'clock_differs');
    }, QUIET));

  test('It is asked for again and again, with jitter, without anybody calling', () =>
    using(async ({ issuer }) => {
      const asked = issuer.questions.length;
      await until(() => issuer.questions.length >= asked + 5, 'five more questions');
    }, OFTEN));

  test('While brokers do not answer, at most four questions are under way', async () => {
    let [underWay, most, givenUp] = [0, 0, 0];
    const counting: typeof fetch = async (url, init) => {
      if (!String(url).endsWith(LEASE)) return fetch(url, init);
      underWay += 1;
      most = Math.max(most, underWay);
      try {
        return await fetch(url, init);
      } finally {
        underWay -= 1;
        givenUp += 1;
      }
    };
    await using(
      async ({ issuer }) => {
        issuer.answerWith(LEASE, () => undefined);
        most = 0;
        const before = givenUp;
        await until(() => givenUp >= before + 8, 'eight questions were given up');
        assert.equal(most, 4);
      },
      { ...OFTEN, timeoutMilliseconds: 300, fetch: counting },
    );
  });
});

describe('The feed', () => {
  test('What is revoked comes by the feed at once, and the next question says so soon', () =>
    using(async ({ issuer, verifier }) => {
      await until(() => issuer.streams.size === 1, 'the feed is connected');
      for (const id of ['x', 'y', 'z']) {
        const epoch = issuer.revoke({ kind: 'session', id });
        await until(() => verifier.status().epoch === epoch, 'it is applied');
        await until(() => issuer.questions.at(-1)?.applied_epoch === epoch, 'the next question comes soon');
      }
    }, QUIET));

  test('How often news are acknowledged before their time, the broker says', () =>
    using(async ({ issuer, verifier }) => {
      await until(() => issuer.streams.size === 1, 'the feed is connected');
      const revoke = async (id: string) => {
        const epoch = issuer.revoke({ kind: 'session', id });
        await until(() => verifier.status().epoch === epoch, 'it is applied');
        return () => issuer.questions.at(-1)?.applied_epoch === epoch;
      };
      issuer.lease.hurry = { pause_milliseconds: 20, spread_milliseconds: 0 };
      await until(await revoke('first'), 'it hears of it');
      const startedAt = performance.now();
      for (let n = 0; n < 20; n += 1) await until(await revoke(`often ${n}`), 'each is acknowledged');
      assert.ok(performance.now() - startedAt < 10_000, 'not once a second');
      issuer.lease.hurry = { pause_milliseconds: 60_000, spread_milliseconds: 0 };
      await until(await revoke('it hears of it'), 'of this one, and of the other pace');
      await until(await revoke('the first of the minute'), 'that is acknowledged');
      const before = issuer.questions.length;
      const isKnown = await revoke('the second');
      await revoke('the third');
      assert.deepEqual([isKnown(), issuer.questions.length], [false, before]);
    }, QUIET));

  test('It is asked for with an assertion, from what is applied on', () =>
    using(async ({ issuer, options }) => {
      const { epoch } = issuer.ledger.head();
      await until(() => issuer.asked.some(({ path }) => path.startsWith(FEED)), 'the feed is asked for');
      const { path, headers } = issuer.asked.find((each) => each.path.startsWith(FEED)) ?? assert.fail();
      assert.equal(path, `${FEED}?since=${epoch}`);
      assert.equal(headers['last-event-id'], String(epoch));
      const claims = claimsOf(String(headers.authorization).replace('Bearer ', ''));
      assert.deepEqual([claims.iss, claims.aud], [options.resource, issuer.url]);
    }, QUIET));

  test('Cut anywhere, it is taken up where it was, and nothing is lost or read twice', () =>
    using(async ({ issuer, verifier }) => {
      await until(() => issuer.streams.size === 1, 'the feed is connected');
      for (const share of [0, 0.01, 0.3, 0.7, 0.99, 1]) {
        const before = issuer.ledger.head().epoch;
        const epoch = issuer.ledger.append({ target: { kind: 'session', id: `cut-${share}` } });
        const event = `id: ${epoch}\nevent: ledger\ndata: ${issuer.pageText(before)}\n\n`;
        for (const response of issuer.streams.keys()) {
          response.write(event.slice(0, Math.floor(event.length * share)), () => response.destroy());
        }
        await until(() => verifier.status().epoch === epoch, `epoch ${epoch}, cut at ${share}`);
        await until(() => issuer.streams.size === 1, 'it is connected again');
      }
      assert.equal(verifier.status().alarm, null);
    }, QUIET));

  test('A stream of something else, and pages that nobody signed, bring nothing and end nothing', () =>
    using(async (world) => {
      const { issuer, verifier } = world;
      const bad = [
        'event: ledger\ndata: x\n\n',
        `event: ledger\ndata: ${issuer.sign(LEDGER_PAGE_TYPE, { iss: 'x' })}\n\n`,
        'x'.repeat(3_000_000),
      ];
      let served = 0;
      issuer.answerWith(FEED, (response) => {
        response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write(bad[served % bad.length]);
        served += 1;
      });
      for (const response of issuer.streams.keys()) response.destroy();
      await until(() => served > bad.length, 'it tries again after each');
      assert.equal(await outcomeNow(world), 'ok');
      issuer.answerWith(FEED, null);
      const epoch = issuer.revoke({ kind: 'session', id: 'x' });
      await until(() => verifier.status().epoch === epoch, 'it is applied');
    }, QUIET));

  test('Without any feed the lease alone brings everything', () =>
    using(
      async ({ issuer, verifier }) => {
        const epoch = issuer.ledger.append({ target: { kind: 'zone', id: 'analytics' } });
        await until(() => verifier.status().epoch === epoch, 'it is applied');
        assert.equal(verifier.status().feed, 'disconnected');
      },
      OFTEN,
      { prepare: (issuer) => issuer.answerWith(FEED, (response) => sendJson(response, {}, { status: 503 })) },
    ));

  test('A copy of many pages is fetched page by page and swapped in whole', () =>
    using(
      async ({ issuer, verifier }) => {
        assert.equal(verifier.status().epoch, 7 + 5_000);
        const pages = issuer.asked.filter(
          ({ path, headers }) => path.startsWith(FEED) && headers.accept?.includes('json'),
        );
        assert.ok(pages.length >= 5, `${pages.length} pages`);
        assert.equal(verifier.status().serving.HIGH, 'granted');
      },
      QUIET,
      {
        prepare: ({ ledger }) => {
          for (let count = 0; count < 5_000; count += 1)
            ledger.append({ target: { kind: 'session', id: `s${count}` } });
        },
      },
    ));
});

describe('A ledger that contradicts itself', () => {
  test('Rolled back: an alarm, everything is refused, and a new generation is loaded anew', () => {
    const lines: string[] = [];
    const log = {
      info: (_details: object, message: string) => void lines.push(message),
      warn: (details: object, message: string) => void lines.push(`${message} ${JSON.stringify(details)}`),
    };
    return using(
      async (world) => {
        const { issuer, verifier, clock, token, request } = world;
        const epoch = issuer.revoke({ kind: 'session', id: 'x' });
        await until(() => verifier.status().epoch === epoch, 'it is applied');
        issuer.ledger.restoreTo(epoch - 1);
        clock.advanceSeconds(3);
        await assert.rejects(verifier.ready(), /ledger_rolled_back/);
        assert.equal(await outcomeNow(world), 'temporarily_unavailable ledger_rolled_back');
        assert.equal(verifier.status().alarm, 'ledger_rolled_back');
        const before = request(token());
        issuer.ledger.moveHead();
        await verifier.ready();
        assert.equal(await outcomeNow(world, before), 'invalid_token token_revoked');
        assert.equal(await outcomeNow(world), 'ok');
        assert.equal(verifier.status().generation, 2);
        assert.match(lines[0] ?? '', /contradicts what it said before.*ledger_rolled_back/);
        assert.ok(
          lines.some((line) => /new generation/.test(line)),
          lines.join('\n'),
        );
      },
      { ...QUIET, log },
    );
  });

  test('Forked: the same epoch with other contents is an alarm', () =>
    using(async (world) => {
      const { issuer, verifier, clock } = world;
      const epoch = issuer.revoke({ kind: 'session', id: 'x' });
      await until(() => verifier.status().epoch === epoch, 'it is applied');
      issuer.ledger.restoreTo(epoch - 1);
      issuer.ledger.append({ target: { kind: 'session', id: 'y' } });
      clock.advanceSeconds(3);
      await assert.rejects(verifier.ready());
      assert.equal(await outcomeNow(world), 'temporarily_unavailable ledger_forked');
    }, QUIET));

  test('What a revoked ledger key signs is not believed any more', () =>
    using(async (world) => {
      const { issuer, verifier, clock } = world;
      const epoch = issuer.revoke({ kind: 'signing-key', id: issuer.ledgerSigner.kid });
      await until(() => verifier.status().epoch === epoch, 'it is applied');
      clock.advanceSeconds(3);
      await assert.rejects(verifier.ready(), /broker_answer_unusable/);
      const next = newSigningKey('ledger-2');
      issuer.ledgerJwks.keys.push(next.jwk);
      Object.assign(issuer.ledgerSigner, next);
      clock.advanceSeconds(11);
      const wholeCopies = () => issuer.asked.filter(({ path }) => path === `${FEED}?since=0`).length;
      const before = wholeCopies();
      await verifier.ready();
      assert.equal(wholeCopies(), before + 1, 'nothing that it signed stays in the copy');
      assert.equal(await outcomeNow(world), 'ok');
      clock.advanceSeconds(3);
      await verifier.ready();
      assert.equal(wholeCopies(), before + 1);
    }, QUIET));
});

describe('Several brokers', () => {
  /** Two brokers of one issuer and one ledger, and a verifier that knows both. */
  async function withTwo(
    work: (world: Fixture, second: Fixture['issuer']) => Promise<void>,
    options: Partial<VerifierOptions> = OFTEN,
    secondIsAheadSeconds = 0,
  ) {
    const world = await createFixture(QUIET);
    const { now, issuer } = world;
    await world.verifier.close();
    const second = await startFakeIssuer({
      now: () => now() + secondIsAheadSeconds,
      actions: { [ACTION]: 'HIGH' },
      shared: issuer.shared,
    });
    const verifier = createVerifier({
      ...world.options,
      ...options,
      brokers: [issuer.url, second.url],
    });
    try {
      await verifier.ready();
      await work({ ...world, verifier }, second);
    } finally {
      await verifier.close();
      await second.stop();
      await world.stop();
    }
  }

  test('When one dies, the other gives the lease, the feed and the answers about tokens for one call', () =>
    withTwo(async (world, second) => {
      const { issuer, verifier, clock, request, requestToken } = world;
      const [dying, living] = verifier.status().broker === issuer.url ? [issuer, second] : [second, issuer];
      await dying.stop();
      const { length } = living.questions;
      await until(() => living.questions.length > length, 'the other is asked');
      clock.advanceSeconds(SETTLED_SECONDS);
      await verifier.ready();
      await until(() => verifier.status().broker === living.url, 'the other one is the one to ask');
      assert.equal(await outcomeNow(world), 'ok');
      assert.equal(await outcomeNow(world, request(requestToken({ method: 'GET' }))), 'ok');
      await until(() => living.streams.size > 0, 'the other one feeds');
      const epoch = living.revoke({ kind: 'session', id: 'x' });
      await until(() => verifier.status().epoch === epoch, 'it is applied');
    }));

  test('One that accepts and does not answer loses its place, and does not get it back', () =>
    withTwo(
      async ({ issuer, verifier }, second) => {
        const hanging = verifier.status().broker === issuer.url ? issuer : second;
        const other = hanging === issuer ? second : issuer;
        hanging.answerWith(LEASE, () => undefined);
        const { length } = other.questions;
        await until(() => other.questions.length > length + 10, 'the other one is asked');
      },
      { ...OFTEN, timeoutMilliseconds: 60_000 },
    ));

  test('One whose clock is minutes off gives no lease, and so the other one does', () =>
    withTwo(
      async ({ verifier, clock }) => {
        for (let count = 0; count < 5; count += 1) {
          clock.advanceSeconds(3);
          await verifier.ready();
          assert.equal(verifier.status().serving.HIGH, 'granted');
        }
      },
      QUIET,
      600,
    ));

  /** One broker reads a database that the other one has left behind; it feeds, and it alone gives answers. */
  async function leaveBehind({ issuer, verifier }: Fixture, second: Fixture['issuer']) {
    await until(() => issuer.streams.size + second.streams.size === 1, 'the feed is connected');
    const [old, right] = issuer.streams.size === 1 ? [issuer, second] : [second, issuer];
    const page = old.ledger.pageSince(0);
    old.answerWith(LEASE, (response, { body }) =>
      sendJson(response, { answer: old.answerTo(questionOf(body), { page }) }),
    );
    const recover = () => right.answerWith(LEASE, null);
    const fail = () => right.answerWith(LEASE, (response) => sendJson(response, {}, { status: 503 }));
    /** Once what was on its way to the failing one has been given up. */
    async function isAtTheOther(): Promise<boolean> {
      await verifier.ready().catch(() => undefined);
      const isFed = old.streams.size === 0 && right.streams.size === 1;
      return isFed && verifier.status().broker === right.url;
    }
    const isKnown = () => verifier.status().epoch === old.ledger.head().epoch;
    fail();
    return { old, right, recover, fail, isAtTheOther, isKnown };
  }

  test('One that speaks of an older generation loses its place and the feed, and that is said once', () => {
    const lines: string[] = [];
    const say = (details: object, message: string) =>
      void lines.push(`${message} ${JSON.stringify(details)}`);
    return withTwo(
      async (world, second) => {
        const { verifier, clock } = world;
        const { old, recover, fail, isAtTheOther, isKnown } = await leaveBehind(world, second);
        old.ledger.moveHead();
        old.feed();
        await until(isKnown, 'the new generation is loaded');
        clock.advanceSeconds(3);
        await assert.rejects(verifier.ready());
        assert.deepEqual(verifier.status().distrusted, [{ broker: old.url, reason: 'broker_behind' }]);
        recover();
        await until(isAtTheOther, 'the other one feeds and gives the lease');
        assert.equal(verifier.status().serving.HIGH, 'granted');
        fail();
        for (let times = 0; times < 3; times += 1) {
          clock.advanceSeconds(3);
          await assert.rejects(verifier.ready());
        }
        assert.equal(lines.filter((line) => line.includes('another ledger')).length, 1, lines.join('\n'));
        old.answerWith(LEASE, null);
        const isTrusted = async () => {
          await verifier.ready().catch(() => undefined);
          return verifier.status().distrusted.length === 0;
        };
        await until(isTrusted, 'it speaks of the same ledger again');
      },
      { ...QUIET, log: { info: say, warn: say } },
    );
  });

  test('One whose ledger was rolled back is left, so that the other one can tell of the new generation', () =>
    withTwo(async (world, second) => {
      const { verifier, clock } = world;
      const { old, right, recover, isAtTheOther, isKnown } = await leaveBehind(world, second);
      old.ledger.append({ target: { kind: 'session', id: 'x' } });
      old.feed();
      await until(isKnown, 'it is applied');
      clock.advanceSeconds(3);
      await assert.rejects(verifier.ready());
      assert.deepEqual(verifier.status().distrusted, [{ broker: old.url, reason: 'ledger_rolled_back' }]);
      recover();
      await assert.rejects(verifier.ready(), /ledger_rolled_back/, 'what was proved is proved');
      right.ledger.moveHead();
      // The first lease there may have been under way before the head moved, and what was proved stands against it.
      const isServing = async () => {
        const isThere = await isAtTheOther();
        const { alarm, serving } = verifier.status();
        return isThere && alarm === null && serving.HIGH === 'granted';
      };
      await until(isServing, 'the other one feeds, and what it tells ends the alarm');
    }, QUIET));

  test('Good-bye is said to the one that lives', () =>
    withTwo(async ({ issuer, verifier }, second) => {
      const [dying, living] = verifier.status().broker === issuer.url ? [issuer, second] : [second, issuer];
      await dying.stop();
      await verifier.close();
      const { instance } = verifier.status();
      const last = living.questions.filter((question) => question.instance === instance).at(-1);
      assert.equal(last?.leaving, true);
    }, QUIET));
});

describe('The drill of the kill switch', () => {
  test('A canary is accepted, and refused as soon as the ledger kills it; what cannot be judged is not spoken of', () =>
    using(async ({ issuer, verifier, clock, token, now }) => {
      const said = async () => {
        clock.advanceSeconds(3);
        await verifier.ready();
        return issuer.questions.at(-1)?.drills;
      };
      const canary = token({ claims: { sid: 'ses_canary' } });
      issuer.lease.drills = [
        { id: 'drill-1', token: canary },
        { id: 'drill-2', token: 'no token' },
        { id: 'drill-3', token: token({ claims: { exp: now() - 1 } }) },
      ];
      await said();
      assert.deepEqual(await said(), [{ id: 'drill-1', outcome: 'accepted' }]);
      const epoch = issuer.revoke({ kind: 'session', id: 'ses_canary' });
      await until(() => verifier.status().epoch === epoch, 'it is applied');
      assert.deepEqual(await said(), [{ id: 'drill-1', outcome: 'refused' }]);
      clock.advanceSeconds(400);
      await said();
      assert.deepEqual(await said(), undefined, 'an expired canary says nothing about the ledger');
      delete issuer.lease.drills;
      await said();
      assert.equal(await said(), undefined);
    }, QUIET));
});

test('A new verifier is a new instance, and each has its own lease', () =>
  using(async (world) => {
    const another = createVerifier(world.options);
    await another.ready();
    assert.notEqual(another.status().instance, world.verifier.status().instance);
    await another.close();
    assert.equal(another.status().serving.HIGH, 'verifier_closed');
    assert.equal(await outcomeNow(world), 'ok');
  }, QUIET));

test('Metadata without keys of the ledger are those of a broker that is too old', () =>
  using(
    async ({ verify }) => {
      assert.equal(outcomeOf(await verify()), 'temporarily_unavailable broker_answer_unusable');
    },
    QUIET,
    {
      prepare: (issuer) =>
        issuer.answerWith(METADATA, (response) =>
          sendJson(response, { ...issuer.metadata, ledger_jwks_uri: undefined }),
        ),
    },
  ));
