import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Refusal } from '../../src/errors/refusal.ts';
import { readCompactJws, signCompactJws, verifySignature } from '../../src/jws/compact-jws.ts';
import { parseVerificationKey } from '../../src/jws/jwk.ts';
import type { KeyRing } from '../../src/signing-keys/key-ring.ts';
import { openStage, type Stage } from './ring-stage.ts';

const kidsOf = (ring: KeyRing) => ring.jwks().keys.map((key) => key.kid);

function isUnavailable(error: unknown): boolean {
  return error instanceof Refusal && error.reason === 'signing_key_unavailable' && error.status === 503;
}

async function maySign(stage: Stage, kid: string): Promise<boolean> {
  const { rows } = await stage.pool.query('select token_key_may_sign($1) as yes', [kid]);
  return rows[0].yes;
}

describe('the ring of signing keys', () => {
  it('makes one key of each purpose on the first start, and finds them on the next', async (t) => {
    const stage = await openStage(t);
    const first = await stage.ring();
    const second = await stage.ring();
    assert.equal(first.tokenSigner().kid, second.tokenSigner().kid);
    assert.equal(first.ledgerSigner().kid, second.ledgerSigner().kid);
    assert.ok(first.nonceSecrets().current.equals(second.nonceSecrets().current));
    assert.deepEqual(
      (await stage.operations().list()).map((key) => `${key.purpose} ${key.generation} ${key.state}`).sort(),
      ['ledger 1 active', 'log 1 active', 'nonce 1 active', 'token 1 active'],
    );
  });

  it('signs tokens that the published key of the same kid verifies', async (t) => {
    const ring = await (await openStage(t)).ring();
    const { kid, privateKey, encodedHeader } = ring.tokenSigner();
    const jwt = readCompactJws(signCompactJws(encodedHeader, { sub: 'x' }, privateKey), 4_096);
    assert.deepEqual(jwt.header, { alg: 'EdDSA', typ: 'at+jwt', kid });
    const published = ring.jwks().keys.find((key) => key.kid === kid);
    assert.ok(published && verifySignature(jwt, parseVerificationKey(published)));
    const own = ring.tokenVerificationKey(kid);
    assert.ok(own && verifySignature(jwt, own));
    assert.equal(own.thumbprint, kid);
    assert.equal(ring.tokenSigner(), ring.tokenSigner(), 'made once, not for every token');
  });

  it('signs tokens and ledger messages by different keys, and publishes them apart', async (t) => {
    const ring = await (await openStage(t)).ring();
    const [token, ledger] = [ring.tokenSigner().kid, ring.ledgerSigner().kid];
    assert.notEqual(token, ledger);
    assert.deepEqual(kidsOf(ring), [token]);
    assert.deepEqual(
      ring.ledgerJwks().keys.map((key) => key.kid),
      [ledger],
    );
    assert.equal(ring.tokenVerificationKey(ledger), null);
    assert.equal(ring.tokenVerificationKey("' or true --"), null);
  });

  it('rotates on schedule: published first, then active, then retired, then gone and erased', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    const old = ring.tokenSigner().kid;

    await stage.letPass(86_400 - 901);
    await ring.refresh();
    assert.deepEqual(kidsOf(ring), [old], 'nothing is due yet');

    await stage.letPass(2);
    await ring.refresh();
    const next = kidsOf(ring).find((kid) => kid !== old);
    assert.ok(next !== undefined, 'the next key is published before it signs');
    assert.equal(ring.tokenSigner().kid, old);
    assert.equal(await maySign(stage, next), false);

    await stage.letPass(898);
    await ring.refresh();
    assert.equal(ring.tokenSigner().kid, old);
    await stage.letPass(4);
    assert.equal(
      ring.tokenSigner().kid,
      next,
      'it signs when its time comes, without another look at the table',
    );
    await ring.refresh();
    assert.equal(ring.tokenSigner().kid, next);
    assert.deepEqual([await maySign(stage, old), await maySign(stage, next)], [true, true]);

    await stage.letPass(60);
    await ring.refresh();
    assert.equal(await maySign(stage, old), false);
    assert.deepEqual(kidsOf(ring), [old, next].sort());
    assert.notEqual(ring.tokenVerificationKey(old), null);

    await stage.letPass(956);
    await ring.refresh();
    assert.deepEqual(kidsOf(ring), [old, next].sort(), 'the last token may still live');
    await stage.letPass(6);
    assert.deepEqual(
      kidsOf(ring),
      [next],
      'it leaves when its time comes, without another look at the table',
    );
    assert.equal(ring.tokenVerificationKey(old), null);
    await ring.refresh();
    assert.deepEqual(kidsOf(ring), [next]);
    assert.equal(ring.tokenVerificationKey(old), null);
    const [row] = await stage.rows(
      'select sealed_secret, public_key is not null as known from signing_keys where kid = $1',
      [old],
    );
    assert.deepEqual(row, { sealed_secret: null, known: true });
  });

  it('keeps signing with the old key past its schedule when no broker ran in time to replace it', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    const old = ring.tokenSigner().kid;
    await stage.letPass(30 * 86_400);
    assert.equal(await maySign(stage, old), true);
    await ring.refresh();
    assert.equal(ring.tokenSigner().kid, old, 'the successor has its lead first');
    assert.equal(ring.jwks().keys.length, 2);
    await stage.letPass(901);
    await ring.refresh();
    assert.notEqual(ring.tokenSigner().kid, old);
  });

  it('hands out the previous nonce secret beside the current one until nonces of it are long stale', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    const before = ring.nonceSecrets();
    assert.equal(before.previous, undefined);
    await ring.rotate({ purpose: 'nonce', immediately: true, actor: 'operator' });
    const after = ring.nonceSecrets();
    assert.ok(!after.current.equals(before.current));
    assert.equal(
      after.previous,
      before.current,
      'the same object, so that what derives from it can be cached',
    );
    await stage.letPass(61);
    await ring.refresh();
    assert.equal(
      ring.nonceSecrets().previous,
      before.current,
      'also when it may no longer hand out new ones',
    );
    await stage.letPass(960);
    await ring.refresh();
    assert.deepEqual(Object.keys(ring.nonceSecrets()), ['current']);
  });
});

describe('rotation on demand', () => {
  it('publishes the next key at once and lets it sign after the lead', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    const old = ring.tokenSigner().kid;
    await ring.rotate({ purpose: 'token', immediately: false, actor: 'operator' });
    await ring.rotate({ purpose: 'token', immediately: false, actor: 'operator' });
    assert.equal(kidsOf(ring).length, 2, 'a second one while the first is on its way changes nothing');
    assert.equal(ring.tokenSigner().kid, old);
    await stage.letPass(901);
    await ring.refresh();
    assert.notEqual(ring.tokenSigner().kid, old);
  });

  it('lets the next key sign at once when told so, and the old one finish', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    const other = await stage.ring();
    const old = ring.tokenSigner().kid;
    await ring.rotate({ purpose: 'token', immediately: true, actor: 'operator' });
    assert.notEqual(ring.tokenSigner().kid, old);
    assert.equal(other.tokenSigner().kid, old, 'another broker has not looked yet');
    assert.equal(await maySign(stage, old), true, 'and may go on for the overlap');
    await other.refresh();
    assert.equal(other.tokenSigner().kid, ring.tokenSigner().kid);
  });

  it('rotates once when many ask for it at once', async (t) => {
    const stage = await openStage(t);
    const rings = [await stage.ring(), await stage.ring(), await stage.ring()];
    await Promise.all(
      rings.map((ring) => ring.rotate({ purpose: 'token', immediately: true, actor: 'operator' })),
    );
    const [row] = await stage.rows("select count(*)::int as keys from signing_keys where purpose = 'token'");
    assert.deepEqual(row, { keys: 2 });
    assert.equal(new Set(rings.map((ring) => ring.tokenSigner().kid)).size, 1);
  });
});

describe('a compromised key', () => {
  it('signs nothing more anywhere, leaves the JWKS and loses its secret, and a successor signs at once', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    const other = await stage.ring();
    const bad = ring.tokenSigner().kid;
    assert.equal(await ring.retireNow({ kid: bad, actor: 'operator' }), true);
    assert.notEqual(ring.tokenSigner().kid, bad);
    assert.ok(!kidsOf(ring).includes(bad));
    assert.equal(ring.tokenVerificationKey(bad), null);
    assert.equal(
      await maySign(stage, bad),
      false,
      'the mint statement refuses it even to a broker that does not know',
    );
    await other.refresh();
    assert.equal(other.tokenSigner().kid, ring.tokenSigner().kid);
    assert.equal(await ring.retireNow({ kid: bad, actor: 'operator' }), false, 'once is enough');
    const [row] = await stage.rows('select sealed_secret from signing_keys where kid = $1', [bad]);
    assert.deepEqual(row, { sealed_secret: null });
  });

  it('that was not yet active takes over from nobody', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    const current = ring.tokenSigner().kid;
    await ring.rotate({ purpose: 'token', immediately: false, actor: 'operator' });
    const next = kidsOf(ring).find((kid) => kid !== current) ?? '';
    await ring.retireNow({ kid: next, actor: 'operator' });
    await stage.letPass(2_000);
    await ring.refresh();
    assert.equal(ring.tokenSigner().kid, current);
    assert.equal(await maySign(stage, current), true);
    assert.equal(await maySign(stage, next), false);
  });

  it('makes the key that waits the signer', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    const current = ring.tokenSigner().kid;
    await ring.rotate({ purpose: 'token', immediately: false, actor: 'operator' });
    const next = kidsOf(ring).find((kid) => kid !== current);
    await ring.retireNow({ kid: current, actor: 'operator' });
    assert.equal(ring.tokenSigner().kid, next);
  });

  it('is not known by another name', async (t) => {
    const ring = await (await openStage(t)).ring();
    assert.equal(await ring.retireNow({ kid: 'no such key', actor: 'operator' }), false);
  });
});

describe('a broker without its database', () => {
  it('signs for thirty seconds, publishes for ever, and recovers at the first poll that succeeds', async (t) => {
    const stage = await openStage(t);
    let isDown = false;
    const query = ((...question: Parameters<typeof stage.pool.query>) =>
      isDown
        ? Promise.reject(new Error('connection refused'))
        : stage.pool.query(...question)) as typeof stage.pool.query;
    const ring = await stage.ring({ pool: { query } });
    const { kid } = ring.tokenSigner();
    isDown = true;
    await assert.rejects(ring.refresh(), /connection refused/);
    stage.clock.advance(30);
    assert.equal(ring.tokenSigner().kid, kid);
    stage.clock.advance(0.001);
    for (const verb of [ring.tokenSigner, ring.ledgerSigner, ring.nonceSecrets])
      assert.throws(verb, isUnavailable);
    assert.deepEqual(kidsOf(ring), [kid]);
    isDown = false;
    await ring.refresh();
    assert.equal(ring.tokenSigner().kid, kid);
  });

  it('counts the age of its copy by whichever clock went further', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    stage.clock.jumpWall(-3_600);
    assert.equal(ring.copyAgeSeconds(), 0);
    ring.tokenSigner();
    stage.clock.jumpMonotonic(31);
    assert.throws(ring.tokenSigner, isUnavailable);
    await ring.refresh();
    stage.clock.jumpWall(31);
    assert.throws(ring.tokenSigner, isUnavailable);
    await ring.refresh();
    ring.tokenSigner();
  });

  it('is not misled by a wall clock that is wrong: keys take over by database time', async (t) => {
    const stage = await openStage(t);
    const ring = await stage.ring();
    const old = ring.tokenSigner().kid;
    await ring.rotate({ purpose: 'token', immediately: false, actor: 'operator' });
    stage.clock.jumpWall(7_200);
    await ring.refresh();
    assert.equal(ring.tokenSigner().kid, old);
  });

  it('polls again after a poll that failed, and says how old its copy is', async (t) => {
    const stage = await openStage(t);
    let isDown = false;
    const query = ((...question: Parameters<typeof stage.pool.query>) =>
      isDown
        ? Promise.reject(new Error('connection refused'))
        : stage.pool.query(...question)) as typeof stage.pool.query;
    const ring = await stage.ring({ pool: { query } });
    const nextTick = async () => {
      const [tick] = stage.ticks.splice(0, 1);
      assert.ok(tick !== undefined);
      tick();
      while (stage.ticks.length === 0) await new Promise(setImmediate);
    };
    isDown = true;
    stage.clock.advance(20);
    await nextTick();
    const [warning] = stage.lines.filter((line) => line.level === 'warn');
    assert.ok(warning !== undefined);
    assert.match(warning.message, /could not be read again/);
    assert.equal((warning.details as { copyAgeSeconds: number }).copyAgeSeconds, 20);
    isDown = false;
    await nextTick();
    assert.equal(ring.copyAgeSeconds(), 0);
  });
});
