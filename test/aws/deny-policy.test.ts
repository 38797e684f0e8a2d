/** What is put on a role, judged by an implementation of IAM that is not ours, and held to the rule of the ledger. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Denied,
  denyPolicy,
  exactDenyPolicy,
  MAX_EXACT_CHARACTERS,
  wideDenyPolicy,
} from '../../src/aws/deny-policy.ts';
import { fc } from '../properties.ts';
import { isAllowed } from './simulator.ts';

const SESSION_POLICY = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: 's3:GetObject', Resource: '*' }],
});

type Holder = { jti: string; sid: string; agent: string; zone: string; epoch: number };

const mine: Holder = { jti: 'tok_a', sid: 'ses_a', agent: 'report-writer', zone: 'analytics', epoch: 7 };
const neighbour: Holder = { jti: 'tok_b', sid: 'ses_b', agent: 'clerk', zone: 'support', epoch: 7 };

function isStillAllowed(onRole: string | null, { jti, sid, agent, zone, epoch }: Holder): Promise<boolean> {
  return isAllowed({
    policy: SESSION_POLICY,
    action: 's3:GetObject',
    resource: 'arn:aws:s3:::reports/a',
    at: '2026-11-23T12:00:00Z',
    sessionName: jti,
    ...(onRole === null ? {} : { onRole }),
    context: {
      'aws:PrincipalTag/mayfly-session': sid,
      'aws:PrincipalTag/mayfly-agent': agent,
      'aws:PrincipalTag/mayfly-zone': zone,
      'aws:PrincipalTag/mayfly-epoch': String(epoch),
    },
  });
}

const entry = (kind: Denied['kind'], target = '', { epoch = 10, tokens = null as string[] | null } = {}) => ({
  epoch,
  kind,
  target,
  tokens,
});

const EXACT: [string, Denied][] = [
  ['a session', entry('session', 'ses_a')],
  ['an agent', entry('agent', 'report-writer')],
  ['a zone', entry('zone', 'analytics')],
  ['a token', entry('token', 'tok_a')],
  ['an action', entry('action', 'aws:read:reports', { tokens: ['tok_a'] })],
  ['a subject', entry('subject', 'agt_1', { tokens: ['tok_a'] })],
  ['a signing key', entry('signing-key', 'kid', { epoch: 5, tokens: ['tok_a'] })],
];

for (const [what, denied] of EXACT) {
  test(`what ${what} holds is denied on the role, a neighbour's is not`, async () => {
    const policy = denyPolicy([denied]);
    assert.equal(await isStillAllowed(policy, mine), false);
    assert.equal(await isStillAllowed(policy, neighbour), true);
  });
}

test('a kill of everything denies what was issued before it, and nothing from after it', async () => {
  for (const kind of ['all', 'resource'] as const) {
    const policy = denyPolicy([entry(kind)]);
    for (const holder of [mine, neighbour]) {
      assert.equal(await isStillAllowed(policy, holder), false);
      assert.equal(await isStillAllowed(policy, { ...holder, epoch: 10 }), true, 'let in again');
    }
  }
});

test('an agent that is let in again is not denied by what stopped it before', async () => {
  for (const denied of [entry('agent', 'report-writer'), entry('zone', 'analytics')]) {
    assert.equal(await isStillAllowed(denyPolicy([denied]), { ...mine, epoch: 10 }), true);
  }
});

test('whoever has the role otherwise, and no tags of mayfly, is not denied', async () => {
  const everything = [entry('all'), ...EXACT.map(([, denied]) => denied)];
  for (const denied of everything) {
    const asked = {
      policy: SESSION_POLICY,
      action: 's3:GetObject',
      resource: 'arn:aws:s3:::reports/a',
      at: '2026-11-23T12:00:00Z',
      sessionName: 'somebody',
      onRole: denyPolicy([denied]) ?? '',
    };
    assert.equal(await isAllowed(asked), true, denied.kind);
  }
});

/** The rule of the ledger, as rule.ts has it, without a word of IAM. */
function isKilled({ jti, sid, agent, zone, epoch }: Holder, denied: readonly Denied[]): boolean {
  return denied.some((each) => {
    if (each.tokens !== null) return each.tokens.includes(jti);
    const keys = [`session ${sid}`, `agent ${agent}`, `zone ${zone}`, `token ${jti}`, 'all ', 'resource '];
    const isNamed = keys.includes(`${each.kind} ${each.target}`);
    return isNamed && (each.epoch > epoch || each.kind === 'session' || each.kind === 'token');
  });
}

test('for any entries exactly what they killed is denied, and by the wide policy at least that', async () => {
  const name = fc.constantFrom('a', 'b', 'c');
  const epoch = fc.integer({ min: 1, max: 6 });
  const named = fc.record({
    kind: fc.constantFrom('agent', 'zone'),
    target: name,
    epoch,
    tokens: fc.constant(null),
  });
  // sessions and tokens are older than what killed them
  const single = fc.record({
    kind: fc.constantFrom('session', 'token'),
    target: name,
    epoch: fc.constant(6),
    tokens: fc.constant(null),
  });
  const listed = fc.record({
    kind: fc.constantFrom('action', 'subject'),
    target: name,
    epoch: fc.constant(6),
    tokens: fc.array(name, { maxLength: 2 }),
  });
  const wide = fc.record({
    kind: fc.constantFrom('all', 'resource'),
    target: fc.constant(''),
    epoch,
    tokens: fc.constant(null),
  });
  const entries = fc.array(fc.oneof(named, single, listed, wide), { minLength: 1, maxLength: 5 });
  const holder = fc.record({
    jti: name,
    sid: name,
    agent: name,
    zone: name,
    epoch: fc.integer({ min: 0, max: 5 }),
  });
  await fc.assert(
    fc.asyncProperty(entries, holder, async (drawn, who) => {
      const denied = drawn as Denied[];
      const killed = isKilled(who, denied);
      assert.equal(
        await isStillAllowed(exactDenyPolicy(denied), who),
        !killed,
        exactDenyPolicy(denied) ?? '',
      );
      if (killed && denied.every(({ kind }) => kind !== 'session' && kind !== 'token')) {
        assert.equal(await isStillAllowed(wideDenyPolicy(denied), who), false);
      }
    }),
    { numRuns: 150 },
  );
});

test('however much is denied, the policy stays small, and what was killed stays denied', async () => {
  const many = Array.from({ length: 2_000 }, (_, index) =>
    entry('session', `ses_${String(index).padStart(26, '0')}`, { epoch: 100 + index }),
  );
  const few = many.slice(0, 50);
  assert.equal(denyPolicy(few), exactDenyPolicy(few));
  const policy = denyPolicy(many) ?? '';
  assert.ok(policy.length <= MAX_EXACT_CHARACTERS, `${policy.length} characters`);
  assert.equal(await isStillAllowed(policy, { ...mine, sid: many[7]?.target ?? '', epoch: 106 }), false);
  assert.equal(
    await isStillAllowed(policy, { ...mine, epoch: 2_099 }),
    true,
    'who got a token after all of it',
  );
  assert.equal(denyPolicy([]), null);
});
