/** The two statements of the kill switch: each decides under the head's lock, in one autocommit statement (L1, L2). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLedgerFixture } from './ledger-fixture.ts';

const fixture = await createLedgerFixture();
const { engage, release, head, record, app, owner } = fixture;
const RESOURCE = 'https://customers.example.com';

test('a kill of each kind is one standing entry, with its line in the record', async () => {
  const { rows } = await app.query(`select id from agents where name = 'report-writer'`);
  const targets = [
    ['all', ''],
    ['zone', 'analytics'],
    ['agent', 'report-writer'],
    ['action', 'db:read:customers'],
    ['resource', RESOURCE],
    ['subject', rows[0].id],
  ] as const;
  for (const [kind, target] of targets) {
    const before = await head();
    const engaged = await engage(kind, target);
    assert.deepEqual({ ...engaged, id: 'x' }, { outcome: 'engaged', id: 'x', epoch: String(before + 1) });
    const [line] = await record(engaged.epoch);
    assert.equal(line?.action, 'kill_switch.engaged');
    assert.deepEqual(line?.details, {
      epoch: before + 1,
      kind,
      target,
      standing: true,
      reason: 'stolen key',
      ...(kind === 'agent' || kind === 'subject' ? { agent: rows[0].id } : {}),
    });
    assert.equal((await release(engaged.id ?? '')).outcome, 'released');
  }
});

test('what names nothing is no target, and changes nothing', async () => {
  const before = await head();
  const nothing = [
    ['all', 'everything'],
    ['agent', ''],
    ['agent', 'nobody'],
    ['agent', 'Report-Writer'],
    ['agent', 'report-writer '],
    ['agent', '%'],
    ['zone', 'report-writer'],
    ['zone', 'mayfly'],
    ['action', 'db:read:nothing'],
    ['action', 'mayfly:engage:kill-switch'],
    ['resource', `${RESOURCE}/`],
    ['subject', 'report-writer'],
    ['token', 'tok_1'],
    ['session', 'ses_1'],
    ['signing-key', 'kid'],
    ['', ''],
    ['*', ''],
  ] as const;
  for (const [kind, target] of nothing) {
    assert.deepEqual(await engage(kind, target), { outcome: 'unknown_target', id: null, epoch: null }, kind);
  }
  assert.equal(await head(), before);
});

test('the same target again is the entry that stands, a wider one is another, and after a release it is a new one', async () => {
  const first = await engage('agent', 'mailer');
  assert.equal(first.outcome, 'unknown_target', 'the shipped catalogue has no mailer');
  const one = await engage('agent', 'report-writer');
  const again = await engage('agent', 'report-writer', { actor: 'omar', reason: 'me too' });
  assert.deepEqual(again, { ...one, outcome: 'standing' });
  const [, found] = await record(one.epoch);
  assert.deepEqual([found?.action, found?.actor], ['kill_switch.found_engaged', 'omar']);
  const wider = await engage('zone', 'analytics');
  assert.equal(wider.outcome, 'engaged');
  await release(one.id ?? '');
  const anew = await engage('agent', 'report-writer');
  assert.equal(anew.outcome, 'engaged');
  assert.ok(Number(anew.epoch) > Number(one.epoch));
  await release(anew.id ?? '');
  await release(wider.id ?? '');
});

test('a hundred at once for one target are one entry', async () => {
  const before = await head();
  const all = await Promise.all(Array.from({ length: 100 }, () => engage('zone', 'support')));
  assert.deepEqual(all.map(({ outcome }) => outcome).sort(), [
    'engaged',
    ...Array.from({ length: 99 }, () => 'standing'),
  ]);
  assert.equal(new Set(all.map(({ id }) => id)).size, 1);
  assert.equal(await head(), before + 1);
  await release(all[0]?.id ?? '');
});

test('a release needs another person, happens once, and has an epoch of its own', async () => {
  const { id, epoch } = await engage('zone', 'analytics', { actor: 'olivia' });
  assert.equal((await release(id ?? '', 'olivia')).outcome, 'own');
  assert.equal((await release(id ?? '', 'break-glass:olivia')).outcome, 'own');
  const tries = await Promise.all(Array.from({ length: 20 }, () => release(id ?? '', 'omar')));
  assert.equal(tries.filter(({ outcome }) => outcome === 'released').length, 1);
  assert.equal(tries.filter(({ outcome }) => outcome === 'released_before').length, 19);
  assert.deepEqual([...new Set(tries.map((each) => each.epoch))], [String(Number(epoch) + 1)]);
  const [line] = await record(Number(epoch) + 1);
  assert.equal(line?.action, 'kill_switch.released');
  assert.equal((await release('rev_unknown')).outcome, 'unknown');
});

test('a quarantine is no kill: it neither stands in the way of one nor is released as one', async () => {
  const { rows } = await app.query(
    `select epoch, (select id from agents where name = 'report-writer') as agent
       from append_revocation('rev_quarantine', 'agent', 'report-writer', true, null, 'r', 'olivia', 'aud_quarantine', null)`,
  );
  await owner.query('insert into quarantines (epoch, agent_id) values ($1, $2)', [
    rows[0].epoch,
    rows[0].agent,
  ]);
  const killed = await engage('agent', 'report-writer');
  assert.equal(killed.outcome, 'engaged');
  assert.equal((await release('rev_quarantine')).outcome, 'unknown');
  await release(killed.id ?? '');
});

test('a request that is sent again under its key is what it was, also after a release; another one is refused', async () => {
  const request = { client: 'olivia', key: 'key-1', digest: 'digest-1' };
  const first = await engage('zone', 'analytics', { request });
  assert.deepEqual(await engage('zone', 'analytics', { request }), { ...first, outcome: 'engaged_before' });
  await release(first.id ?? '');
  assert.deepEqual(await engage('zone', 'analytics', { request }), { ...first, outcome: 'engaged_before' });
  const other = await engage('zone', 'support', { request: { ...request, digest: 'digest-2' } });
  assert.deepEqual(other, { outcome: 'other_request', id: null, epoch: null });
  const others = await engage('zone', 'support', {
    request: { ...request, client: 'omar', digest: 'digest-2' },
  });
  assert.equal(others.outcome, 'engaged');
  await release(others.id ?? '', 'olivia');
});

test('KIL-04, RAC-10: sent again it is what it was, also when no catalogue has its target any more', async () => {
  const request = { client: 'olivia', key: 'key-of-one-who-goes', digest: 'digest-1' };
  const first = await engage('agent', 'report-writer', { request });
  await owner.query(`update agents set removed_at = now() where name = 'report-writer'`);
  try {
    assert.deepEqual(await engage('agent', 'report-writer', { request }), {
      ...first,
      outcome: 'engaged_before',
    });
    const found = await engage('agent', 'report-writer', { actor: 'omar' });
    assert.deepEqual(
      found,
      { ...first, outcome: 'standing' },
      'nor does anybody else have to know of the key',
    );
    await release(first.id ?? '');
    assert.equal((await engage('agent', 'report-writer', { request })).outcome, 'engaged_before');
    assert.equal(
      (await engage('agent', 'report-writer')).outcome,
      'unknown_target',
      'nothing new is made of it',
    );
  } finally {
    await owner.query(`update agents set removed_at = null where name = 'report-writer'`);
  }
});

test('the ledger has the same digest as when every entry was written the old way', async () => {
  const { rows } = await owner.query(`
    with recursive chain (epoch, digest) as (
      select 0::bigint, sha256('mayfly revocation ledger')
      union all
      select r.epoch, sha256(c.digest || convert_to('[' || array_to_string(array[
        to_json(r.epoch::text), to_json(r.id), to_json(r.kind), to_json(r.target), to_json(r.standing::text),
        to_json(coalesce(r.releases::text, '')), to_json(r.reason), to_json(r.actor),
        to_json(floor(extract(epoch from r.created_at) * 1000)::bigint::text)]::text[], ',') || ']', 'UTF8'))
        from chain c join revocations r on r.epoch = c.epoch + 1
    ) select (select digest from chain order by epoch desc limit 1) = h.digest as same, h.epoch from revocation_head h`);
  assert.equal(rows[0].same, true);
  assert.ok(Number(rows[0].epoch) > 10);
});
