import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { JwsError, readCompactJws, verifySignature } from '../../src/jws/compact-jws.ts';
import { JwkError, parseVerificationKey, type VerificationKey } from '../../src/jws/jwk.ts';

type Vector = { tcId: number; comment: string; result: 'valid' | 'invalid' | 'acceptable' };
type Point = { wx?: string; wy?: string; pk?: string };
type Group<V> = { comment?: string; publicKey?: Point; public?: object; private?: object; tests: V[] };

function groupsOf<V extends Vector>(file: string): Group<V>[] {
  const url = new URL(`../vectors/wycheproof/${file}`, import.meta.url);
  return (JSON.parse(readFileSync(url, 'utf8')) as { testGroups: Group<V>[] }).testGroups;
}

/** Some groups lack a JWK, so it is made from the coordinates, which are written without leading zeros. */
function jwkOf({ wx, wy, pk }: Point): object {
  const coordinate = (hex: string) =>
    Buffer.from(hex.padStart(64, '0').slice(-64), 'hex').toString('base64url');
  if (wx === undefined) return { kty: 'OKP', crv: 'Ed25519', x: coordinate(pk ?? '') };
  return { kty: 'EC', crv: 'P-256', x: coordinate(wx), y: coordinate(wy ?? '') };
}

function keyOrNull(jwk: unknown): VerificationKey | null {
  try {
    return parseVerificationKey(jwk);
  } catch (error) {
    assert.ok(error instanceof JwkError, `${error}`);
    return null;
  }
}

for (const [file, alg] of [
  ['ecdsa_secp256r1_sha256_p1363_test.json', 'ES256'],
  ['ed25519_test.json', 'Ed25519'],
] as const) {
  describe(`Wycheproof ${file}`, () => {
    const groups = groupsOf<Vector & { msg: string; sig: string }>(file);
    const judged = { valid: 0, invalid: 0 };

    test('every signature is judged as published, and none makes the check throw', () => {
      for (const { publicKey, tests } of groups) {
        const key = keyOrNull(jwkOf(publicKey ?? {}));
        for (const { tcId, comment, result, msg, sig } of tests) {
          assert.ok(key, `${tcId}: the key was refused`);
          const signingInput = Buffer.from(msg, 'hex').toString('latin1');
          const signature = Buffer.from(sig, 'hex');
          const verified = verifySignature({ header: { alg }, claims: {}, signingInput, signature }, key);
          assert.equal(verified, result === 'valid', `${tcId} ${comment}`);
          judged[verified ? 'valid' : 'invalid'] += 1;
        }
      }
      assert.ok(judged.valid > 50 && judged.invalid > 50, JSON.stringify(judged));
    });
  });
}

describe('Wycheproof json_web_signature_test.json', () => {
  const groups = groupsOf<Vector & { jws: string }>('json_web_signature_test.json');

  test('no key of another kind than P-256 is let in', () => {
    for (const group of groups) {
      const jwk = (group.public ?? group.private) as { crv?: string; use?: string; alg?: string };
      const isOurs = jwk.crv === 'P-256' && jwk.use === 'sig' && group.public !== undefined;
      assert.equal(keyOrNull(jwk) !== null, isOurs, group.comment ?? '');
    }
  });

  test('no invalid JWS is accepted, and of the valid ones only the payload is refused', () => {
    let valid = 0;
    for (const group of groups) {
      const key = keyOrNull(group.public);
      if (key === null) continue;
      for (const { tcId, comment, result, jws } of group.tests) {
        assert.equal(accepts(jws, key), false, `${tcId} ${comment}: the payload is not a JSON object`);
        assert.equal(signatureVerifies(jws, key), result === 'valid', `${tcId} ${comment}`);
        if (result === 'valid') valid += 1;
      }
    }
    assert.equal(valid, 2);
  });
});

function accepts(jws: string, key: VerificationKey): boolean {
  try {
    return verifySignature(readCompactJws(jws, 10_000), key);
  } catch (error) {
    assert.ok(error instanceof JwsError, `${error}`);
    return false;
  }
}

/** The same with the payload replaced in reading only: `foo` of the vectors is no JSON object. */
function signatureVerifies(jws: string, key: VerificationKey): boolean {
  const [header, payload, ...rest] = jws.split('.');
  const readable = [header, 'e30', ...rest].join('.');
  if (!payload) return false;
  try {
    return verifySignature(
      { ...readCompactJws(readable, 10_000), signingInput: `${header}.${payload}` },
      key,
    );
  } catch (error) {
    assert.ok(error instanceof JwsError, `${error}`);
    return false;
  }
}
