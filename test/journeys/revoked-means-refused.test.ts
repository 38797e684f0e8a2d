/* Two brokers, three processes of verifiers, one Postgres: what is revoked at one broker is refused everywhere. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { until } from '../broker-process.ts';
import { createFleet, LIST_EXPORTS, type Minted, READ_CUSTOMERS } from './fleet.ts';

const fleet = await createFleet();
const olivia = fleet.operator('olivia', 1);
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
  test(`a revoked ${kind} is refused by every verifier, and what is minted afterwards is not`, async () => {
    const [customers, exports] = await Promise.all([
      fleet.mint({ at: 0 }),
      fleet.mint({ at: 1, use: LIST_EXPORTS }),
    ]);
    await acceptedEverywhere(customers);
    await acceptedEverywhere(exports);
    const { status, text } = await olivia.post(path(customers), action, { reason: 'a journey' });
    assert.equal(status, 200, text);
    await refusedEverywhere(customers);
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
  assert.equal(stopped.status, 200, stopped.text);
  await refusedEverywhere(before);
  for (const at of [0, 1]) await assert.rejects(fleet.mint({ at }), /agent_stopped/);
  const released = await olivia.post(`/v1/agents/${agentRow?.id}/release`, 'mayfly:release:agents', {
    reason: 'a journey',
  });
  assert.equal(released.status, 200, released.text);
  const after = await fleet.mint({ use: READ_CUSTOMERS });
  await until(
    async () => (await fleet.everywhere(after)).every((each) => each === 'granted'),
    'it works again',
  );
  await refusedEverywhere(before);
});
