/* Changes that meet in the middle: at two brokers, before and after a restart, and under mints. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import pg from 'pg';
import { until } from '../broker-process.ts';
import { soakFactor } from '../soak.ts';
import { newSessionKey } from '../test-agent.ts';
import type { ManagementAnswer } from '../test-operator.ts';
import { editedCatalogue } from '../threats/edited-scopes.ts';
import { CUSTOMERS, createFleet, type Minted, READ_CUSTOMERS } from './fleet.ts';

const fleet = await createFleet({ verifiers: [{ resource: CUSTOMERS }, { resource: CUSTOMERS }] });
const [olivia, omar] = [fleet.operator('olivia', 0), fleet.operator('omar', 1)];
const agents = fleet.urls.map((url) => fleet.world.agent({ url }, 'report-writer'));

/** An operator may change the switch a hundred times at once, and then some times a second. */
async function patiently(send: () => Promise<ManagementAnswer>): Promise<ManagementAnswer> {
  for (;;) {
    const answer = await send();
    if (answer.status !== 429) return answer;
    await pause(1_000 * Number(answer.headers.get('retry-after')));
  }
}

async function releaseAll(): Promise<void> {
  const standing = await fleet.world.query<{ id: string; actor: string }>(
    'select id, actor from revocations where standing and released_epoch is null',
  );
  for (const { id, actor } of standing) {
    const path = `/v1/kill-switch/${id}/release`;
    const other = actor === 'olivia' ? omar : olivia;
    const { status, text } = await patiently(() =>
      other.post(path, 'mayfly:release:kill-switch', { reason: 'a journey' }),
    );
    assert.ok(status < 300, text);
  }
}

test('RAC-18: two operators who kill the same two targets in opposite order at two brokers never wait in a circle', async () => {
  const targets = ['support-assistant', 'report-writer'].map((id) => ({ kind: 'agent', id }));
  const engage = async (by: typeof olivia, order: readonly object[]) => {
    for (const target of order) {
      const body = { target, reason: 'a journey', wait_seconds: 0 };
      const { status, text } = await patiently(() =>
        by.post('/v1/kill-switch', 'mayfly:engage:kill-switch', body),
      );
      assert.ok(status < 300, text);
    }
  };
  for (let round = 0; round < 3 * Math.min(soakFactor(), 20); round += 1) {
    await Promise.all([engage(olivia, targets), engage(omar, targets.toReversed())]);
    const [row] = await fleet.world.query<{ count: string }>(
      'select count(*) from revocations where standing and released_epoch is null',
    );
    assert.equal(row?.count, '2', 'each target stands once');
    await releaseAll();
  }
});

test('RAC-10: one idempotency key fifty times at once, and a broker killed in the middle: one effect, one answer', async () => {
  const { token: victim } = await fleet.mint();
  const path = `/v1/sessions/${decodeJwt(victim).sid}/revoke`;
  const token = await olivia.token('mayfly:revoke:sessions');
  const send = (operator: typeof olivia) => {
    const request = { method: 'POST', path, token, body: { reason: 'a race' } } as const;
    const headers = { 'Idempotency-Key': 'fifty' };
    return operator.send({ ...request, headers, proof: olivia.proof(request) }).catch(() => null);
  };
  const [first, second] = [fleet.operator('olivia', 0), fleet.operator('olivia', 1)];
  const holder = new pg.Client({ connectionString: fleet.world.database.ownerUrl, ssl: false });
  await holder.connect();
  await holder.query('begin');
  await holder.query('select from revocation_head for update');
  const sent = Array.from({ length: 50 }, (_, index) => send(index % 2 === 0 ? first : second));
  await until(async () => (await waitingForLocks()) >= 4, 'some are in the middle of it');
  fleet.brokers[1]?.child.kill('SIGKILL');
  await fleet.brokers[1]?.exited;
  await holder.query('commit');
  await holder.end();
  const answers = (await Promise.all(sent)).filter((answer) => answer !== null);
  assert.ok(answers.length < 50, 'the others got none');
  for (const { status, text } of answers) assert.ok([200, 202, 409, 503].includes(status), text);

  await fleet.startBroker({ MAYFLY_PORT: new URL(fleet.urls[1] ?? '').port });
  const retried = await Promise.all([send(first), send(second)]);
  for (const answer of retried) assert.ok(answer !== null && answer.status < 300, String(answer?.text));
  const told = [...answers.filter(({ status }) => status < 300), ...retried];
  assert.deepEqual(
    [...new Set(told.map((answer) => `${answer?.body.effect} ${answer?.body.epoch}`))].length,
    1,
  );
  const entries = await fleet.world.query('select from revocations where key = $1', [
    `session:${decodeJwt(victim).sid}`,
  ]);
  assert.equal(entries.length, 1);
});

async function waitingForLocks(): Promise<number> {
  const rows = await fleet.world.query(
    `select from pg_locks l join pg_stat_activity a on a.pid = l.pid
      where a.datname = current_database() and not l.granted`,
  );
  return rows.length;
}

test('RAC-20: what was used before every broker was killed is a replay afterwards', async () => {
  const session = newSessionKey();
  const [agent] = agents;
  assert.ok(agent);
  const assertion = agent.assertion();
  const proof = agent.proof(session);
  const used = await agent.request(session, { client_assertion: assertion }, proof);
  assert.equal(used.status, 200, used.text);
  for (const { child, exited } of fleet.brokers) {
    child.kill('SIGKILL');
    await exited;
  }
  const ports = fleet.urls.map((url) => new URL(url).port);
  await Promise.all(ports.map((port) => fleet.startBroker({ MAYFLY_PORT: port })));
  for (const each of agents) {
    const again = await each.request(session, { client_assertion: assertion });
    assert.equal(again.body.error, 'invalid_client', again.text);
    const withAnother = await each.request(session, {}, proof);
    assert.equal(withAnother.body.error, 'invalid_dpop_proof', withAnother.text);
  }
  const minted = await fleet.mint({ at: 1 });
  await until(
    async () => (await fleet.everywhere(minted)).every((each) => each === 'granted'),
    'all goes on',
  );
});

test('RAC-12: a grant that is taken away under mints is refused everywhere, whenever its token was minted', async () => {
  const taken = await editedCatalogue(fleet.world, {
    'agents/report-writer.yaml': (text) => text.replace('  - db:read:customers\n', ''),
  });
  const minted: Minted[] = [];
  let isOver = false;
  const minting = Array.from({ length: 8 }, async (_, worker) => {
    while (!isOver) {
      const session = newSessionKey();
      const answer = await agents[worker % agents.length]?.token(session, { scope: READ_CUSTOMERS.action });
      if (answer?.status === 200)
        minted.push({ session, token: answer.body.access_token, use: READ_CUSTOMERS });
      else isOver = true; // brokers with the files of before mint nothing any more
    }
  });
  await until(() => minted.length > 20, 'mints are under way');
  await fleet.world.apply(taken);
  await Promise.all(minting);
  for (const each of minted.slice(-40)) {
    await until(
      async () => (await fleet.everywhere(each)).every((outcome) => outcome === 'token_revoked'),
      'what was granted before is refused',
    );
  }
});

test('RAC-14: an agent that is removed under mints: refused, never half minted, and nothing of it passes', async () => {
  await fleet.world.apply(fleet.world.catalogue);
  const session = newSessionKey();
  const mayMint = async () =>
    (await agents[0]?.token(session, { scope: READ_CUSTOMERS.action }))?.status === 200;
  await until(mayMint, 'it may mint again');
  const text = await readFile(join(fleet.world.scopes.directory, 'agents/report-writer.yaml'), 'utf8');
  const removed = await editedCatalogue(fleet.world, {
    'agents/report-writer.yaml': () => null,
    'agents/report-reader.yaml': () => text.replaceAll('report-writer', 'report-reader'), // somebody has to use it
  });
  const minted: Minted[] = [];
  const refused = new Set<string>();
  let isOver = false;
  const minting = Array.from({ length: 8 }, async (_, worker) => {
    while (!isOver) {
      const key = newSessionKey();
      const answer = await agents[worker % agents.length]?.token(key, { scope: READ_CUSTOMERS.action });
      if (answer?.status === 200) {
        minted.push({ session: key, token: answer.body.access_token, use: READ_CUSTOMERS });
      } else refused.add(`${answer?.status} ${answer?.body.code}`);
    }
  });
  await until(() => minted.length > 20, 'mints are under way');
  await fleet.world.apply(removed);
  await until(() => refused.size > 0, 'they are refused');
  isOver = true;
  await Promise.all(minting);
  for (const each of refused) assert.doesNotMatch(each, /^500/);
  const jtis = minted.map(({ token }) => decodeJwt(token).jti);
  const [row] = await fleet.world.query<{ recorded: number; orphans: number }>(
    `select (select count(*)::integer from tokens t join sessions s on s.id = t.session_id
                join audit_entries e on e.token_id = t.jti and e.action = 'token.minted'
              where t.jti = any ($1)) as recorded,
            (select count(*)::integer from tokens t
              where not exists (select from sessions s where s.id = t.session_id)
                 or not exists (select from audit_entries e where e.token_id = t.jti)) as orphans`,
    [jtis],
  );
  assert.deepEqual(row, { recorded: minted.length, orphans: 0 });
  for (const each of minted.slice(-40)) {
    await until(
      async () => (await fleet.everywhere(each)).every((outcome) => outcome === 'token_revoked'),
      'what it was given is refused',
    );
  }
});
