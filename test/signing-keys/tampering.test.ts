import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { parseVerificationKey } from '../../src/jws/jwk.ts';
import { importKeks } from '../../src/signing-keys/key-encryption-key.ts';
import { KEK, openStage, type Stage } from './ring-stage.ts';

/** What somebody can do to the table who has the owner's rights on it and no key-encryption key. */
const CHANGES: readonly [string, string][] = [
  [
    'a flipped bit in the sealed secret',
    "update signing_keys set sealed_secret = set_byte(sealed_secret, 20, get_byte(sealed_secret, 20) # 1) where purpose = 'token'",
  ],
  [
    'a cut sealed secret',
    "update signing_keys set sealed_secret = substring(sealed_secret from 1 for 30) where purpose = 'token'",
  ],
  [
    'the sealed secret of another row',
    "update signing_keys set sealed_secret = (select sealed_secret from signing_keys where purpose = 'ledger') where purpose = 'token'",
  ],
  [
    'the whole row of another purpose',
    "update signing_keys set purpose = case purpose when 'token' then 'ledger' else 'token' end, generation = generation + 100 where purpose in ('token', 'ledger')",
  ],
  ['another generation', "update signing_keys set generation = 7 where purpose = 'token'"],
  [
    'another public key',
    "update signing_keys set public_key = decode(repeat('17', 32), 'hex') where purpose = 'token'",
  ],
  ['another kid', "update signing_keys set kid = repeat('A', 43) where purpose = 'token'"],
];

const errors = (stage: Stage) => stage.lines.filter((line) => line.level === 'error');

describe('a row that somebody changed', () => {
  for (const [name, change] of CHANGES) {
    it(`is neither used nor published, nor does a broker start: ${name}`, async (t) => {
      const stage = await openStage(t);
      const ring = await stage.ring();
      const { kid } = ring.tokenSigner();
      await stage.rows(change);
      await ring.refresh();
      await ring.refresh();
      assert.throws(ring.tokenSigner, { reason: 'signing_key_unavailable' });
      assert.deepEqual(ring.jwks(), { keys: [] });
      assert.equal(ring.tokenVerificationKey(kid), null);
      assert.match(errors(stage)[0]?.message ?? '', /its row is not what was sealed/);
      const said = errors(stage).map((line) => JSON.stringify(line));
      assert.equal(new Set(said).size, said.length, 'said once');
      await assert.rejects(stage.ring(), /it was changed\.\n.*mayfly keys abandon/);
    });
  }

  it('can be abandoned, and then the broker starts again', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    await stage.rows(CHANGES[0]?.[1] ?? '');
    const abandoned = await stage.operations().abandon();
    assert.deepEqual(
      abandoned.map((key) => [key.purpose, key.because]),
      [['token', 'changed']],
    );
    const ledger = ring.ledgerSigner().kid;
    await ring.refresh();
    assert.equal((await stage.ring()).tokenSigner().kid, ring.tokenSigner().kid);
    assert.equal(ring.ledgerSigner().kid, ledger, 'what opens is left alone');
  });

  it('cannot smuggle a key of somebody else into the JWKS', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    const theirs = parseVerificationKey(generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }));
    const x = Buffer.from(theirs.jwk.x, 'base64url');
    const fingerprints = [
      importKeks(KEK).current.fingerprint,
      importKeks({ current: randomBytes(32), previous: [] }).current.fingerprint,
    ];
    for (const [index, sealedBy] of fingerprints.entries()) {
      for (const sealed of [Buffer.of(0), randomBytes(61), randomBytes(77)]) {
        await stage.rows('delete from signing_keys where generation > 1');
        await stage.rows(
          `insert into signing_keys (kid, purpose, algorithm, generation, public_key, sealed_secret, sealed_by, active_from)
           values ($1, 'token', 'Ed25519', $2, $3, $4, $5, now() + interval '1 hour')`,
          [theirs.thumbprint, 2 + index, x, sealed, sealedBy],
        );
        await ring.refresh();
        assert.equal(ring.tokenVerificationKey(theirs.thumbprint), null);
        assert.deepEqual(
          ring.jwks().keys.map((key) => key.kid),
          [ring.tokenSigner().kid],
        );
      }
    }
  });
});
