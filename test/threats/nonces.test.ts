/** DPP: nonces that brokers hand out: each broker here has a clock of its own, which stands still. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../src/time/clock.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';
import { type Case, createStage, type Stage } from './oracle.ts';
import type { Outcome } from './outcomes.ts';
import type { Attempt } from './raw-request.ts';

const STEP_SECONDS = 30;
/** The middle of a step: nothing happens at its edge by chance. */
const STANDSTILL = (Math.floor(Date.now() / 1000 / STEP_SECONDS) + 0.5) * STEP_SECONDS * 1000;

/** Its wall stands still; what ages goes on ageing. */
function stoppedClock(aheadSeconds: number): Clock {
  return {
    milliseconds: () => STANDSTILL + aheadSeconds * 1000,
    monotonicMilliseconds: () => performance.now(),
  };
}

const world = await createTestWorld();
const brokerAt = (aheadSeconds: number, MAYFLY_DPOP_NONCE = 'required') =>
  createStage({ world, clock: stoppedClock(aheadSeconds), settings: { MAYFLY_DPOP_NONCE } });
const stage = await brokerAt(0);
const replica = await brokerAt(0);
const oneStepLater = await brokerAt(STEP_SECONDS);
const twoStepsLater = await brokerAt(2 * STEP_SECONDS);
const lenient = await brokerAt(0, 'optional');
const { agent, session } = stage;
const now = Math.floor(STANDSTILL / 1000);

function requestWith(claims: object, at: Stage = stage): Attempt {
  return at.tokenRequest({ dpop: agent.proof(session, { claims }) });
}

async function nonceOf(at: Stage): Promise<string> {
  const answer = await at.ask(requestWith({ nonce: 'none-of-ours' }, at));
  assert.equal(answer.body.error, 'use_dpop_nonce', answer.text);
  const [nonce = ''] = answer.headers.get('dpop-nonce') ?? [];
  return nonce;
}

const wrong: [string, unknown, Outcome][] = [
  ['missing', undefined, 'DN'],
  ['empty', '', 'DN'],
  ['made up', 'none-of-ours', 'DN'],
  ['of the right form, made up', 'AAAAAAAAAAAAAAAAAAAAAA', 'DN'],
  ['with a line feed', 'a\n', 'DN'],
  ['with an emoji', '🦋', 'DN'],
  ['of 4,000 characters', 'n'.repeat(4_000), 'DN'],
  ['of 10 kB', 'n'.repeat(10_000), 'DP'],
  ['a number', 7, 'DP'],
  ['an array', ['a'], 'DP'],
  ['an object', {}, 'DP'],
  ['null', null, 'DP'],
  ['true', true, 'DP'],
  ['called like a member of every object', '__proto__', 'DN'],
  ['called constructor', 'constructor', 'DN'],
];
stage.run('DPP: a nonce that is none of ours', [
  ...wrong.map(
    ([name, nonce, expected]): Case => ({
      id: 'DPP-90',
      name: `nonce ${name}`,
      ask: () => requestWith({ nonce }),
      expected,
    }),
  ),
  ...(
    [
      ['with padding', (nonce: string) => `${nonce}==`],
      ['with the last character missing', (nonce: string) => nonce.slice(0, -1)],
      ['with a space', (nonce: string) => ` ${nonce}`],
      ['in upper case', (nonce: string) => nonce.toUpperCase()],
      ['twice', (nonce: string) => `${nonce}, ${nonce}`],
      [
        'with another last character',
        (nonce: string) => `${nonce.slice(0, -1)}${nonce.endsWith('A') ? 'Q' : 'A'}`,
      ],
    ] as const
  ).map(
    ([name, bend]): Case => ({
      id: 'DPP-91',
      name: `our nonce ${name}`,
      ask: async () => requestWith({ nonce: bend(await nonceOf(stage)) }),
      expected: 'DN',
    }),
  ),
]);

oneStepLater.run('DPP: a step later', [
  {
    id: 'DPP-90',
    name: 'the nonce of the step before',
    ask: async () => {
      assert.notEqual(await nonceOf(stage), await nonceOf(oneStepLater));
      return requestWith({ nonce: await nonceOf(stage) }, oneStepLater);
    },
    expected: 'OK',
  },
  {
    id: 'DPP-90',
    name: 'the nonce of a replica whose clock is a step ahead',
    ask: async () => requestWith({ nonce: await nonceOf(twoStepsLater) }, oneStepLater),
    expected: 'OK',
  },
  {
    id: 'DPP-44',
    name: 'the same jti and key under the nonce of another step',
    ask: async () => {
      const claims = { jti: `twice-${Date.now()}`, nonce: await nonceOf(stage) };
      assert.equal((await stage.ask(requestWith(claims))).status, 200);
      return requestWith(claims, oneStepLater);
    },
    expected: 'DP',
    reason: 'proof_replayed',
    rows: { spent: 1 },
  },
]);

twoStepsLater.run('DPP: two steps later', [
  {
    id: 'DPP-90',
    name: 'the nonce of two steps before',
    ask: async () => requestWith({ nonce: await nonceOf(stage) }, twoStepsLater),
    expected: 'DN',
  },
]);

stage.run('DPP: a nonce of ours', [
  {
    id: 'DPP-90',
    name: 'the one that was handed out',
    ask: async () => requestWith({ nonce: await nonceOf(stage) }),
    expected: 'OK',
  },
  {
    id: 'DPP-90',
    name: 'the one of two steps ahead',
    ask: async () => requestWith({ nonce: await nonceOf(twoStepsLater) }),
    expected: 'DN',
  },
  {
    id: 'DPP-90',
    name: 'a good nonce decides, however wrong iat is: an hour ago',
    ask: async () => requestWith({ nonce: await nonceOf(stage), iat: now - 3_600 }),
    expected: 'OK',
  },
  {
    id: 'DPP-90',
    name: 'a good nonce decides, however wrong iat is: a day ahead',
    ask: async () => requestWith({ nonce: await nonceOf(stage), iat: now + 86_400 }),
    expected: 'OK',
  },
  {
    id: 'DPP-90',
    name: 'a good nonce does not forgive an iat that is no time',
    ask: async () => requestWith({ nonce: await nonceOf(stage), iat: 'now' }),
    expected: 'DP',
  },
  {
    id: 'DPP-90',
    name: 'the nonce of another replica',
    ask: async () => requestWith({ nonce: await nonceOf(replica) }),
    expected: 'OK',
  },
  {
    id: 'DPP-90',
    name: 'a nonce that another client was given',
    ask: async () => {
      const nonce = await nonceOf(stage);
      const by = stage.agentNamed('support-assistant');
      const dpop = by.proof(newSessionKey(), { claims: { nonce } });
      return stage.tokenRequest({ by, dpop });
    },
    expected: 'OK',
  },
]);

lenient.run('DPP: where a nonce is not required', [
  {
    id: 'DPP-90',
    name: 'none',
    ask: () => requestWith({ iat: now }, lenient),
    expected: 'OK',
  },
  {
    id: 'DPP-90',
    name: 'one that is none of ours',
    ask: () => requestWith({ nonce: 'x' }, lenient),
    expected: 'DN',
  },
  {
    id: 'DPP-90',
    name: 'one of ours from the replica that requires it',
    ask: async () => requestWith({ nonce: await nonceOf(stage) }, lenient),
    expected: 'OK',
  },
]);

test('DPP-94: after a challenge, a proof without a nonce is challenged again, as often as it comes', async () => {
  for (let times = 0; times < 5; times += 1) {
    const answer = await stage.ask(requestWith({ nonce: undefined }));
    assert.equal(answer.body.error, 'use_dpop_nonce');
    assert.equal(answer.headers.get('dpop-nonce')?.length, 1);
  }
});

test('DPP-92: a success brings the next nonce along, and it is good', async () => {
  const answer = await stage.ask(requestWith({ nonce: await nonceOf(stage) }));
  const next = answer.headers.get('dpop-nonce');
  assert.equal(next?.length, 1);
  assert.equal((await stage.ask(requestWith({ nonce: next?.[0] }))).status, 200);
});

test('DPP-90: a challenge burns neither the assertion nor the identifier of the proof', async () => {
  const { fields = {} } = requestWith({});
  const jti = `kept-${Date.now()}`;
  const first = await stage.ask({
    fields,
    headers: [['DPoP', agent.proof(session, { claims: { jti, nonce: undefined } })]],
  });
  assert.equal(first.body.error, 'use_dpop_nonce');
  const [nonce] = first.headers.get('dpop-nonce') ?? [];
  const second = await stage.ask({
    fields,
    headers: [['DPoP', agent.proof(session, { claims: { jti, nonce } })]],
  });
  assert.equal(second.status, 200, second.text);
});

test('DPP-90: a wrong client is told so, and is given no nonce', async () => {
  const request = requestWith({ nonce: undefined });
  const fields = { ...request.fields, client_assertion: 'nonsense' };
  const answer = await stage.ask({ ...request, fields });
  assert.equal(answer.status, 401);
  assert.equal(answer.headers.get('dpop-nonce'), undefined);
});
