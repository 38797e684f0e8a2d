/* Changes that meet in the middle: at two brokers, before and after a restart, and under mints. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../broker-process.ts';
import { soakFactor } from '../soak.ts';
import { newSessionKey } from '../test-agent.ts';
import { editedCatalogue } from '../threats/edited-scopes.ts';
import { CUSTOMERS, createFleet, type Minted, READ_CUSTOMERS } from './fleet.ts';

const fleet = await createFleet({ verifiers: [{ resource: CUSTOMERS }, { resource: CUSTOMERS }] });
const [olivia, omar] = [fleet.operator('olivia', 0), fleet.operator('omar', 1)];
const agents = fleet.urls.map((url) => fleet.world.agent({ url }, 'report-writer'));

async function releaseAll(): Promise<void> {
  const standing = await fleet.world.query<{ id: string; actor: string }>(
    'select id, actor from revocations where standing and released_epoch is null',
  );
  for (const { id, actor } of standing) {
    const path = `/v1/kill-switch/${id}/release`;
    const other = actor === 'olivia' ? omar : olivia;
    const { status, text } = await other.post(path, 'mayfly:release:kill-switch', { reason: 'a journey' });
    assert.ok(status < 300, text);
  }
}

test('RAC-18: two operators who kill the same two targets in opposite order at two brokers never wait in a circle', async () => {
  const targets = ['support-assistant', 'report-writer'].map((id) => ({ kind: 'agent', id }));
  const engage = async (by: typeof olivia, order: readonly object[]) => {
    for (const target of order) {
      const body = { target, reason: 'a journey', wait_seconds: 0 };
      const { status, text } = await by.post('/v1/kill-switch', 'mayfly:engage:kill-switch', body);
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
