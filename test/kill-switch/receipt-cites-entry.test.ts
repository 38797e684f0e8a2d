/** A receipt says where the audit log has its line, and proves it to whoever pinned the key of the log. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLogProof } from '../../src/audit/log-proof.ts';
import { leafHash } from '../../src/audit/merkle-tree.ts';
import { parseVerifierKey } from '../../src/audit/verifier-key.ts';
import { canonicalJson } from '../../src/json/canonical-json.ts';
import { verifyLogProof } from '../audit/verify-log-proof.ts';
import { until } from '../broker-process.ts';
import { createTestWorld } from '../test-broker.ts';

const ORIGIN = 'broker.example.com/v1/audit';
const world = await createTestWorld();
const broker = await world.startBroker();
const operator = world.operator(broker, 'olivia');

test('the receipt of a kill cites its entry of the audit log, with a proof that nobody has to take from us', async () => {
  const order = { target: { kind: 'zone', id: 'analytics' }, reason: 'stolen key', wait_seconds: 0 };
  const engaged = await operator.post('/v1/kill-switch', 'mayfly:engage:kill-switch', order);
  assert.ok([200, 202].includes(engaged.status), JSON.stringify(engaged.body));
  const receipt = async () => {
    const path = `/v1/kill-switch/${engaged.body.id}/receipt`;
    const { body, status } = await operator.get(path, 'mayfly:read:kill-switch');
    assert.equal(status, 200);
    return body;
  };
  await until(async () => (await receipt()).audit !== null, 'the receipt cites its entry', 30_000);
  const { audit } = await receipt();
  const keys = (await (await fetch(`${broker.url}/v1/audit/keys`)).json()) as { keys: { vkey: string }[] };
  const trust = { origin: ORIGIN, keys: keys.keys.map(({ vkey }) => parseVerifierKey(vkey)) };
  const { body } = await operator.get(`/v1/audit/entries/${audit.id}`, 'mayfly:read:audit');
  assert.deepEqual(audit.entry, body.entry, 'the entry comes with it');
  assert.deepEqual([body.entry.action, body.entry.actor], ['kill_switch.engaged', 'olivia']);
  assert.equal(body.entry.details.epoch, engaged.body.epoch);
  const leaf = leafHash(Buffer.from(canonicalJson(body.entry)));
  assert.equal(verifyLogProof(parseLogProof(audit.proof), { leaf, ...trust }).outcome, 'verified');
  const other = leafHash(Buffer.from(canonicalJson({ ...body.entry, actor: 'omar' })));
  assert.equal(verifyLogProof(parseLogProof(audit.proof), { leaf: other, ...trust }).outcome, 'not-included');
});
