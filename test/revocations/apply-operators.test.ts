/** What a version of the catalogue takes from operators ends what they have, at once. */
import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadCatalogue } from '../../src/catalogue/load-catalogue.ts';
import { createTestWorld } from '../test-broker.ts';

const files = {
  'operators/ada.yaml': 'operator: ada\ntitle: Both\nroles: [admin, approver]\ndevelopment_key: true\n',
};
const ACTION = 'mayfly:read:sessions';
const PATH = '/v1/sessions';

/** An operator with a token of before; the same catalogue with one file changed is applied then. */
async function changed(change: (text: string) => string | null) {
  const world = await createTestWorld({ files });
  const before = await world.startBroker();
  const operator = world.operator(before, 'ada');
  const token = await operator.token(ACTION);
  const path = join(world.scopes.directory, 'operators/ada.yaml');
  const text = change(await readFile(path, 'utf8'));
  if (text === null) await rm(path);
  else await writeFile(path, text);
  const { catalogue, problems } = await loadCatalogue(world.scopes.directory);
  assert.ok(catalogue, JSON.stringify(problems));
  const { revocations } = await world.apply(catalogue);
  const after = await world.startBroker({ catalogue });
  const request = { method: 'GET', path: PATH, token } as const;
  return {
    world,
    after,
    revoked: revocations.map(({ target, reason }) => [target, reason]),
    /** At the broker that knows nothing of the new version. */
    old: await operator.send({ ...request, proof: operator.proof(request) }),
  };
}

test('who loses a role loses every token and session, also at a broker with older files', async () => {
  const { world, after, revoked, old } = await changed((text) =>
    text.replace('[admin, approver]', '[approver]'),
  );
  assert.deepEqual(revoked, [[{ kind: 'agent', id: 'ada' }, 'a role was taken from the operator']]);
  assert.deepEqual([old.status, old.body.code], [401, 'invalid_token']);
  const again = world.operator(after, 'ada');
  assert.equal((await again.get(PATH, ACTION)).status, 200, 'the role that is left reads');
  await assert.rejects(again.token('mayfly:revoke:agents'), /invalid_scope/);
});

test('who is removed loses every token, and is nobody at the token endpoint', async () => {
  const { world, after, revoked, old } = await changed(() => null);
  assert.deepEqual(revoked, [[{ kind: 'agent', id: 'ada' }, 'the operator was removed from the catalogue']]);
  assert.equal(old.status, 401);
  await assert.rejects(world.operator(after, 'ada').token(ACTION), /invalid_client/);
  const olivia = world.operator(after, 'olivia');
  const byName = await olivia.get('/v1/agents/ada', 'mayfly:read:agents');
  assert.equal(byName.status, 404);
  const [row] = await world.query<{ id: string }>(`select id from agents where name = 'ada'`);
  const byId = await olivia.get(`/v1/agents/${row?.id}`, 'mayfly:read:agents');
  assert.equal(byId.status, 200);
  assert.notEqual(byId.body.removed_at, null);
  const stop = await olivia.post(`/v1/agents/${row?.id}/quarantine`, 'mayfly:quarantine:agents', {
    reason: 'gone',
  });
  assert.equal(stop.status, 404);
});

test('a new role takes nothing away', async () => {
  const { revoked, old } = await changed((text) =>
    text.replace('[admin, approver]', '[admin, approver, security]'),
  );
  assert.deepEqual(revoked, []);
  assert.equal(old.status, 200);
});

test('a quarantine stays with the name, and can be released when the name is declared anew', async () => {
  const world = await createTestWorld({ files });
  const broker = await world.startBroker();
  const olivia = world.operator(broker, 'olivia');
  const { body: stop } = await olivia.post('/v1/agents/ada/quarantine', 'mayfly:quarantine:agents', {
    reason: 'a test',
  });
  const path = join(world.scopes.directory, 'operators/ada.yaml');
  const text = await readFile(path, 'utf8');
  await rm(path);
  const without = await loadCatalogue(world.scopes.directory);
  await writeFile(path, text);
  assert.ok(without.catalogue);
  await world.apply(without.catalogue);
  await world.apply(world.catalogue);
  const after = await world.startBroker();
  await assert.rejects(world.operator(after, 'ada').token(ACTION), /agent_stopped/);
  const again = world.operator(after, 'olivia');
  const release = await again.post('/v1/agents/ada/release', 'mayfly:release:agents', { reason: 'a test' });
  assert.deepEqual([release.status, release.body.releases], [200, stop.epoch], release.text);
  assert.equal((await world.operator(after, 'ada').get(PATH, ACTION)).status, 200);
});
