/**
 * Ten minutes with tokens of one minute, on a clock that a test moves: a client whose clock is a minute and a half off
 * and jumps to the other side, brokers that restart twice, nonce secrets and signing keys that are rotated, up to two
 * hundred callers at once. No call may fail, and nothing is asked twice.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AgentClock, type AgentOptions, createAgent } from '../../src/sdk/index.ts';
import { fc } from '../properties.ts';
import { soakFactor } from '../soak.ts';
import { createPaperBroker, ISSUER, RESOURCE } from './paper-broker.ts';

const SECONDS = 600;

/** Time goes by when a test says so, and when somebody waits. */
function createTime() {
  let passed = Date.UTC(2026, 0, 1);
  let skew = 0;
  const client: AgentClock = {
    milliseconds: () => passed + skew,
    monotonicMilliseconds: () => passed,
    async wait(milliseconds, signal) {
      signal.throwIfAborted();
      const until = passed + milliseconds;
      await new Promise((resolve) => setImmediate(resolve));
      passed = Math.max(passed, until);
    },
  };
  return {
    client,
    server: { milliseconds: () => passed },
    pass(milliseconds: number) {
      passed += milliseconds;
    },
    skew(seconds: number) {
      skew = seconds * 1_000;
    },
  };
}

type Events = Partial<
  Record<number, (broker: ReturnType<typeof createPaperBroker>, time: ReturnType<typeof createTime>) => void>
>;

type Plan = {
  events?: Events;
  callersAt: (second: number) => number;
  random?: () => number;
  skewSeconds?: number;
};

async function run({ events = {}, callersAt, random = () => 0.5, skewSeconds = 0 }: Plan) {
  const time = createTime();
  time.skew(skewSeconds);
  const broker = createPaperBroker(time.server);
  const agent = createAgent({
    issuer: ISSUER,
    clientId: 'a',
    key: broker.key as AgentOptions['key'],
    fetch: broker.fetch,
    clock: time.client,
    random,
  });
  const failures: unknown[] = [];
  const call = async () => {
    const { status } = await agent.fetch(`${RESOURCE}/customers`);
    if (status !== 200) throw new Error(`status ${status}`);
  };
  for (let second = 0; second < SECONDS; second += 1) {
    events[second]?.(broker, time);
    const calls = Array.from({ length: callersAt(second) }, () =>
      call().catch((error) => failures.push(error)),
    );
    await Promise.all(calls);
    time.pass(1_000);
  }
  return { failures, ...broker.counts };
}

/** Two hundred at once when a token is about to be renewed, now and then. */
const callersAt = (second: number) => (second % 141 === 47 ? 200 : 1);

test('Without any trouble exactly one token is minted for each 47 seconds', async () => {
  const { failures, minted, refused } = await run({ callersAt });
  assert.deepEqual(failures, []);
  // With this randomness a token is renewed after 46.5 of its 60 seconds, so at the 47th of whole ones.
  assert.equal(minted, Math.ceil(SECONDS / 47));
  assert.deepEqual([...refused.keys()], ['use_dpop_nonce']);
});

test('With all of it at once no call fails', async () => {
  const { failures, minted, refused, called } = await run({
    callersAt,
    skewSeconds: 90,
    events: {
      90: (broker) => broker.rotateNonceSecret(),
      // Around a renewal, and longer than all attempts of one caller together.
      138: (broker) => broker.stop(),
      148: (broker) => broker.start(),
      200: (broker) => broker.rotateSigningKey(),
      300: (_broker, time) => time.skew(-90),
      330: (broker) => broker.forgetNonceSecrets(),
      420: (broker) => broker.stop(),
      426: (broker) => broker.start(),
      500: (_broker, time) => time.skew(90),
    },
  });
  assert.deepEqual(failures, []);
  assert.ok(called >= 4 * 200 + SECONDS - 4);
  assert.ok(!refused.has('invalid_client') && !refused.has('invalid_token'), [...refused].join());
  // As many as without trouble; one more for each jump ahead, after which the old one is taken to be over.
  assert.ok(minted >= SECONDS / 51 && minted <= SECONDS / 42 + 3, `${minted} tokens`);
});

test('Whenever troubles come, however far off the clock is, no call fails', async () => {
  const trouble = fc.constantFrom('rotateNonceSecret', 'forgetNonceSecrets', 'rotateSigningKey');
  const at = fc.integer({ min: 1, max: SECONDS - 20 });
  const plan = fc.record({
    skewSeconds: fc.integer({ min: -600, max: 600 }),
    jump: fc.record({ at, seconds: fc.integer({ min: -90, max: 90 }) }),
    troubles: fc.array(fc.tuple(at, trouble), { maxLength: 6 }),
    outage: fc.record({ at, seconds: fc.integer({ min: 1, max: 8 }) }),
    seed: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  await fc.assert(
    fc.asyncProperty(plan, async ({ skewSeconds, jump, troubles, outage, seed }) => {
      const events: Events = {};
      const add = (second: number, event: NonNullable<Events[number]>) => {
        const before = events[second];
        events[second] = (...args) => {
          before?.(...args);
          event(...args);
        };
      };
      for (const [second, name] of troubles) add(second, (broker) => broker[name]());
      add(jump.at, (_broker, time) => time.skew(skewSeconds + jump.seconds));
      add(outage.at, (broker) => broker.stop());
      add(outage.at + outage.seconds, (broker) => broker.start());
      const { failures, minted } = await run({ events, callersAt: () => 1, random: () => seed, skewSeconds });
      assert.deepEqual(failures, []);
      assert.ok(minted <= SECONDS / 42 + 3, `${minted} tokens`);
    }),
    {
      numRuns: 3 * soakFactor(),
      // A clock that is put right while no broker answers: the token is not as old as it seems.
      examples: [
        [
          {
            skewSeconds: 0,
            jump: { at: 6, seconds: 46 },
            troubles: [],
            outage: { at: 6, seconds: 7 },
            seed: 0,
          },
        ],
      ],
    },
  );
});
