/** Credentials of AWS that are there when somebody asks, and new ones before they end. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import type { AwsCredentials } from '../../src/run/ask-for-aws.ts';
import { createFreshAws, type FreshAws } from '../../src/run/fresh-aws.ts';
import { AgentError, type AgentErrorCode } from '../../src/sdk/agent-error.ts';

const LIFE_SECONDS = 300;

let seconds: number;
let asked: number[];
/** What the broker does: answers, waits for ever, or refuses. */
let broker: 'well' | 'slow' | AgentErrorCode;
let fresh: FreshAws;

beforeEach(() => {
  [seconds, asked, broker] = [1_000, [], 'well'];
  fresh = createFreshAws({
    now: () => seconds * 1_000,
    async ask(leastSeconds) {
      asked.push(leastSeconds);
      if (broker === 'slow') await new Promise(() => undefined);
      if (broker !== 'well' && broker !== 'slow') throw new AgentError(broker, 'No.');
      const accessKeyId = `ASIA${asked.length}`;
      const rest = { secretAccessKey: 's', sessionToken: 't', account: '1', roleArn: 'r', region: 'x' };
      return { accessKeyId, ...rest, expiration: '', lifeMilliseconds: LIFE_SECONDS * 1_000 };
    },
  });
});

const key = async () => ((await fresh.get()) as AwsCredentials).accessKeyId;
const refusal = (code: AgentErrorCode) => (error: unknown) =>
  error instanceof AgentError && error.code === code;

test('in the first half of their life the same are given out, and then others that live longer than those', async () => {
  assert.equal(await key(), 'ASIA1');
  seconds += LIFE_SECONDS / 2 - 1;
  assert.equal(await key(), 'ASIA1');
  seconds += 2;
  assert.equal(await key(), 'ASIA2');
  assert.deepEqual(asked, [0, LIFE_SECONDS / 2]);
});

test('of many who ask at once one sets off', async () => {
  assert.deepEqual(await Promise.all([key(), key(), key()]), ['ASIA1', 'ASIA1', 'ASIA1']);
  seconds += LIFE_SECONDS - 60;
  assert.deepEqual(new Set(await Promise.all([key(), key(), key()])), new Set(['ASIA2']));
  assert.equal(asked.length, 2);
});

test('while the broker is slow or away, what is left of the old ones is given out, but for their last seconds', async () => {
  await key();
  seconds += LIFE_SECONDS - 60;
  for (broker of ['unavailable', 'throttled'] as const) assert.equal(await key(), 'ASIA1');
  seconds += 56;
  await assert.rejects(key(), refusal('throttled'));
  broker = 'well';
  assert.equal(await key(), 'ASIA5');
  seconds += LIFE_SECONDS - 60;
  broker = 'slow';
  assert.equal(await key(), 'ASIA5');
});

test('whoever is refused gets nothing that is left, now or later', async () => {
  for (const code of ['stopped', 'denied'] as const) {
    broker = 'well';
    await key();
    seconds += LIFE_SECONDS - 60;
    broker = code;
    await assert.rejects(key(), refusal(code));
    broker = 'unavailable';
    await assert.rejects(key(), refusal('unavailable'));
    seconds += LIFE_SECONDS;
  }
});
