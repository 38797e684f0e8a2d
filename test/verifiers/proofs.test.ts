import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, test } from 'node:test';
import type { Broker } from '../../src/broker.ts';
import { Refusal } from '../../src/errors/refusal.ts';
import { systemClock } from '../../src/time/clock.ts';
import { createProofSpender } from '../../src/verifiers/spend-proofs.ts';
import { nowSeconds } from '../test-agent.ts';
import { createTestWorld, type TestWorld } from '../test-broker.ts';

const CUSTOMERS = 'https://customers.example.com';
const STORAGE = 'https://storage.example.com';

let world: TestWorld;
let brokers: Broker[];
before(async () => {
  world = await createTestWorld();
  brokers = [await world.startBroker(), await world.startBroker()];
});

const newName = () => randomBytes(16).toString('hex');
type Seen = { name: string; filed_at: number };
const seen = (name = newName(), filed_at = nowSeconds()): Seen => ({ name, filed_at });

async function spend(
  proofs: readonly object[],
  { resource = CUSTOMERS, at = 0, body = {} }: { resource?: string; at?: number; body?: object } = {},
) {
  const server = world.resourceServer(brokers[at] ?? assert.fail(), resource);
  const response = await fetch(`${brokers[at]?.url}/v1/proofs/spend`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ ...server.authenticated({}), nonce: 'n-1', proofs, ...body }),
  });
  return { status: response.status, body: JSON.parse(await response.text()) };
}

const rows = async () =>
  Number((await world.query<{ n: string }>('select count(*) as n from spent_jti'))[0]?.n);

test('a proof is new to the first who names it, and to nobody after that, at whichever broker', async () => {
  const [one, other] = [seen(), seen()];
  assert.deepEqual(await spend([one]), { status: 200, body: { nonce: 'n-1', fresh: [true] } });
  assert.deepEqual((await spend([one, other], { at: 1 })).body.fresh, [false, true]);
  assert.deepEqual((await spend([other, one])).body.fresh, [false, false]);
  const twice = seen();
  assert.deepEqual((await spend([twice, twice])).body.fresh, [true, false]);
});

test('what one resource has seen is another proof for another resource', async () => {
  const proof = seen();
  assert.deepEqual((await spend([proof])).body.fresh, [true]);
  assert.deepEqual((await spend([proof], { resource: STORAGE })).body.fresh, [true]);
});

test('of many questions at two brokers about the same proofs each proof has one that was first', async () => {
  const proofs = Array.from({ length: 40 }, () => seen());
  const answers = await Promise.all(
    Array.from({ length: 24 }, (_, index) =>
      spend(index % 2 === 0 ? proofs : proofs.toReversed(), { at: index % 2 }),
    ),
  );
  const firsts = proofs.map(
    (_, index) =>
      answers.filter(({ body }, asked) => body.fresh[asked % 2 === 0 ? index : proofs.length - 1 - index])
        .length,
  );
  assert.deepEqual(firsts, Array(proofs.length).fill(1));
});

test('a question whose assertion was used before is refused and spends nothing', async () => {
  const server = world.resourceServer(brokers[0] ?? assert.fail(), CUSTOMERS);
  const body = server.authenticated({});
  assert.equal((await spend([seen()], { body })).status, 200);
  const before = await rows();
  const proof = seen();
  const answer = await spend([proof], { body });
  assert.deepEqual([answer.status, answer.body.code], [401, 'invalid_client']);
  assert.equal(await rows(), before);
  assert.deepEqual((await spend([proof])).body.fresh, [true]);
});

test('the record says who asked about how many, and names no proof', async () => {
  const known = seen();
  await spend([known]);
  await spend([known, seen(), seen()]);
  const lines = await world.query<{ actor: string; details: object }>(
    `select actor, details from audit_entries where action = 'proofs.spent' order by id desc limit 1`,
  );
  assert.deepEqual(lines, [{ actor: CUSTOMERS, details: { asked: 3, fresh: 2, source: '127.0.0.1' } }]);
});

test('a proof of a time far from now, a name that is none and a list without bound spend nothing', async () => {
  const before = await rows();
  const bent: readonly (readonly object[])[] = [
    [],
    Array.from({ length: 101 }, () => seen()),
    [seen('x'.repeat(32))],
    [seen(newName().toUpperCase())],
    [seen(newName(), nowSeconds() - 400)],
    [seen(newName(), nowSeconds() + 400)],
    [seen(newName(), 1.5)],
    [{ ...seen(), more: 1 }],
    [seen(), {}],
  ];
  for (const proofs of bent) {
    const answer = await spend(proofs);
    assert.deepEqual([answer.status, answer.body.code], [400, 'invalid_request'], JSON.stringify(proofs[0]));
  }
  assert.equal(await rows(), before);
});

test('an agent has no proofs to spend here', async () => {
  const agent = world.agent(brokers[0] ?? assert.fail(), 'report-writer');
  const answer = await spend([seen()], { body: agent.authenticated({}) });
  assert.deepEqual([answer.status, answer.body.code], [400, 'unauthorized_client']);
});

test('one resource may have so many proofs written down a second, whatever others have', async () => {
  const spender = createProofSpender({
    store: {
      spend: async (questions) =>
        questions.map(({ proofs }) => ({ authentic: true, fresh: proofs.map(() => true) })),
    },
    clock: { ...systemClock, monotonicMilliseconds: () => 0 },
    rate: { perSecond: 1, burst: 3 },
  });
  const by = { assertion: { hour: 0, key: '' }, source: '192.0.2.1', requestId: 'req_1' };
  const proofs = [1, 2, 3].map(() => ({ name: newName(), filedAt: 0 }));
  assert.deepEqual(await spender.spend(proofs, { ...by, resource: CUSTOMERS }), [true, true, true]);
  await assert.rejects(spender.spend(proofs, { ...by, resource: CUSTOMERS }), (error) => {
    assert.ok(error instanceof Refusal);
    assert.deepEqual([error.code, error.headers['Retry-After']], ['rate_limited', '1']);
    return true;
  });
  assert.deepEqual(await spender.spend(proofs, { ...by, resource: STORAGE }), [true, true, true]);
});
