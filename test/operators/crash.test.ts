/**
 * A broker that dies in the middle of a change: whether the change was made is then for the database to say, and the
 * same request at another broker, under the same key, finds out and makes it at most once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { freePort, startBrokerProcess } from '../broker-process.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';
import { asSuperuser } from '../test-cluster.ts';

const world = await createTestWorld();
const broker = await world.startBroker();
const PATIENCE_MILLISECONDS = 1_900;

async function waiting(): Promise<number> {
  const [row] = await world.query<{ waiting: number }>(
    `select count(distinct l.pid)::integer as waiting from pg_locks l join pg_stat_activity a on a.pid = l.pid
      where a.datname = current_database() and not l.granted`,
  );
  return row?.waiting ?? 0;
}

for (const survives of [true, false]) {
  const what = survives ? 'after its statement was on its way' : 'and its statement with it';
  test(`a broker dies ${what}: sent again, the change is made once`, async () => {
    const victim = startBrokerProcess({
      settings: {
        ...world.environment(),
        MAYFLY_PORT: String(await freePort()),
        MAYFLY_DPOP_NONCE: 'optional',
      },
    });
    const url = await victim.url;
    const { body } = await world.agent(broker, 'report-writer').token(newSessionKey());
    const path = `/v1/sessions/${body.session_id}/revoke`;
    const headers = { 'Idempotency-Key': `crash-${survives}` };
    const request = { method: 'POST', path, body: { reason: 'a crash' }, headers } as const;
    const operator = world.operator({ url }, 'olivia');
    const token = await operator.token('mayfly:revoke:sessions');

    const holder = new pg.Client({ connectionString: world.database.ownerUrl });
    await holder.connect();
    await holder.query('begin');
    await holder.query('select from revocation_head for update');
    const first = operator.send({ ...request, token, proof: operator.proof({ ...request, token }) });
    const lost = assert.rejects(first);
    const giveUpAt = performance.now() + PATIENCE_MILLISECONDS;
    while ((await waiting()) === 0 && performance.now() < giveUpAt);
    victim.child.kill('SIGKILL');
    await victim.exited;
    await lost;
    if (!survives) await endStatements();
    await holder.query('commit');
    await holder.end();

    const again = world.operator(broker, 'olivia');
    const answer = await again.post(path, 'mayfly:revoke:sessions', request.body, headers);
    assert.deepEqual([answer.status, answer.body.effect], [200, 'revoked'], answer.text);
    const entries = await world.query('select epoch from revocations where key = $1', [
      `session:${body.session_id}`,
    ]);
    assert.equal(entries.length, 1);
  });
}

/** As when the machine of the database went down with it. */
async function endStatements(): Promise<void> {
  const { socketDirectory, name } = world.database;
  await asSuperuser(socketDirectory, async (client) => {
    await client.query(
      `select pg_terminate_backend(l.pid, 1000) from pg_locks l join pg_stat_activity a on a.pid = l.pid
        where a.datname = $1 and not l.granted`,
      [name],
    );
  });
}
