import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { importKeks, type KekConfiguration } from '../../src/signing-keys/key-encryption-key.ts';
import { KeyRingError } from '../../src/signing-keys/key-ring-error.ts';
import { KEY_PURPOSES } from '../../src/signing-keys/key-state.ts';
import { openStage, type Stage } from './ring-stage.ts';

const [oldBytes, newBytes] = [randomBytes(32), randomBytes(32)];
const OLD: KekConfiguration = { current: oldBytes, previous: [] };
const OLD_KNOWING_NEW: KekConfiguration = { current: oldBytes, previous: [newBytes] };
const NEW_KNOWING_OLD: KekConfiguration = { current: newBytes, previous: [oldBytes] };
const NEW: KekConfiguration = { current: newBytes, previous: [] };

const fingerprint = (kek: KekConfiguration) => importKeks(kek).current.fingerprint;

async function sealedBy(stage: Stage): Promise<string[]> {
  const rows = await stage.rows<{ sealed_by: string }>(
    'select distinct sealed_by from signing_keys where sealed_secret is not null order by sealed_by',
  );
  return rows.map((row) => row.sealed_by);
}

const warnings = (stage: Stage) => stage.lines.filter((line) => line.level === 'warn');

describe('changing the key-encryption key', () => {
  it('seals every key anew when a broker starts with the new one and the old one', async (t) => {
    const stage = await openStage(t);
    const before = await stage.ring({ kek: OLD });
    assert.deepEqual(await sealedBy(stage), [fingerprint(OLD)]);
    const after = await stage.ring({ kek: NEW_KNOWING_OLD });
    assert.deepEqual(await sealedBy(stage), [fingerprint(NEW)]);
    assert.equal(after.tokenSigner().kid, before.tokenSigner().kid);
    const alone = await stage.ring({ kek: NEW });
    assert.equal(alone.tokenSigner().kid, before.tokenSigner().kid);
  });

  it('leaves a broker that has only the old one with what it holds in memory, and it says so once', async (t) => {
    const stage = await openStage(t);
    const behind = await stage.ring({ kek: OLD });
    const signer = behind.tokenSigner();
    await stage.ring({ kek: NEW_KNOWING_OLD });
    await behind.refresh();
    await behind.refresh();
    assert.equal(behind.tokenSigner().privateKey, signer.privateKey);
    assert.equal(behind.jwks().keys.length, 1);
    behind.ledgerSigner();
    behind.nonceSecrets();
    assert.equal(warnings(stage).length, KEY_PURPOSES.length, 'one line for each key');
    for (const { message, details } of warnings(stage)) {
      assert.match(message, /does not have; what is in memory is kept.*MAYFLY_KEK_PREVIOUS/);
      assert.equal((details as { sealedBy: string }).sealedBy, fingerprint(NEW));
    }
  });

  it('leaves making keys to the brokers that have the new one', async (t) => {
    const stage = await openStage(t);
    const behind = await stage.ring({ kek: OLD });
    const ahead = await stage.ring({ kek: NEW_KNOWING_OLD });
    await stage.letPass(86_400);
    await behind.refresh();
    assert.deepEqual(await sealedBy(stage), [fingerprint(NEW)]);
    assert.equal((await stage.rows('select from signing_keys')).length, KEY_PURPOSES.length);
    await ahead.refresh();
    assert.equal(ahead.jwks().keys.length, 2);
    await behind.refresh();
    assert.equal(behind.jwks().keys.length, 1, 'it publishes only what it could verify');
    assert.equal(warnings(stage).length, 7, 'and says that it lacks the key for the new ones too');
  });

  it('goes through three steps without any broker lacking a key of another', async (t) => {
    const stage = await openStage(t);
    await (await stage.ring({ kek: OLD })).close();
    const [one, two] = [
      await stage.ring({ kek: OLD_KNOWING_NEW }),
      await stage.ring({ kek: NEW_KNOWING_OLD }),
    ];
    for (let round = 0; round < 4; round += 1) {
      await stage.letPass(86_400 - 900);
      await (round % 2 === 0 ? one : two).refresh();
      await Promise.all([one.refresh(), two.refresh()]);
      assert.deepEqual(one.jwks(), two.jwks());
      await stage.letPass(900);
      await Promise.all([one.refresh(), two.refresh()]);
      assert.equal(one.tokenSigner().kid, two.tokenSigner().kid);
    }
    assert.deepEqual(warnings(stage), []);
    await Promise.all([one.close(), two.close()]);
    await stage.operations({ kek: NEW_KNOWING_OLD }).reseal();
    assert.deepEqual(await sealedBy(stage), [fingerprint(NEW)]);
    await stage.ring({ kek: NEW });
  });

  it('seals each key once when two brokers do it at the same time', async (t) => {
    const stage = await openStage(t);
    await stage.ring({ kek: OLD });
    for (let round = 0; round < 20; round += 1) {
      const kek = round % 2 === 0 ? NEW_KNOWING_OLD : OLD_KNOWING_NEW;
      const counts = await Promise.all([
        stage.operations({ kek }).reseal(),
        stage.operations({ kek }).reseal(),
      ]);
      assert.equal(counts[0] + counts[1], KEY_PURPOSES.length);
      assert.deepEqual(await sealedBy(stage), [fingerprint(kek)]);
    }
  });
});

describe('a key-encryption key that is lost', () => {
  it('keeps the broker from starting, names the one that is needed and the way out, and changes nothing', async (t) => {
    const stage = await openStage(t);
    await stage.ring({ kek: OLD });
    await stage.letPass(86_400);
    const before = await stage.rows('select kid, sealed_by from signing_keys order by kid');
    await assert.rejects(stage.ring({ kek: NEW }), (error) => {
      assert.ok(error instanceof KeyRingError);
      assert.ok(error.message.includes(fingerprint(OLD)), 'names the missing one');
      assert.ok(error.message.includes(fingerprint(NEW)), 'names what is configured');
      assert.match(error.message, /MAYFLY_KEK_PREVIOUS/);
      assert.match(error.message, /mayfly keys abandon --yes/);
      return true;
    });
    assert.deepEqual(await stage.rows('select kid, sealed_by from signing_keys order by kid'), before);
    await assert.rejects(
      stage.operations({ kek: NEW }).rotate({ purpose: 'token', immediately: true }),
      KeyRingError,
    );
    await stage.ring({ kek: OLD });
  });

  it('is survived by abandoning what it sealed', async (t) => {
    const stage = await openStage(t);
    const lost = (await stage.ring({ kek: OLD })).tokenSigner().kid;
    const operations = stage.operations({ kek: NEW });
    assert.equal((await operations.unopenable()).length, KEY_PURPOSES.length);
    const abandoned = await operations.abandon();
    assert.deepEqual(
      abandoned.map((key) => `${key.purpose} ${key.because} ${key.sealedBy}`).sort(),
      ['ledger', 'log', 'nonce', 'token'].map((purpose) => `${purpose} kek_missing ${fingerprint(OLD)}`),
    );
    const ring = await stage.ring({ kek: NEW });
    assert.equal(ring.tokenVerificationKey(lost), null);
    assert.equal(ring.jwks().keys.length, 1);
    assert.notEqual(ring.tokenSigner().kid, lost);
    assert.deepEqual(await operations.abandon(), [], 'nothing more to abandon');
  });

  it('does not matter for keys that are out of use', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring({ kek: OLD });
    for (const { kid } of await stage.operations({ kek: OLD }).list()) {
      await ring.retireNow({ kid, actor: 'operator' });
    }
    await ring.close();
    await stage.operations({ kek: NEW_KNOWING_OLD }).reseal();
    await stage.ring({ kek: NEW });
  });

  it('is not there in the configuration: at most eight previous ones, none of them guessable', async (t) => {
    const stage = await openStage(t);
    const previous = Array.from({ length: 9 }, () => randomBytes(32));
    await assert.rejects(stage.ring({ kek: { current: newBytes, previous } }), KeyRingError);
    await assert.rejects(stage.ring({ kek: { current: Buffer.alloc(0), previous: [] } }), KeyRingError);
    await assert.rejects(stage.ring({ kek: { current: Buffer.alloc(32), previous: [] } }), KeyRingError);
    assert.deepEqual(await stage.rows('select from signing_keys'), []);
  });
});
