/** What the runbook has an operator type into psql, typed into a real database, does what the runbook says. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { CompiledQuery } from 'kysely';
import type { Broker } from '../../src/broker.ts';
import { newSessionKey, type TestAgent } from '../test-agent.ts';
import { createTestWorld, type TestWorld } from '../test-broker.ts';
import { blocksOf, tableAfter, textOf } from './documents.ts';

const runbook = textOf('docs/runbook.md');
const AUDIENCE = 'https://customers.example.com';

let world: TestWorld;
let broker: Broker;
let agent: TestAgent;
before(async () => {
  world = await createTestWorld();
  broker = await world.startBroker();
  agent = world.agent(broker, 'report-writer');
});

/** The one SQL block that contains this. */
function statement(part: string): string {
  const found = blocksOf(runbook, 'sql').filter((block) => block.includes(part));
  assert.equal(found.length, 1, part);
  return (found[0] ?? '').trim().replace(/;$/, '');
}

async function run(text: string): Promise<Record<string, unknown>[]> {
  const { rows } = await world.owner.executeQuery<Record<string, unknown>>(CompiledQuery.raw(text));
  return rows;
}

async function isActive(token: string): Promise<boolean> {
  const server = world.resourceServer(broker, AUDIENCE);
  const { body } = await server.post('/oauth/introspect', server.authenticated({ token }));
  return body.active;
}

test('a standing revocation stops an agent until it is released, and what was minted stays dead', async () => {
  const session = newSessionKey();
  const { body } = await agent.token(session);
  assert.equal(await isActive(body.access_token), true);
  const [row] = await run(statement('rev_stop_'));
  assert.equal(Number(row?.epoch), 1);
  assert.equal((await agent.token(newSessionKey())).body.code, 'agent_stopped');
  assert.equal(await isActive(body.access_token), false);

  await run(statement('rev_release_'));
  assert.equal((await agent.token(newSessionKey())).status, 200);
  assert.equal(await isActive(body.access_token), false);
});

test('what witnesses saw otherwise is told, as long as it is not settled', async () => {
  assert.deepEqual(await run(statement('audit_doubts_standing')), []);
  await run("select doubt_audit_log('w.example.com', 'it has cosigned more', 'aud_doubt')");
  const told = await run(statement('audit_doubts_standing'));
  assert.deepEqual(
    told.map(({ witness, why }) => [witness, why]),
    [['w.example.com', 'it has cosigned more']],
  );
  assert.deepEqual(await run("select settle_audit_doubts('a test', 'me') as settled"), [{ settled: 1 }]);
  assert.deepEqual(await run(statement('audit_doubts_standing')), []);
});

test('the record says who was refused, and from where', async () => {
  assert.equal((await agent.token(newSessionKey(), { scope: 'db:delete:customers' })).status, 400);
  const rows = await run(statement("outcome = 'refused'"));
  const row = rows.find(({ reason }) => reason === 'action_not_granted');
  assert.deepEqual(row, {
    actor: 'report-writer',
    source: '127.0.0.1',
    reason: 'action_not_granted',
    refusals: '1',
  });
});

test('every check of readiness has its paragraph', async () => {
  const { checks } = (await (await fetch(`${broker.url}/readyz`)).json()) as { checks: object };
  const names = [...Object.keys(checks), 'draining'];
  const section = runbook.slice(runbook.indexOf('says not ready'), runbook.indexOf('\n## Alerts'));
  const headings = [...section.matchAll(/^### `(\w+)`$/gm)].map(([, name]) => name);
  assert.deepEqual(headings.sort(), names.sort());
});

test('every metric of mayfly has its line', async () => {
  const text = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
  const names = [...text.matchAll(/^# TYPE (mayfly_(?!process_|nodejs_)\w+) /gm)].map(([, name]) => name);
  const told = tableAfter(runbook, '## Metrics').map(
    ([cell = '']) => /`(mayfly_\w+?)_?\*?[{`]/.exec(cell)?.[1],
  );
  assert.deepEqual(told.filter((name) => name !== 'mayfly_process').sort(), names.sort());
});
