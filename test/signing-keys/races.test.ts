import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { KeyRing } from '../../src/signing-keys/key-ring.ts';
import { openStage, type Stage } from './ring-stage.ts';

const ROUNDS = 50;

/** The pool, and how often somebody tried to add a key through it. */
function counting(stage: Stage) {
  const tries = { added: 0 };
  const query = ((...question: Parameters<typeof stage.pool.query>) => {
    if (String(question[0]).includes('add_signing_key')) tries.added += 1;
    return stage.pool.query(...question);
  }) as typeof stage.pool.query;
  return { tries, pool: { query } };
}

async function generations(stage: Stage): Promise<Record<string, number>> {
  const rows = await stage.rows<{ purpose: string; keys: number }>(
    'select purpose, count(*)::int as keys from signing_keys group by purpose',
  );
  return Object.fromEntries(rows.map(({ purpose, keys }) => [purpose, keys]));
}

function assertAgreed(rings: readonly KeyRing[]): void {
  assert.equal(new Set(rings.map((ring) => ring.tokenSigner().kid)).size, 1);
  assert.equal(new Set(rings.map((ring) => ring.ledgerSigner().kid)).size, 1);
  assert.equal(new Set(rings.map((ring) => JSON.stringify(ring.jwks()))).size, 1);
  const [first, ...others] = rings.map((ring) => ring.nonceSecrets().current);
  assert.ok(first && others.every((secret) => secret.equals(first)));
}

describe('brokers on one database', () => {
  it('that start at once on an empty one agree on one key of each purpose, fifty times', async (t) => {
    const stage = await openStage(t);
    const { tries, pool } = counting(stage);
    for (let round = 0; round < ROUNDS; round += 1) {
      await stage.rows('delete from signing_keys');
      const rings = await Promise.all([stage.ring({ pool }), stage.ring({ pool })]);
      assert.deepEqual(await generations(stage), { token: 1, ledger: 1, log: 1, nonce: 1 });
      assertAgreed(rings);
      await Promise.all(rings.map((ring) => ring.close()));
    }
    assert.ok(tries.added > ROUNDS * 3, 'both tried at least once: otherwise this proves nothing');
  });

  it('make the next key exactly once when it is due, fifty times', async (t) => {
    const stage = await openStage(t);
    const { tries, pool } = counting(stage);
    const rings = [await stage.ring({ pool }), await stage.ring({ pool }), await stage.ring({ pool })];
    for (let round = 1; round <= ROUNDS; round += 1) {
      await stage.letPass(86_400 - 900);
      await Promise.all(rings.map((ring) => ring.refresh()));
      const made = round + 1;
      assert.deepEqual(await generations(stage), { token: made, ledger: made, log: 1, nonce: made });
      assertAgreed(rings);
      await stage.letPass(900);
    }
    assert.ok(tries.added > 3 + ROUNDS * 3, 'several tried at least once: otherwise this proves nothing');
  });

  it('never sign with a key that another one does not publish, whoever polls first', async (t) => {
    const stage = await openStage(t);
    const policy = { publicationLeadSeconds: 330, rotationSeconds: 450 };
    const rings = [await stage.ring({ policy }), await stage.ring({ policy })];
    const signed = new Set<string>();
    for (let step = 0; step < 300; step += 1) {
      await stage.letPass(1 + ((step * 97) % 29));
      const [first] = step % 3 === 0 ? rings : rings.toReversed();
      if (step % 2 === 0) await first?.refresh();
      // A broker whose copy is older does not sign at all.
      for (const ring of rings) if (ring.copyAgeSeconds() > 30) await ring.refresh();
      for (const [signer, publisher] of [rings, rings.toReversed()]) {
        const kid = signer?.tokenSigner().kid ?? '';
        signed.add(kid);
        assert.ok(publisher?.tokenVerificationKey(kid), 'signed by a key that is not published');
        const { rows } = await stage.pool.query('select token_key_may_sign($1) as yes', [kid]);
        assert.equal(rows[0].yes, true, 'chose a key that may not sign');
      }
    }
    assert.ok(
      signed.size > 5,
      `${signed.size} keys signed: the ring has to rotate for this to prove anything`,
    );
  });
});
