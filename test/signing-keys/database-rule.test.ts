import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type KeyTimes, maySign, stateOf, withRetirement } from '../../src/signing-keys/key-state.ts';
import { fc } from '../properties.ts';
import { openStage, type Stage } from './ring-stage.ts';

const PERMISSION_DENIED = { code: '42501' };

/** Seconds relative to now. */
const times = fc.record({
  published: fc.integer({ min: -3_000, max: 0 }),
  activeAfter: fc.oneof(fc.constantFrom(0, 60, 900), fc.integer({ min: 0, max: 3_000 })),
  revoked: fc.oneof({ weight: 4, arbitrary: fc.constant(null) }, fc.integer({ min: -3_000, max: 0 })),
});

type Times = { published: number; activeAfter: number; revoked: number | null };

type Row = {
  kid: string;
  now: number;
  published_at: number;
  active_from: number;
  revoked_at: number | null;
  retire_at: number | null;
  may_sign: boolean;
  generation: number;
};

/** One transaction, in which now() stands still. */
async function askDatabase(stage: Stage, keys: Times[]): Promise<Row[]> {
  const client = await stage.owner.connect();
  const ms = (column: string) => `(extract(epoch from ${column}) * 1000)::float8`;
  try {
    await client.query('begin');
    await client.query('delete from signing_keys');
    for (const [index, key] of keys.entries()) {
      await client.query(
        `insert into signing_keys (kid, purpose, algorithm, generation, public_key, sealed_secret, sealed_by,
                                   published_at, active_from, revoked_at)
         select lpad($1::text, 43, '0'), 'token', 'Ed25519', $1::int, decode(repeat('00', 32), 'hex'),
                case when $4::int is null then '\\x00'::bytea end, 'x', moment + make_interval(secs => $2),
                moment + make_interval(secs => $3), moment + make_interval(secs => $4)
           from date_trunc('milliseconds', now()) as moment`,
        [index + 1, key.published, key.published + key.activeAfter, key.revoked],
      );
    }
    const { rows } = await client.query<Row>(
      `select t.kid, t.generation, ${ms("date_trunc('milliseconds', now())")} as now,
              ${ms('t.published_at')} as published_at, ${ms('t.active_from')} as active_from,
              ${ms('t.revoked_at')} as revoked_at, ${ms('t.retire_at')} as retire_at,
              token_key_may_sign(t.kid) as may_sign
         from signing_key_times t order by t.generation`,
    );
    return rows;
  } finally {
    await client.query('rollback');
    client.release();
  }
}

function keyOf(row: Row): KeyTimes {
  return {
    kid: row.kid,
    purpose: 'token',
    generation: row.generation,
    publishedAtMilliseconds: row.published_at,
    activeFromMilliseconds: row.active_from,
    revokedAtMilliseconds: row.revoked_at,
    isErased: false,
  };
}

describe('the rule in the database', () => {
  it('says of every key what the rule in the broker says', async (t) => {
    const stage = await openStage(t);
    const seen = { yes: 0, no: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(times, { minLength: 1, maxLength: 6, size: 'max' }), async (keys) => {
        const rows = await askDatabase(stage, keys);
        const lives = withRetirement(rows.map(keyOf));
        for (const [index, row] of rows.entries()) {
          const life = lives[index];
          assert.ok(life !== undefined);
          assert.equal(life.retireAtMilliseconds, row.retire_at);
          assert.equal(row.may_sign, maySign(stateOf(life, row.now, 900)));
          seen[row.may_sign ? 'yes' : 'no'] += 1;
        }
      }),
      { numRuns: 150 },
    );
    assert.ok(seen.yes > 20 && seen.no > 20, JSON.stringify(seen));
  });

  it('lets only keys of tokens sign tokens', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    const ask = async (kid: string) =>
      (await stage.pool.query('select token_key_may_sign($1) as yes', [kid])).rows[0].yes;
    assert.equal(await ask(ring.tokenSigner().kid), true);
    assert.equal(await ask(ring.ledgerSigner().kid), false);
    assert.equal(await ask('unknown'), false);
    for (const { kid, purpose } of await stage.operations().list())
      assert.equal(await ask(kid), purpose === 'token');
  });

  it('is asked in the snapshot of the statement that asks, without a lock', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    const { kid } = ring.tokenSigner();
    const holder = await stage.owner.connect();
    await holder.query('begin');
    await holder.query('select kid from signing_keys for update');
    const { rows } = await stage.pool.query('select token_key_may_sign($1) as yes', [kid]);
    assert.equal(rows[0].yes, true);
    await holder.query('rollback');
    holder.release();
    const [row] = await stage.rows("select provolatile from pg_proc where proname = 'token_key_may_sign'");
    assert.deepEqual(row, { provolatile: 's' }, 'a volatile function would take a newer snapshot');
  });
});

describe('the application role', () => {
  it('can neither write the table nor undo a revocation, bring back a secret or move a time', async (t) => {
    const stage = await openStage(t);
    await stage.ring();
    for (const statement of [
      'update signing_keys set revoked_at = null',
      "update signing_keys set sealed_secret = '\\x00'",
      "update signing_keys set active_from = now() - interval '1 day'",
      'delete from signing_keys',
      'truncate signing_keys',
      "insert into signing_keys (kid, purpose, algorithm, generation, sealed_secret, sealed_by, active_from) values (repeat('a', 43), 'nonce', 'HMAC-SHA256', 9, '\\x00', 'x', now())",
      'drop view signing_keys_that_may_sign',
    ]) {
      await assert.rejects(stage.pool.query(statement), PERMISSION_DENIED, statement);
    }
  });

  it('cannot erase the secret of a key that is in use', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    const { kid } = ring.tokenSigner();
    for (const tail of [0, -100_000]) {
      const { rows } = await stage.pool.query("select erase_signing_key($1, $2, 'aud_x', 'x') as done", [
        kid,
        tail,
      ]);
      assert.equal(rows[0].done, false);
    }
    await ring.rotate({ purpose: 'token', immediately: true, actor: 'operator' });
    const { rows } = await stage.pool.query("select erase_signing_key($1, -100000, 'aud_x', 'x') as done", [
      kid,
    ]);
    assert.equal(rows[0].done, false, 'a negative tail does not hurry it');
  });

  it('cannot erase the key of the log before it has handed over, and does so right after that', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    const { current: old } = ring.logSigners();
    await stage.owner.query('update audit_log_head set size = 1');
    await stage.pool.query("select keep_checkpoint(1, sha256(''), 'a note', $1)", [old.kid]);
    await ring.rotate({ purpose: 'log', immediately: true, actor: 'operator' });
    await stage.letPass(100_000);
    await ring.refresh();
    const secretIsThere = async () =>
      (
        await stage.rows<{ yes: boolean }>(
          'select sealed_secret is not null as yes from signing_keys where kid = $1',
          [old.kid],
        )
      )[0]?.yes;
    assert.equal(await secretIsThere(), true);
    const { current, earlier } = ring.logSigners();
    assert.deepEqual(
      earlier.map(({ kid }) => kid),
      [old.kid],
    );
    const { rows } = await stage.pool.query("select keep_hand_over($1, $2, 1, 'a note') as done", [
      current.kid,
      old.kid,
    ]);
    assert.equal(rows[0].done, true);
    await ring.refresh();
    assert.equal(await secretIsThere(), false);
    assert.deepEqual(ring.logSigners().earlier, []);
  });

  it('can hasten a key that waits, and neither move nor revive one that does not', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    const hasten = async (kid: string) =>
      (await stage.pool.query("select hasten_signing_key($1, 'aud_' || $1, 'x') as done", [kid])).rows[0]
        .done;
    const times = () => stage.rows('select kid, active_from from signing_keys order by kid');
    const active = ring.tokenSigner().kid;
    await ring.rotate({ purpose: 'token', immediately: false, actor: 'operator' });
    const waiting = ring.jwks().keys.find((key) => key.kid !== active)?.kid ?? '';
    await ring.retireNow({ kid: waiting, actor: 'operator' });
    const before = await times();
    assert.deepEqual(
      [await hasten(active), await hasten(waiting), await hasten('unknown')],
      [false, false, false],
    );
    assert.deepEqual(await times(), before);
    await ring.rotate({ purpose: 'token', immediately: false, actor: 'operator' });
    const next = ring.jwks().keys.find((key) => key.kid !== active)?.kid ?? '';
    assert.deepEqual([await hasten(next), await hasten(next)], [true, false]);
  });

  it('leaves a line in the audit log with every change, and none when nothing changed', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    const { kid } = ring.tokenSigner();
    await ring.rotate({ purpose: 'token', immediately: false, actor: 'olivia' });
    await stage.letPass(1);
    await ring.rotate({ purpose: 'token', immediately: true, actor: 'olivia' });
    await ring.retireNow({ kid, actor: 'olivia' });
    await ring.retireNow({ kid, actor: 'olivia' });
    await ring.refresh();
    const entries = await stage.rows<{ action: string; actor: string; kid: string }>(
      "select action, actor, details ->> 'kid' as kid from audit_entries where actor <> 'mayfly:schedule' order by at",
    );
    assert.deepEqual(
      entries.map((entry) => `${entry.action} by ${entry.actor}`),
      [
        'signing_key.made by olivia',
        'signing_key.hastened by olivia',
        'signing_key.revoked by olivia',
        'revocation.appended by olivia',
      ],
    );
    assert.equal(entries[2]?.kid, kid);
    const made = await stage.rows("select id from audit_entries where action = 'signing_key.made'");
    assert.equal(made.length, (await stage.rows('select from signing_keys')).length);
  });
});
