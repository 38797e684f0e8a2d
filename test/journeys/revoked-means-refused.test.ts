/* Two brokers, three processes of verifiers, one Postgres: what is revoked at one broker is refused everywhere. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import type { Receipt } from '../../src/revocations/receipt.ts';
import { until } from '../broker-process.ts';
import { CUSTOMERS, createFleet, LIST_EXPORTS, type Minted, READ_CUSTOMERS } from './fleet.ts';

const fleet = await createFleet();
const olivia = fleet.operator('olivia', 1);
const omar = fleet.operator('omar', 0);
const [agentRow] = await fleet.world.query<{ id: string }>(
  `select id from agents where name = 'report-writer'`,
);

async function refusedEverywhere(minted: Minted): Promise<void> {
  await until(async () => {
    const said = await fleet.everywhere(minted);
    return said.every((each) => each === 'token_revoked');
  }, 'every verifier refuses');
}

async function acceptedEverywhere(minted: Minted): Promise<void> {
  const said = await fleet.everywhere(minted);
  assert.ok(said.length > 0);
  assert.deepEqual([...new Set(said)], ['granted']);
}

const KILLS = [
  { target: { kind: 'all' }, hitsExports: true },
  { target: { kind: 'zone', id: 'analytics' }, hitsExports: true },
  { target: { kind: 'agent', id: 'report-writer' }, hitsExports: true },
  { target: { kind: 'subject', id: agentRow?.id }, hitsExports: true },
  { target: { kind: 'action', id: READ_CUSTOMERS.action }, hitsExports: false },
  { target: { kind: 'resource', id: CUSTOMERS }, hitsExports: false },
] as const;

for (const { target, hitsExports } of KILLS) {
  test(`when a kill of ${target.kind} is answered with 200, every verifier refuses, and the receipt names them`, async () => {
    const [customers, exports] = await Promise.all([
      fleet.mint({ at: 0 }),
      fleet.mint({ at: 1, use: LIST_EXPORTS }),
    ]);
    await acceptedEverywhere(customers);
    await acceptedEverywhere(exports);
    const killed = await olivia.post('/v1/kill-switch', 'mayfly:engage:kill-switch', {
      target,
      reason: 'a journey',
      wait_seconds: 20,
    });
    assert.equal(killed.status, 200, killed.text);
    assert.deepEqual([...new Set(await fleet.everywhere(customers))], ['token_revoked']);
    assert.deepEqual(
      [...new Set(await fleet.everywhere(exports))],
      [hitsExports ? 'token_revoked' : 'granted'],
    );
    const { verifiers, epoch } = decodeJwt<Receipt>(killed.body.receipt);
    assert.equal(verifiers.length, fleet.verifiers.length);
    assert.ok(verifiers.every(({ applied_at: at }) => at !== undefined));
    assert.equal(epoch, killed.body.epoch);
    for (const at of [0, 1]) await assert.rejects(fleet.mint({ at }), /agent_stopped/);

    const path = `/v1/kill-switch/${killed.body.id}/release`;
    const released = await omar.post(path, 'mayfly:release:kill-switch', { reason: 'a journey' });
    assert.ok(released.status < 300, released.text);
    const after = await fleet.mint({ at: 1 });
    await until(
      async () => (await fleet.everywhere(after)).every((each) => each === 'granted'),
      'it works again',
    );
    assert.deepEqual([...new Set(await fleet.everywhere(customers))], ['token_revoked'], 'dead for good');
  });
}

const REVOCATIONS = [
  {
    kind: 'session',
    action: 'mayfly:revoke:sessions',
    path: ({ token }: Minted) => `/v1/sessions/${decodeJwt(token).sid}/revoke`,
  },
  {
    kind: 'token',
    action: 'mayfly:revoke:tokens',
    path: ({ token }: Minted) => `/v1/tokens/${decodeJwt(token).jti}/revoke`,
  },
  {
    kind: 'agent',
    action: 'mayfly:revoke:agents',
    path: () => `/v1/agents/${agentRow?.id}/revoke`,
  },
  {
    kind: 'signing key',
    action: 'mayfly:revoke:signing-keys',
    path: ({ token }: Minted) => `/v1/signing-keys/${decodeProtectedHeader(token).kid}/revoke`,
  },
] as const;

for (const { kind, action, path } of REVOCATIONS) {
  test(`REV-06: a revoked ${kind} is refused by every verifier, and what is minted afterwards is not`, async () => {
    const [customers, exports] = await Promise.all([
      fleet.mint({ at: 0 }),
      fleet.mint({ at: 1, use: LIST_EXPORTS }),
    ]);
    await acceptedEverywhere(customers);
    await acceptedEverywhere(exports);
    const { status, text } = await olivia.post(path(customers), action, { reason: 'a journey' });
    assert.ok(status === 200 || status === 202, text);
    // 200 says that it is refused everywhere now, 202 that it will be.
    if (status === 202) await refusedEverywhere(customers);
    assert.deepEqual([...new Set(await fleet.everywhere(customers))], ['token_revoked']);
    if (kind === 'agent' || kind === 'signing key') await refusedEverywhere(exports);
    else await acceptedEverywhere(exports);
    await until(async () => {
      const fresh = await fleet.mint({ at: 0 });
      return (await fleet.everywhere(fresh)).every((each) => each === 'granted');
    }, 'what is minted afterwards is good');
  });
}

test('an agent in quarantine mints nothing and passes nowhere, until it is released; what it had stays dead', async () => {
  const before = await fleet.mint();
  await acceptedEverywhere(before);
  const stopped = await olivia.post(`/v1/agents/${agentRow?.id}/quarantine`, 'mayfly:quarantine:agents', {
    reason: 'a journey',
  });
  assert.ok(stopped.status < 300, stopped.text);
  await refusedEverywhere(before);
  for (const at of [0, 1]) await assert.rejects(fleet.mint({ at }), /agent_stopped/);
  const released = await olivia.post(`/v1/agents/${agentRow?.id}/release`, 'mayfly:release:agents', {
    reason: 'a journey',
  });
  assert.ok(released.status < 300, released.text);
  const after = await fleet.mint({ use: READ_CUSTOMERS });
  await until(
    async () => (await fleet.everywhere(after)).every((each) => each === 'granted'),
    'it works again',
  );
  await refusedEverywhere(before);
});
