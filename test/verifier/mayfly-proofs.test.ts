import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, test } from 'node:test';
import { tokenHash } from '../../src/dpop/proof.ts';
import { systemClock } from '../../src/time/clock.ts';
import {
  createProofMemory,
  createVerifier,
  type ResourceRequest,
  type Verifier,
  type VerifierOptions,
} from '../../src/verifier/index.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';
import { sendJson } from './fake-issuer.ts';
import { AUDIENCE as CUSTOMERS, createFixture, outcomeOf } from './fixture.ts';

/*
 * Instances of one resource server that share their proofs at the brokers: real brokers on a real database, and for
 * what brokers would never answer a fake one.
 */
const world = await createTestWorld();
const brokers = [await world.startBroker(), await world.startBroker()];
const READ = { action: 'db:read:customers' };
const REPLAYED = 'invalid_dpop_proof proof_replayed';
const UNDECIDED = 'temporarily_unavailable proof_store_unreachable';
const SPEND = '/v1/proofs/spend';
const open: Verifier[] = [];
after(() => Promise.all(open.map((verifier) => verifier.close())));

/** Older than any proof of today. */
function startedLongAgo() {
  let age = 60_000;
  return {
    ...systemClock,
    milliseconds() {
      const milliseconds = Date.now() - age;
      age = 0;
      return milliseconds;
    },
  };
}

async function startInstance(nonceSecret: Uint8Array, options: Partial<VerifierOptions> = {}) {
  const clock = startedLongAgo();
  const proofs = createProofMemory({ nonceSecret, clock });
  const verifier = createVerifier({
    issuer: TEST_ISSUER,
    resource: CUSTOMERS,
    key: world.scopes.keys.get('customers') as VerifierOptions['key'],
    brokers: brokers.map(({ url }) => url),
    sharedProofs: 'mayfly',
    proofs,
    clock,
    timeoutMilliseconds: 10_000,
    ...options,
  });
  open.push(verifier);
  await verifier.ready();
  return verifier;
}

const agent = world.agent(brokers[0] ?? assert.fail(), 'report-writer');
const session = newSessionKey();
const token: string = (await agent.token(session)).body.access_token;

function request(claims: object = {}): ResourceRequest {
  const bound = { htm: 'GET', htu: `${CUSTOMERS}/customers`, ath: tokenHash(token), nonce: undefined };
  return {
    method: 'GET',
    target: '/customers',
    headers: [
      ['Authorization', `DPoP ${token}`],
      ['DPoP', agent.proof(session, { claims: { ...bound, ...claims } })],
    ],
    readArguments: () => undefined,
  };
}

const secret = randomBytes(32);
const instances = [
  await startInstance(secret),
  await startInstance(secret, { brokers: [brokers[1]?.url ?? ''] }),
];
const ask = async (verifier: Verifier | undefined, asked: ResourceRequest) =>
  outcomeOf(await (verifier ?? assert.fail()).verify(asked, READ));

test('one proof at two instances at once: exactly one lets it in, a hundred times over', async () => {
  const requests = Array.from({ length: 100 }, () => request());
  const outcomes = await Promise.all(
    requests.map((asked) => Promise.all(instances.map((verifier) => ask(verifier, asked)))),
  );
  for (const both of outcomes) assert.deepEqual(both.toSorted(), [REPLAYED, 'ok']);
});

test('what an instance has seen is used up for one that starts later, with a nonce and without', async () => {
  const plain = request();
  assert.equal(await ask(instances[0], plain), 'ok');
  const withNonce = request({ nonce: createProofMemory({ nonceSecret: secret }).nonce() });
  assert.equal(await ask(instances[0], withNonce), 'ok');
  const late = await startInstance(secret);
  assert.equal(await ask(late, plain), REPLAYED);
  assert.equal(await ask(late, withNonce), REPLAYED);
  assert.equal(await ask(late, request()), 'ok');
});

test('a request that is refused for another reason does not use the proof up anywhere', async () => {
  const asked = request();
  const other = await (instances[0] ?? assert.fail()).verify(asked, { action: 'db:read:orders' });
  assert.equal(outcomeOf(other), 'insufficient_scope action_not_covered');
  assert.equal(await ask(instances[1], asked), 'ok');
});

test('FLT-28: while one broker is gone the other one is asked, and when both are nothing is let in', async () => {
  const gone = await world.startBroker();
  const verifier = await startInstance(secret, { brokers: [gone.url], timeoutMilliseconds: 2_000 });
  const both = await startInstance(secret, { brokers: [gone.url, brokers[0]?.url ?? ''] });
  await gone.stop();
  for (let times = 0; times < 4; times += 1) assert.equal(await ask(both, request()), 'ok');
  const asked = request();
  const verification = await verifier.verify(asked, READ);
  assert.equal(outcomeOf(verification), UNDECIDED);
  assert.ok(!verification.granted);
  assert.deepEqual([verification.status, verification.headers['Retry-After']], [503, '1']);
  assert.match(JSON.parse(verification.body).hint, /used before/);
});

test('FLT-28: what is no clear answer of a broker to this question is 503 and never a yes', async () => {
  const fake = await createFixture({ sharedProofs: 'mayfly', timeoutMilliseconds: 1_000 });
  try {
    const answers: ((nonce: unknown) => [value: object, status?: number] | null)[] = [
      () => null,
      (nonce) => [{ nonce, fresh: [true] }, 503],
      (nonce) => [{ nonce, fresh: [true] }, 429],
      (nonce) => [{ nonce, fresh: [true] }, 401],
      () => [{ nonce: 'of another', fresh: [true] }],
      (nonce) => [{ nonce, fresh: [true, true] }],
      (nonce) => [{ nonce, fresh: [] }],
      (nonce) => [{ nonce, fresh: [1] }],
      (nonce) => [{ nonce, fresh: 'true' }],
      (nonce) => [{ nonce }],
    ];
    for (const answer of answers) {
      fake.issuer.answerWith(SPEND, (response, { body }) => {
        const [value, status = 200] = answer(JSON.parse(body).nonce) ?? [];
        if (value !== undefined) sendJson(response, value, { status });
      });
      assert.equal(outcomeOf(await fake.verify()), UNDECIDED, String(answer));
    }
    fake.issuer.answerWith(SPEND, (response, { body }) =>
      sendJson(response, { nonce: JSON.parse(body).nonce, fresh: [true] }),
    );
    assert.equal(outcomeOf(await fake.verify()), 'ok');
  } finally {
    await fake.stop();
  }
});

test('what comes while a question is under way goes with the next one', async () => {
  const fake = await createFixture({ sharedProofs: 'mayfly' });
  try {
    const asked: number[] = [];
    fake.issuer.answerWith(SPEND, (response, { body }) => {
      const { nonce, proofs } = JSON.parse(body);
      asked.push(proofs.length);
      sendJson(response, { nonce, fresh: proofs.map(() => true) });
    });
    await fake.renew();
    const decisions = Array.from({ length: 150 }, () => fake.verifier.verify(fake.request(), READ));
    const outcomes = new Set((await Promise.all(decisions)).map(outcomeOf));
    assert.deepEqual([...outcomes], ['ok']);
    assert.equal(
      asked.reduce((sum, each) => sum + each, 0),
      150,
    );
    assert.ok(asked.length <= 10 && Math.max(...asked) <= 100, String(asked));
  } finally {
    await fake.stop();
  }
});

test('a store that is none is refused when the verifier is made', () => {
  for (const sharedProofs of ['redis', {}, null] as unknown as 'mayfly'[]) {
    assert.throws(
      () =>
        createVerifier({
          issuer: TEST_ISSUER,
          resource: CUSTOMERS,
          key: world.scopes.keys.get('customers') as VerifierOptions['key'],
          sharedProofs,
        }),
      /sharedProofs has to be mayfly/,
    );
  }
});
