import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Broker } from '../../src/broker.ts';
import type { RevocationTarget } from '../../src/revocations/revocation.ts';
import { createRevocationStore } from '../../src/revocations/revocation-store.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { until } from '../broker-process.ts';
import { nowSeconds } from '../test-agent.ts';
import { createTestWorld, type TestWorld } from '../test-broker.ts';
import { newNonce } from '../test-verifier.ts';

const CUSTOMERS = 'https://customers.example.com';
const STORAGE = 'https://storage.example.com';

let world: TestWorld;
let broker: Broker;
before(async () => {
  world = await createTestWorld();
  broker = await world.startBroker();
});

async function revoke(target: RevocationTarget, standing = false): Promise<number> {
  const store = createRevocationStore(world.owner, systemClock);
  const { epoch } = await store.append({
    target,
    standing,
    reason: 'test',
    actor: 'test',
    requestId: undefined,
  });
  return epoch;
}

type Row = {
  resource: string;
  applied_epoch: string;
  generation: number;
  lease_seconds: number;
  lease_left: number;
  closed: boolean;
};

async function rowOf({ instance }: { instance: string }): Promise<Row | undefined> {
  const rows = await world.query<Row>(
    `select resource, applied_epoch, generation, lease_seconds, closed_at is not null as closed,
            extract(epoch from lease_ends_at - now())::float8 as lease_left
       from verifiers where instance = $1`,
    [instance],
  );
  return rows[0];
}

test('the first answer is a whole copy, the next only what came since, and each repeats its question', async () => {
  const epoch = await revoke({ kind: 'session', id: 'ses_first' });
  const verifier = world.verifier(broker, CUSTOMERS);
  const nonce = newNonce();
  const first = await verifier.renew({ nonce });
  assert.equal(first.nonce, nonce);
  assert.equal(first.instance, verifier.instance);
  assert.deepEqual(first.leases, { LOW: 300, MED: 30, HIGH: 3 });
  assert.ok(first.page.snapshot);
  assert.equal(first.page.since, 0);
  assert.equal(first.page.head.epoch, epoch);
  assert.deepEqual(first.page.entries.at(-1)?.target, 'ses_first');
  const next = await revoke({ kind: 'token', id: 'tok_next' });
  const second = await verifier.renew();
  assert.ok(!second.page.snapshot);
  assert.equal(second.page.since, epoch);
  assert.equal(second.page.since_digest, first.page.head.digest);
  assert.deepEqual(
    second.page.entries.map(({ epoch: at, kind, target }) => ({ at, kind, target })),
    [{ at: next, kind: 'token', target: 'tok_next' }],
  );
  assert.deepEqual((await verifier.renew()).page.entries, []);
});

test('the register says what is applied and until when it may be acted on; the end of a lease never comes nearer', async () => {
  const verifier = world.verifier(broker, CUSTOMERS);
  const { page } = await verifier.renew({ sensitivities: ['LOW', 'HIGH'] });
  const first = await rowOf(verifier);
  assert.equal(first?.resource, CUSTOMERS);
  assert.equal(Number(first?.applied_epoch), 0, 'what was sent is not applied before the verifier says so');
  assert.equal(first?.lease_seconds, 300);
  await verifier.renew({ sensitivities: ['HIGH'] });
  const second = await rowOf(verifier);
  assert.equal(Number(second?.applied_epoch), page.head.epoch);
  assert.equal(second?.lease_seconds, 3);
  assert.ok((second?.lease_left ?? 0) > 290, 'the long lease may still be held');
});

test('who has closed stays closed, also for a question that was under way', async () => {
  const verifier = world.verifier(broker, CUSTOMERS);
  await verifier.renew();
  const late = verifier.question();
  await verifier.renew({ leaving: true });
  const closed = await rowOf(verifier);
  assert.ok(closed?.closed);
  const answer = await verifier.send(late);
  assert.equal(answer.status, 409);
  assert.equal(answer.body.code, 'verifier_refused');
  const after = await rowOf(verifier);
  assert.ok(after?.closed);
  assert.ok((after?.lease_left ?? 0) <= (closed?.lease_left ?? 0), 'and it got no lease');
  assert.equal(
    (await verifier.send(verifier.question({ leaving: true }))).status,
    200,
    'to leave is to leave',
  );
});

test('an instance belongs to the resource that named it first', async () => {
  const verifier = world.verifier(broker, CUSTOMERS);
  await verifier.renew();
  const thief = world.verifier(broker, STORAGE);
  const answer = await thief.send(thief.question({ instance: verifier.instance, leaving: true }));
  assert.equal(answer.status, 409);
  assert.equal((await rowOf(verifier))?.closed, false);
});

test('who knows the name of an instance cannot keep it from its lease, however often and early it asks', async () => {
  const verifier = world.verifier(broker, CUSTOMERS);
  await verifier.renew();
  const thief = world.verifier(broker, STORAGE);
  for (let round = 0; round < 5; round += 1) {
    const claims = { instance: verifier.instance, leaving: round % 2 === 0 };
    const thefts = Array.from({ length: 8 }, () => thief.send(thief.question(claims)));
    const renewed = await verifier.send(verifier.question());
    assert.equal(renewed.status, 200);
    assert.deepEqual(new Set((await Promise.all(thefts)).map(({ status }) => status)), new Set([409]));
  }
  assert.equal((await rowOf(verifier))?.closed, false);
});

test('an epoch is credited only in this generation, as far as the ledger goes, with its digest', async () => {
  const epoch = await revoke({ kind: 'session', id: 'ses_credit' });
  const cases: [string, object, credited: boolean][] = [
    ['as it is', {}, true],
    ['ahead of the ledger', { applied_epoch: epoch + 5 }, false],
    ['another digest', { digest: Buffer.alloc(32).toString('base64url') }, false],
    ['another generation', { generation: 7 }, false],
    ['an older generation', { generation: 0 }, false],
  ];
  for (const [what, claims, credited] of cases) {
    const verifier = world.verifier(broker, CUSTOMERS);
    await verifier.renew();
    const lease = await verifier.renew(claims);
    assert.equal(Number((await rowOf(verifier))?.applied_epoch), credited ? epoch : 0, what);
    assert.equal(lease.page.head.epoch, epoch, what);
  }
});

test('who knows more than there is hears how far the ledger goes, and its claim is kept as evidence', async () => {
  const verifier = world.verifier(broker, STORAGE);
  const { page } = await verifier.renew();
  const claimed = page.head.epoch + 12;
  const answer = await verifier.renew({ applied_epoch: claimed });
  const head = answer.page.head.epoch;
  assert.deepEqual(
    { since: answer.page.since, through: answer.page.through, snapshot: answer.page.snapshot },
    { since: head, through: head, snapshot: false },
  );
  assert.deepEqual(answer.page.entries, []);
  const rows = await world.query<{ epoch: string }>('select epoch from ledger_claims where resource = $1', [
    STORAGE,
  ]);
  assert.deepEqual(
    rows.map(({ epoch }) => Number(epoch)),
    [claimed],
  );
});

test('standing entries are acknowledged when they are applied, and once', async () => {
  const verifier = world.verifier(broker, CUSTOMERS);
  await verifier.renew();
  await verifier.renew();
  const standing = await revoke({ kind: 'agent', id: 'nobody' }, true);
  const count = async () =>
    (
      await world.query<{ n: number }>(
        'select count(*)::integer as n from acknowledgements where instance = $1 and epoch >= $2',
        [verifier.instance, standing],
      )
    )[0]?.n;
  await verifier.renew();
  assert.equal(await count(), 0, 'it was only told');
  await verifier.renew();
  assert.equal(await count(), 1);
  await revoke({ kind: 'token', id: 'tok_ordinary' });
  for (let more = 0; more < 3; more += 1) await verifier.renew();
  assert.equal(await count(), 1, 'nobody waits for an ordinary entry');
});

test('the sensitivities of its actions come with the first answer, and again when the catalogue is another', async () => {
  const verifier = world.verifier(broker, CUSTOMERS);
  const { catalogue } = await verifier.renew();
  assert.ok(catalogue);
  assert.equal(
    catalogue.actions['db:read:customers'],
    world.catalogue.actions.get('db:read:customers')?.sensitivity,
  );
  assert.ok(
    Object.keys(catalogue.actions).every((name) => world.catalogue.actions.get(name)?.resource === CUSTOMERS),
  );
  assert.equal((await verifier.renew({ catalogue: catalogue.version })).catalogue, undefined);
  assert.equal(
    (await verifier.renew({ catalogue: catalogue.version + 1 })).catalogue?.version,
    catalogue.version,
  );
});

test('two questions of one instance at once are both answered', async () => {
  const verifier = world.verifier(broker, CUSTOMERS);
  const answers = await Promise.all(Array.from({ length: 12 }, () => verifier.send(verifier.question())));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  assert.equal(new Set(answers.map(({ lease }) => lease?.nonce)).size, 12);
});

test('two brokers renew the same instances at once, in any order, and none of them stumbles', async () => {
  const other = await world.startBroker();
  const fleet = Array.from({ length: 24 }, (_, index) =>
    world.verifier(broker, index % 2 === 0 ? CUSTOMERS : STORAGE),
  );
  for (let round = 0; round < 4; round += 1) {
    await revoke({ kind: 'agent', id: `nobody-${round}` }, true);
    const shuffled = [...fleet, ...fleet.toReversed()];
    const answers = await Promise.all(
      shuffled.map((verifier, index) =>
        verifier.send(
          verifier.question({ applied_epoch: index % 3 === 0 ? 9_999 : verifier.known().applied_epoch }),
          index % 2 === 0 ? broker.url : other.url,
        ),
      ),
    );
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    await Promise.all(fleet.map((verifier) => verifier.renew()));
  }
  await other.stop();
});

test('instances that ask for too many different parts of the ledger at once are put off, those of others are not', async () => {
  const first = await revoke({ kind: 'session', id: 'ses_flood' });
  await world.query(
    `select a.epoch from generate_series(1, 300) n cross join lateral append_revocation(
       'rev_flood_' || n, 'session', 'ses_flood_' || n, false, null, 'test', 'test', 'aud_flood_' || n, null) a`,
  );
  const [greedy, other] = [world.verifier(broker, CUSTOMERS), world.verifier(broker, STORAGE)];
  const { page } = await other.renew();
  await until(async () => {
    const answers = await Promise.all([
      ...Array.from({ length: 60 }, (_, n) =>
        greedy.send(
          greedy.question({
            generation: page.generation,
            applied_epoch: first + n,
            digest: null,
            instance: `ver_${n}`.padEnd(30, '0'),
          }),
        ),
      ),
      ...Array.from({ length: 4 }, () => other.send(other.question())),
    ]);
    const putOff = answers.slice(0, 60).filter(({ status }) => status === 429);
    for (const { body, headers } of putOff) {
      assert.equal(body.code, 'rate_limited');
      assert.equal(headers.get('retry-after'), '1');
    }
    assert.deepEqual([...new Set(answers.slice(60).map(({ status }) => status))], [200]);
    return putOff.length > 0;
  }, 'so many are in one batch that some are put off');
});

test('a question that is not good is refused, and leaves no row', async () => {
  const verifier = world.verifier(broker, CUSTOMERS);
  const now = nowSeconds();
  const agent = world.agent(broker, 'report-writer');
  const cases: [what: string, text: string, status: number][] = [
    ['another kind of JWT', verifier.question({}, { typ: 'client-authentication+jwt' }), 401],
    ['unsigned', `${verifier.question().split('.').slice(0, 2).join('.')}.${'A'.repeat(86)}`, 401],
    ['another issuer', verifier.question({ aud: 'https://other.example.com' }), 401],
    ['another sender', verifier.question({ iss: STORAGE, sub: STORAGE }), 401],
    [
      'an unknown sender',
      verifier.question({ iss: 'https://nobody.example.com', sub: 'https://nobody.example.com' }),
      401,
    ],
    ['expired', verifier.question({ iat: now - 60, exp: now - 1 }), 401],
    ['too long a life', verifier.question({ iat: now, exp: now + 61 }), 401],
    ['from the future', verifier.question({ iat: now + 30, exp: now + 60 }), 401],
    ['a short nonce', verifier.question({ nonce: 'abc' }), 400],
    ['no sensitivity', verifier.question({ sensitivities: [] }), 400],
    ['a member of its own', verifier.question({ more: 1 }), 400],
    ['an endless generation', verifier.question({ generation: 2 ** 40 }), 400],
    ['an agent', agent.assertion({ header: { typ: 'mayfly-question+jwt' } }), 400],
    ['nothing', '', 401],
  ];
  for (const [what, text, status] of cases) {
    const answer = await verifier.send(text);
    assert.equal(answer.status, status, `${what}: ${JSON.stringify(answer.body)}`);
  }
  assert.equal(await rowOf(verifier), undefined);
  assert.equal(
    (await verifier.send(verifier.question({ instance: newIdentifier('ver', systemClock) }))).status,
    200,
  );
});
