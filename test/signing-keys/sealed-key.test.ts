import assert from 'node:assert/strict';
import { createHmac, randomBytes, sign, verify } from 'node:crypto';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { importKeks } from '../../src/signing-keys/key-encryption-key.ts';
import { KEY_PURPOSES, type KeyPurpose } from '../../src/signing-keys/key-state.ts';
import { openKey, type SealedKey, sealKey } from '../../src/signing-keys/sealed-key.ts';
import { algorithmFor, generateKey, secretBytesOf } from '../../src/signing-keys/signing-key.ts';
import { fc } from '../properties.ts';

const keks = importKeks({ current: randomBytes(32), previous: [] });
const purposes = fc.constantFrom(...KEY_PURPOSES);

function sealed(purpose: KeyPurpose, generation = 1): SealedKey {
  const material = generateKey(purpose);
  const identity = { kid: material.kid, purpose, algorithm: algorithmFor(purpose), generation };
  return sealKey(material, identity, keks.current);
}

const CHANGED = { opened: false, because: 'changed' };

describe('a sealed key', () => {
  it('opens to the key that was sealed', () => {
    for (const purpose of ['token', 'ledger'] as const) {
      const material = generateKey(purpose);
      const identity = { kid: material.kid, purpose, algorithm: 'Ed25519', generation: 7 };
      const result = openKey(sealKey(material, identity, keks.current), keks);
      assert.ok(result.opened && result.material.algorithm === 'Ed25519' && material.algorithm === 'Ed25519');
      const signature = sign(null, Buffer.from('message'), result.material.privateKey);
      assert.ok(verify(null, Buffer.from('message'), material.verificationKey.keyObject, signature));
      assert.equal(result.material.verificationKey.thumbprint, material.kid);
    }
    const material = generateKey('nonce');
    const identity = {
      kid: material.kid,
      purpose: 'nonce',
      algorithm: 'HMAC-SHA256',
      generation: 7,
    } as const;
    const result = openKey(sealKey(material, identity, keks.current), keks);
    assert.ok(result.opened && result.material.algorithm === 'HMAC-SHA256');
    assert.ok(material.algorithm === 'HMAC-SHA256');
    const mac = (key: typeof material) => createHmac('sha256', key.secret).update('step').digest('hex');
    assert.equal(mac(result.material), mac(material));
  });

  it('does not open when any single bit of it was flipped', () => {
    for (const purpose of KEY_PURPOSES) {
      const row = sealed(purpose);
      for (let bit = 0; bit < row.sealedSecret.length * 8; bit += 1) {
        const sealedSecret = Buffer.from(row.sealedSecret);
        sealedSecret.writeUInt8(sealedSecret.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        assert.deepEqual(openKey({ ...row, sealedSecret }, keks), CHANGED, `${purpose}, bit ${bit}`);
      }
    }
  });

  it('does not open when it was cut or extended, or is something else altogether', () => {
    const row = sealed('token');
    for (let length = 0; length < row.sealedSecret.length; length += 1) {
      assert.deepEqual(
        openKey({ ...row, sealedSecret: row.sealedSecret.subarray(0, length) }, keks),
        CHANGED,
      );
    }
    const longer = Buffer.concat([row.sealedSecret, Buffer.of(0)]);
    assert.deepEqual(openKey({ ...row, sealedSecret: longer }, keks), CHANGED);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 256 }), purposes, (bytes, purpose) => {
        assert.deepEqual(openKey({ ...sealed(purpose), sealedSecret: Buffer.from(bytes) }, keks), CHANGED);
      }),
    );
  });

  it('does not open in the row of another key, for another purpose, or as another generation', () => {
    fc.assert(
      fc.property(purposes, purposes, (one, other) => {
        const [row, stranger] = [sealed(one), sealed(other)];
        for (const forged of [
          { ...row, sealedSecret: stranger.sealedSecret },
          { ...row, kid: stranger.kid },
          { ...row, kid: stranger.kid, publicKey: stranger.publicKey },
          { ...row, generation: row.generation + 1 },
          ...(one === other
            ? []
            : [
                { ...row, purpose: other },
                { ...row, purpose: other, algorithm: stranger.algorithm },
              ]),
          { ...row, algorithm: 'none' },
        ]) {
          assert.deepEqual(openKey(forged, keks), CHANGED);
        }
      }),
    );
  });

  it('does not open beside a public key that is not its own', () => {
    const row = sealed('token');
    assert.deepEqual(openKey({ ...row, publicKey: sealed('token').publicKey }, keks), CHANGED);
    assert.deepEqual(openKey({ ...row, publicKey: null }, keks), CHANGED);
    assert.deepEqual(openKey({ ...sealed('nonce'), publicKey: row.publicKey }, keks), CHANGED);
  });

  it('does not open under another key-encryption key, whatever fingerprint the row claims', () => {
    const row = sealed('token');
    const others = importKeks({ current: randomBytes(32), previous: [] });
    assert.deepEqual(openKey(row, others), { opened: false, because: 'kek_missing' });
    assert.deepEqual(openKey({ ...row, sealedBy: others.current.fingerprint }, others), CHANGED);
  });

  it('is sealed differently each time', () => {
    const material = generateKey('nonce');
    const identity = {
      kid: material.kid,
      purpose: 'nonce',
      algorithm: 'HMAC-SHA256',
      generation: 1,
    } as const;
    const times = Array.from({ length: 50 }, () => sealKey(material, identity, keks.current).sealedSecret);
    assert.equal(new Set(times.map((bytes) => bytes.subarray(1, 13).toString('hex'))).size, 50);
  });

  it('shows nothing of the secret, sealed or opened, however it is printed', () => {
    for (const purpose of KEY_PURPOSES) {
      const material = generateKey(purpose);
      const secret = secretBytesOf(material).subarray(-32);
      const identity = { kid: material.kid, purpose, algorithm: algorithmFor(purpose), generation: 1 };
      for (const thing of [material, sealKey(material, identity, keks.current), keks]) {
        assertSilent(thing, [secret, keks.current.keyObject.export()]);
      }
    }
  });
});

function assertSilent(thing: unknown, secrets: readonly Buffer[]): void {
  const printed = [
    inspect(thing, { depth: 20, showHidden: true, getters: true }),
    JSON.stringify(thing),
    `${thing}`,
  ].join('\n');
  for (const secret of secrets) {
    const spellings = (['hex', 'base64', 'base64url', 'latin1'] as const).map((encoding) =>
      secret.toString(encoding),
    );
    spellings.push(inspect(secret).slice('<Buffer '.length, 60), JSON.stringify([...secret]).slice(1, -1));
    for (const spelling of spellings)
      assert.ok(!printed.includes(spelling), `printed a secret as ${spelling}`);
  }
}
