import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { verifyReceipt } from '../../src/cli/verify-receipt.ts';
import { receiptOf, type SettledEntry, signReceipt } from '../../src/revocations/receipt.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';

const ISSUER = 'https://mayfly.example.com';
const AT = '2026-01-02T03:04:05.678Z';

test('a receipt that names ten thousand enforcement points is verified', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const kid = 'ledger-1';
  const settled: SettledEntry = {
    id: newIdentifier('rev', systemClock),
    epoch: 7,
    generation: 1,
    digest: 'a'.repeat(43),
    target: { kind: 'all' },
    standing: true,
    reason: 'an emergency',
    actor: 'olivia',
    at: AT,
    committed_at: AT,
    replicated: true,
    complete: true,
    verifiers: Array.from({ length: 10_000 }, () => ({
      instance: newIdentifier('ver', systemClock),
      resource: 'https://customers.example.com',
      applied_at: AT,
    })),
  };
  const receipt = signReceipt(receiptOf(settled, { issuer: ISSUER }), { kid, privateKey });
  const jwks = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid, alg: 'EdDSA' }] });
  assert.equal(verifyReceipt(receipt, { jwks, issuer: ISSUER }).verifiers.length, 10_000);
});
