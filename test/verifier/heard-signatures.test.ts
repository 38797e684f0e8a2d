import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { encodeHeader, readCompactJws, signCompactJws } from '../../src/jws/compact-jws.ts';
import { parseVerificationKey } from '../../src/jws/jwk.ts';
import { isSignedAsHeard } from '../../src/verifier/heard-signatures.ts';

function newSigner() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const header = encodeHeader({ alg: 'EdDSA', typ: 'mayfly-ledger+jwt', kid: 'k' });
  return {
    key: parseVerificationKey(publicKey.export({ format: 'jwk' })),
    sign: (claims: object) => signCompactJws(header, claims, privateKey),
  };
}

const read = (text: string) => readCompactJws(text, 100_000);

test('a signature that was heard before holds for the same bytes under the same key, and for nothing else', () => {
  const [signer, other] = [newSigner(), newSigner()];
  const text = signer.sign({ epoch: 1 });
  assert.equal(isSignedAsHeard(read(text), signer.key), true);
  assert.equal(isSignedAsHeard(read(text), signer.key), true);
  assert.equal(isSignedAsHeard(read(text), other.key), false);
  const [header, , signature] = text.split('.');
  const [, claims] = signer.sign({ epoch: 2 }).split('.');
  assert.equal(isSignedAsHeard(read(`${header}.${claims}.${signature}`), signer.key), false);
  const [, , foreign] = other.sign({ epoch: 1 }).split('.');
  const forged = `${text.split('.').slice(0, 2).join('.')}.${foreign}`;
  for (let times = 0; times < 2; times += 1) assert.equal(isSignedAsHeard(read(forged), signer.key), false);
});

test('long messages are verified each time', () => {
  const signer = newSigner();
  const text = signer.sign({ long: 'x'.repeat(20_000) });
  for (let times = 0; times < 2; times += 1) assert.equal(isSignedAsHeard(read(text), signer.key), true);
});
