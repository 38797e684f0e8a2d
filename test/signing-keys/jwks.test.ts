import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseVerificationKey } from '../../src/jws/jwk.ts';
import type { KeyRing } from '../../src/signing-keys/key-ring.ts';
import { fc } from '../properties.ts';
import { openStage, type Stage } from './ring-stage.ts';

const MEMBERS = ['alg', 'crv', 'kid', 'kty', 'use', 'x'];

/** Whatever happens to a ring, by people, by time, and by somebody with write access to the table. */
const event = fc.record({
  kind: fc.constantFrom(
    'wait',
    'rotate',
    'rotate at once',
    'revoke',
    'scramble',
    'null the public key',
    'copy a row',
  ),
  number: fc.integer({ min: 0, max: 2_000 }),
});

async function happen(stage: Stage, ring: KeyRing, kind: string, number: number): Promise<void> {
  const operations = stage.operations();
  if (kind === 'wait') await stage.letPass(number);
  if (kind.startsWith('rotate')) {
    await operations.rotate({ purpose: 'token', immediately: kind === 'rotate at once' }).catch(() => {});
  }
  const { keys } = ring.jwks();
  const kid = keys[number % Math.max(keys.length, 1)]?.kid ?? '';
  if (kind === 'revoke') await operations.retireNow(kid);
  const tamper = TAMPERINGS[kind];
  if (tamper !== undefined) await stage.rows(tamper, [kid]);
  await ring.refresh();
}

const TAMPERINGS: Record<string, string> = {
  scramble:
    'update signing_keys set sealed_secret = sha256(sealed_secret) where kid = $1 and sealed_secret is not null',
  'swap the public key': 'update signing_keys set public_key = sha256(public_key) where kid = $1',
  'copy a row': `insert into signing_keys (kid, purpose, algorithm, generation, public_key, sealed_secret, sealed_by, active_from)
    select reverse(kid), purpose, algorithm, (select max(generation) + 1 from signing_keys), public_key, sealed_secret,
           sealed_by, now() from signing_keys where kid = $1 and not exists (
             select from signing_keys where kid = reverse($1))`,
};

describe('the JWKS', () => {
  it('has public keys of tokens only, each once, in one order, whatever happened to the rows', async (t) => {
    const stage = await openStage(t);
    const sizes = new Set<number>();
    await fc.assert(
      fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 12, size: 'max' }), async (events) => {
        await stage.rows('delete from signing_keys');
        const [ring, other] = [await stage.ring(), await stage.ring()];
        for (const { kind, number } of events) {
          await happen(stage, ring, kind, number);
          const { keys } = ring.jwks();
          sizes.add(keys.length);
          for (const key of keys) {
            assert.deepEqual(Object.keys(key).sort(), MEMBERS);
            assert.deepEqual([key.kty, key.crv, key.use, key.alg], ['OKP', 'Ed25519', 'sig', 'EdDSA']);
            assert.equal(parseVerificationKey(key).thumbprint, key.kid);
          }
          const kids = keys.map((key) => key.kid);
          assert.deepEqual(kids, [...new Set(kids)].sort());
          const ledger = ring.ledgerJwks().keys.map((key) => key.kid);
          assert.ok(ledger.every((kid) => !kids.includes(kid)));
        }
        await other.refresh();
        await ring.refresh();
        assert.equal(JSON.stringify(other.jwks()), JSON.stringify(ring.jwks()));
        await Promise.all([ring.close(), other.close()]);
      }),
      { numRuns: 40 },
    );
    assert.ok(sizes.has(0) && sizes.has(1) && sizes.has(2), `sizes seen: ${[...sizes]}`);
  });
});
