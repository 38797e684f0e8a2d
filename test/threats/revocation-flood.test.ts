/** REV-14: revocations by the thousand, as many as the ledger takes, while agents are minted tokens and somebody kills. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { soakFactor } from '../soak.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';

const world = await createTestWorld();
const broker = await world.startBroker();
const agent = world.agent(broker, 'report-writer');
const olivia = world.operator(broker, 'olivia');
const server = world.resourceServer(broker, 'https://customers.example.com');

const REVOCATIONS = 6_000 * soakFactor();
const OF_ONE_STATEMENT = 20;
const WRITERS = 3;
const WORKERS = 4;
const MINTS_BEFORE = 100;
/** Of a machine on which the flood takes its share; without a flood it is a few milliseconds. */
const BUDGET = { times: 10, milliseconds: 1_000 };

/** As other brokers write them: a few entries a statement, the head's lock taken each time, and nobody is notified. */
async function flood(): Promise<void> {
  let left = REVOCATIONS / OF_ONE_STATEMENT;
  await Promise.all(
    Array.from({ length: WRITERS }, async (_, writer) => {
      const client = new pg.Client({ connectionString: world.database.applicationUrl, ssl: false });
      await client.connect();
      while (left > 0) {
        left -= 1;
        await client.query(
          `select a.epoch from generate_series(1, $1) as n
            cross join lateral append_revocation('rev_' || $2 || '_' || n, 'token', 'tok_' || $2 || '_' || n, false,
                                                 null, 'a flood', 'a flood', 'aud_' || $2 || '_' || n, null) as a`,
          [OF_ONE_STATEMENT, `${writer}_${left}`],
        );
      }
      await client.end();
    }),
  );
}

async function mintWhile(goesOn: () => boolean): Promise<{ p99: number; tokens: string[] }> {
  const taken: number[] = [];
  const tokens: string[] = [];
  await Promise.all(
    Array.from({ length: WORKERS }, async () => {
      const session = newSessionKey('ed25519');
      await agent.token(session); // the first one may have to ask for a nonce
      while (goesOn()) {
        const startedAt = performance.now();
        const { status, text, body } = await agent.token(session);
        taken.push(performance.now() - startedAt);
        assert.equal(status, 200, text);
        tokens.push(body.access_token);
      }
    }),
  );
  taken.sort((one, other) => one - other);
  return { p99: taken[Math.floor(taken.length * 0.99)] ?? Number.NaN, tokens };
}

test('REV-14: a flood of revocations holds up no mint and no kill, and hits nothing that it does not name', async () => {
  let left = MINTS_BEFORE;
  const quiet = await mintWhile(() => {
    left -= 1;
    return left >= 0;
  });
  let isOver = false;
  const flooding = flood().finally(() => {
    isOver = true;
  });
  const order = { target: { kind: 'zone', id: 'support' }, reason: 'a flood', wait_seconds: 0 };
  const [flooded, killed] = await Promise.all([
    mintWhile(() => !isOver),
    olivia.post('/v1/kill-switch', 'mayfly:engage:kill-switch', order),
    flooding,
  ]);
  assert.equal(killed.status, 200, killed.text);
  assert.ok(flooded.tokens.length > 0);
  const budget = Math.max(BUDGET.times * quiet.p99, BUDGET.milliseconds);
  assert.ok(
    flooded.p99 < budget,
    `p99 ${flooded.p99.toFixed(0)} ms, without a flood ${quiet.p99.toFixed(0)} ms`,
  );
  for (const token of flooded.tokens.slice(-20)) {
    const { body } = await server.post('/oauth/introspect', server.authenticated({ token }));
    assert.equal(body.active, true);
  }
  const [count] = await world.query<{ n: number }>(
    `select count(*)::integer as n from revocations where actor = 'a flood' and kind = 'token'`,
  );
  assert.equal(count?.n, REVOCATIONS);
});
