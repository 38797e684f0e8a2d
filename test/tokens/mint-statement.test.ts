import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { MintRow } from '../../src/tokens/mint-row.ts';
import { createTokenStore } from '../../src/tokens/token-store.ts';
import { until } from '../broker-process.ts';
import { mintRow, prepareMinting } from './mint-fixture.ts';

let minting: Awaited<ReturnType<typeof prepareMinting>>;

before(async () => {
  minting = await prepareMinting();
});

async function mint(rows: MintRow[]) {
  return minting.store.mint(rows, { kid: minting.kid });
}

function minted(outcomes: readonly { reason: string | null }[]): number {
  return outcomes.filter((outcome) => outcome.reason === null).length;
}

async function countOf(query: string, values: unknown[] = []): Promise<number> {
  const { rows } = await minting.owner.query(query, values);
  return Number(rows[0].count);
}

test('a granted request becomes one token, two spent identifiers and one audit entry', async () => {
  const row = mintRow({ jkt: 'plain' });
  const [outcome] = await mint([row]);
  assert.ok(outcome?.reason === null);
  assert.equal(outcome.exp - outcome.iat, 300);
  assert.equal(outcome.epoch, 0);
  assert.equal(await countOf('select count(*) from tokens where jti = $1', [row.tokenId]), 1);
  assert.equal(await countOf('select count(*) from spent_jti where token_id = $1', [row.tokenId]), 2);
  assert.equal(await countOf('select count(*) from audit_entries where token_id = $1', [row.tokenId]), 1);
});

test('one proof a hundred times in one batch mints one token', async () => {
  const first = mintRow({ jkt: 'hundred' });
  const rows = Array.from({ length: 100 }, () => mintRow({ jkt: 'hundred', proofKey: first.proofKey }));
  const outcomes = await mint(rows);
  assert.equal(minted(outcomes), 1);
  assert.equal(outcomes.filter((outcome) => outcome.reason === 'proof_replayed').length, 99);
  const ids = rows.map((row) => row.tokenId);
  assert.equal(await countOf('select count(*) from tokens where jti = any ($1)', [ids]), 1);
});

test('one assertion a hundred times in one batch mints one token', async () => {
  const first = mintRow();
  const rows = Array.from({ length: 100 }, () => mintRow({ assertionKey: first.assertionKey }));
  assert.equal(minted(await mint(rows)), 1);
});

test('one proof in a hundred batches at once mints one token', async () => {
  const first = mintRow({ jkt: 'parallel' });
  const outcomes = await Promise.all(
    Array.from({ length: 100 }, () =>
      minting.store.mint([mintRow({ jkt: 'parallel', proofKey: first.proofKey })], { kid: minting.kid }),
    ),
  );
  assert.equal(minted(outcomes.flat()), 1);
});

test('the same new session key in many statements at once opens one session', async () => {
  const rows = Array.from({ length: 50 }, () => mintRow({ jkt: 'one-session' }));
  const resolved = async (row: MintRow) => {
    const [outcome] = await mint([row]);
    if (outcome?.reason !== 'session_contended') return outcome;
    return (await minting.store.mint([row], { kid: minting.kid, spentBefore: true }))[0];
  };
  const outcomes = (await Promise.all(rows.map(resolved))).filter((outcome) => outcome !== undefined);
  assert.equal(minted(outcomes), 50);
  const sessions = new Set(outcomes.map((outcome) => 'session_id' in outcome && outcome.session_id));
  assert.equal(sessions.size, 1);
});

test('the same new session key twice in one batch opens one session', async () => {
  const outcomes = await mint([mintRow({ jkt: 'twice' }), mintRow({ jkt: 'twice' })]);
  assert.equal(minted(outcomes), 2);
  assert.equal(await countOf(`select count(*) from sessions where jkt = 'twice'`), 1);
});

test('whoever loses the race for a new session finds its own spent identifiers and asks again', async () => {
  const row = mintRow({ jkt: 'contended' });
  const rival = await minting.pool.connect();
  try {
    await rival.query('begin');
    await rival.query(
      `insert into sessions (id, agent_id, client_id, jkt, zone, opened_epoch, opened_at, expires_at)
       values ('ses_rival', 'agt_1', 'report-writer', 'contended', 'analytics', 0, now(), now() + interval '1 hour')`,
    );
    const waiting = mint([row]);
    await until(
      async () => (await countOf('select count(*) from pg_locks where not granted')) > 0,
      'the mint waits',
    );
    await rival.query('commit');
    assert.equal((await waiting)[0]?.reason, 'session_contended');
  } finally {
    rival.release();
  }
  const stranger = mintRow({ jkt: 'contended', proofKey: row.proofKey });
  const again = { kid: minting.kid, spentBefore: true };
  assert.equal((await minting.store.mint([stranger], again))[0]?.reason, 'proof_replayed');
  const [outcome] = await minting.store.mint([row], again);
  assert.ok(outcome?.reason === null);
  assert.equal(outcome.session_id, 'ses_rival');
  assert.equal(await countOf('select count(*) from spent_jti where token_id = $1', [row.tokenId]), 2);
});

test('a replayed assertion opens no session for the key that came with it', async () => {
  const first = mintRow({ jkt: 'owner' });
  await mint([first]);
  const [outcome] = await mint([mintRow({ jkt: 'thief', assertionKey: first.assertionKey })]);
  assert.equal(outcome?.reason, 'assertion_replayed');
  assert.equal(await countOf(`select count(*) from sessions where jkt = 'thief'`), 0);
});

test('batches that spend the same identifiers in opposite order never deadlock for good', async () => {
  const rows = Array.from({ length: 40 }, () => mintRow({ jkt: 'order' }));
  const copies = (order: MintRow[]) => order.map((row) => mintRow({ ...row, tokenId: mintRow().tokenId }));
  const outcomes = await Promise.all(
    [copies(rows), copies(rows.toReversed()), copies(rows), copies(rows.toReversed())].map((batch) =>
      minting.store.mint(batch, { kid: minting.kid }),
    ),
  );
  assert.equal(minted(outcomes.flat()), 40);
});

test('a refused request spends nothing and opens nothing', async () => {
  const row = mintRow({ jkt: 'wrong-version', catalogueVersion: 7 });
  const [outcome] = await mint([row]);
  assert.equal(outcome?.reason, 'catalogue_differs');
  assert.equal(await countOf('select count(*) from spent_jti where token_id = $1', [row.tokenId]), 0);
  assert.equal(await countOf(`select count(*) from sessions where jkt = 'wrong-version'`), 0);
});

test('a key that may not sign mints nothing', async () => {
  const row = mintRow({ jkt: 'wrong-kid' });
  const [outcome] = await minting.store.mint([row], { kid: 'A'.repeat(43) });
  assert.equal(outcome?.reason, 'signing_key_unavailable');
});

test('a token never outlives its session, and is refused when less than five seconds are left', async () => {
  const long = mintRow({ jkt: 'short-session', sessionSeconds: 100 });
  const [outcome] = await mint([long]);
  assert.ok(outcome?.reason === null);
  assert.ok(outcome.exp - outcome.iat <= 100 && outcome.exp - outcome.iat >= 98);
  await minting.owner.query(
    `update sessions set expires_at = now() + interval '4 seconds' where jkt = 'short-session'`,
  );
  const [late] = await minting.store.mint([mintRow({ jkt: 'short-session' })], { kid: minting.kid });
  assert.equal(late?.reason, 'session_expired');
});

test('a row that the database cannot store fails its batch, and leaves nothing of it', async () => {
  const poison = mintRow({ jkt: 'poison', proofKey: 'not-a-uuid' });
  const good = mintRow({ jkt: 'poison' });
  await assert.rejects(minting.store.mint([good, poison], { kid: minting.kid }), { code: '22P02' });
  assert.equal(await countOf('select count(*) from tokens where jti = $1', [good.tokenId]), 0);
});

test('a proof whose hour has no partition is not storable, and so mints nothing', async () => {
  const row = mintRow({ jkt: 'far-hour', proofHour: 1 });
  await assert.rejects(minting.store.mint([row], { kid: minting.kid }), { code: '23514' });
});

test('a standing revocation of any kind that matches stops the mint, and its release lets it go on', async (t) => {
  const row = () => mintRow({ agentId: 'agt_2', clientId: 'mailer', zone: 'office', jkt: 'standing' });
  const [first] = await mint([row()]);
  assert.ok(first?.reason === null);
  const targets = [
    ['session', first.session_id],
    ['agent', 'mailer'],
    ['zone', 'office'],
    ['action', 'db:read:customers'],
    ['resource', 'https://customers.example.com'],
    ['subject', 'agt_2'],
    ['all', ''],
  ];
  for (const [kind, target] of targets) {
    await t.test(`${kind}`, async () => {
      const { rows } = await minting.owner.query(
        `select epoch from append_revocation('rev_' || gen_random_uuid(), $1, $2, true, null, 'r', 'a', 'aud_' || gen_random_uuid(), null)`,
        [kind, target],
      );
      const [stopped] = await mint([row()]);
      assert.equal(stopped?.reason, 'standing_revocation');
      await minting.owner.query(
        `select append_revocation('rev_' || gen_random_uuid(), $1, $2, false, $3, 'r', 'a', 'aud_' || gen_random_uuid(), null)`,
        [kind, target, rows[0].epoch],
      );
      const [unknownKey] = await mint([{ ...row(), jkt: `new-${kind}` }]);
      assert.equal(unknownKey?.reason, null, 'a new session can be opened after the release');
    });
  }
});

test('a session that was opened before a revocation of its agent is dead, a later one lives', async () => {
  const old = mintRow({ jkt: 'before' });
  await mint([old]);
  const { epoch } = await minting.revocations.append({
    target: { kind: 'agent', id: 'report-writer' },
    standing: false,
    reason: 'test',
    actor: 'test',
    requestId: undefined,
  });
  const [again] = await mint([mintRow({ jkt: 'before' })]);
  assert.equal(again?.reason, 'session_revoked');
  const [fresh] = await mint([mintRow({ jkt: 'after' })]);
  assert.ok(fresh?.reason === null);
  assert.equal(fresh.epoch, epoch);
});

test('a revoked signing key mints nothing whatever the epoch', async () => {
  const other = await prepareMinting();
  const row = mintRow({ jkt: 'sign' });
  await other.revocations.append({
    target: { kind: 'signing-key', id: other.kid },
    standing: false,
    reason: 'test',
    actor: 'test',
    requestId: undefined,
  });
  const [outcome] = await other.store.mint([row], { kid: other.kid });
  assert.equal(outcome?.reason, 'signing_key_unavailable');
});

test('revoking a signing key writes it into the ledger, so that what it signed is dead wherever that is asked', async () => {
  const other = await prepareMinting();
  const [outcome] = await other.store.mint([mintRow()], { kid: other.kid });
  assert.ok(outcome?.reason === null);
  const tokens = createTokenStore(other.kysely);
  assert.equal((await tokens.find(outcome.token_id))?.alive, true);
  assert.equal(await other.ring.retireNow({ kid: other.kid, actor: 'operator' }), true);
  assert.equal((await tokens.find(outcome.token_id))?.alive, false);
  const { rows } = await other.owner.query('select kind, target, standing, actor from revocations');
  assert.deepEqual(rows, [{ kind: 'signing-key', target: other.kid, standing: false, actor: 'operator' }]);
  assert.equal(await other.ring.retireNow({ kid: other.kid, actor: 'operator' }), false, 'once');
});

test('a mint that waited behind a held revocation carries an epoch that the revocation kills', async () => {
  const row = mintRow({ jkt: 'raced' });
  const blocker = await minting.pool.connect();
  try {
    await blocker.query('begin');
    await blocker.query(
      `select append_revocation('rev_held', 'session', 'whatever', false, null, 'r', 'a', 'aud_held', null)`,
    );
    const [outcome] = await minting.store.mint([row], { kid: minting.kid }); // takes no lock, so it does not wait
    assert.ok(outcome?.reason === null);
    await blocker.query('commit');
    const { rows } = await minting.owner.query(`select epoch from revocations where id = 'rev_held'`);
    assert.ok(outcome.epoch < Number(rows[0].epoch));
  } finally {
    blocker.release();
  }
});

test('the application role can rewrite neither the record, nor the ledger, nor the catalogue', async (t) => {
  const forbidden = [
    `update audit_entries set actor = 'x'`,
    'delete from audit_entries',
    'truncate audit_entries',
    'alter table audit_entries disable trigger all',
    'update revocation_head set epoch = 0',
    'delete from revocations',
    'delete from tokens',
    `update tokens set expires_at = now() + interval '1 day'`,
    'delete from spent_jti',
    'update sessions set expires_at = now()',
    `insert into agents (id, name) values ('agt_x', 'x')`,
    'update catalogue_versions set active = false',
    `select apply_catalogue(1, 'x', '{}', 'x', '[]', '{}', '[]', 'x')`,
    'drop table tokens',
  ];
  for (const statement of forbidden) {
    await t.test(statement, async () => {
      await assert.rejects(minting.pool.query(statement), { code: '42501' });
    });
  }
});
