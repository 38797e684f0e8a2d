import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { verifyReceipt } from '../../src/cli/verify-receipt.ts';
import {
  LEASE_TYPE,
  LEDGER_PAGE_TYPE,
  RECEIPT_TYPE,
  signMessage,
} from '../../src/revocations/ledger-message.ts';
import { receiptOf, type SettledEntry, signReceipt } from '../../src/revocations/receipt.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';

const ISSUER = 'https://mayfly.example.com';
const AT = '2026-01-02T03:04:05.678Z';

const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const kid = 'ledger-1';
const publicJwk = { ...publicKey.export({ format: 'jwk' }), kid, alg: 'EdDSA' };
const jwks = JSON.stringify({ keys: [publicJwk] });

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
  verifiers: [],
};
const stated = receiptOf(settled, { issuer: ISSUER });
const genuine = signReceipt(stated, { kid, privateKey });

const verified = (text: string, keys = jwks) => verifyReceipt(text, { jwks: keys, issuer: ISSUER });
const isRefused = (text: string, keys?: string) =>
  assert.throws(() => verified(text, keys), { exitCode: 7 }, text.slice(0, 80));

test('a receipt that names ten thousand enforcement points is verified', () => {
  const verifiers = Array.from({ length: 10_000 }, () => ({
    instance: newIdentifier('ver', systemClock),
    resource: 'https://customers.example.com',
    applied_at: AT,
  }));
  const receipt = signReceipt(receiptOf({ ...settled, verifiers }, { issuer: ISSUER }), { kid, privateKey });
  assert.equal(verified(receipt).verifiers.length, 10_000);
});

test('what is signed as something else, with another key or another algorithm, or not at all, is no receipt', () => {
  assert.equal(verified(genuine).epoch, 7);
  const [header = '', payload = '', signature = ''] = genuine.split('.');
  const other = generateKeyPairSync('ed25519').privateKey;
  const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  for (const typ of [LEASE_TYPE, LEDGER_PAGE_TYPE, 'at+jwt', 'JWT', 'mayfly-receipt', 'MAYFLY-RECEIPT+JWT'])
    isRefused(signMessage(typ, stated, { kid, privateKey }));
  isRefused(signMessage(RECEIPT_TYPE, stated, { kid, privateKey: other }));
  isRefused(signMessage(RECEIPT_TYPE, stated, { kid, privateKey: curve }));
  isRefused(signMessage(RECEIPT_TYPE, stated, { kid: 'ledger-2', privateKey }));
  for (const bent of [
    { alg: 'none', typ: RECEIPT_TYPE, kid },
    { alg: 'HS256', typ: RECEIPT_TYPE, kid },
    { alg: 'EdDSA', typ: RECEIPT_TYPE },
    { alg: 'EdDSA', typ: RECEIPT_TYPE, kid: [kid] },
    { alg: 'EdDSA', typ: RECEIPT_TYPE, kid, crit: ['exp'] },
    { alg: 'EdDSA', typ: RECEIPT_TYPE, kid, b64: false, crit: ['b64'] },
    { alg: 'EdDSA', typ: RECEIPT_TYPE, jwk: publicJwk },
  ]) {
    const encoded = Buffer.from(JSON.stringify(bent)).toString('base64url');
    const keyed = createHmac('sha256', publicKey.export({ format: 'der', type: 'spki' }));
    const tag = keyed.update(`${encoded}.${payload}`).digest('base64url');
    const real = sign(null, Buffer.from(`${encoded}.${payload}`), privateKey).toString('base64url');
    for (const end of ['', tag, signature]) isRefused(`${encoded}.${payload}.${end}`);
    if (bent.kid !== kid || 'crit' in bent || bent.alg !== 'EdDSA')
      isRefused(`${encoded}.${payload}.${real}`);
  }
  for (const text of [
    `${genuine}=`,
    `${genuine}\n.`,
    `${genuine}.`,
    `.${genuine}`,
    `${header}.${payload}`,
    `${header}..${signature}`,
    genuine.replace('.', '..'),
    genuine.toUpperCase(),
  ])
    isRefused(text);
});

test('not a byte of a receipt can be changed', () => {
  const last = genuine.length - 1;
  for (let index = 0; index <= last; index += 1) {
    const character = genuine[index] === 'A' ? 'B' : 'A';
    isRefused(genuine.slice(0, index) + character + genuine.slice(index + 1));
  }
});

test('keys that are none, or are good for something else, verify nothing and stop nothing', () => {
  const symmetric = {
    kty: 'oct',
    kid,
    k: Buffer.from(publicJwk.x ?? '').toString('base64url'),
    alg: 'HS256',
  };
  const token = { ...generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }), kid: 'token-1' };
  for (const keys of [
    [],
    [token],
    [symmetric],
    [null],
    [7],
    ['x'],
    [{}],
    [{ kid }],
    [{ ...publicJwk, x: 'AAAA' }],
  ])
    isRefused(genuine, JSON.stringify({ keys }));
  assert.equal(verified(genuine, JSON.stringify({ keys: [symmetric, null, token, publicJwk] })).epoch, 7);
  for (const text of ['', '[]', 'null', '{"keys":{}}', '{'])
    assert.throws(() => verified(genuine, text), { exitCode: 1 }, text);
});

test('whoever signs receipts says what receipts say, and is the issuer that was expected', () => {
  for (const bent of [
    { iss: `${ISSUER}/` },
    { iss: 'https://MAYFLY.example.com' },
    { epoch: 0 },
    { epoch: 7.5 },
    { target: { kind: 'everything' } },
    { target: { kind: 'all', id: 'x' } },
    { target: { kind: 'zone' } },
    { verifiers: [{ instance: 'ver_x', resource: 'r' }] },
    { verifiers: null },
    { committed_at: '2026-01-02' },
    { committed_at: 1 },
    { replicated: 'true' },
  ])
    isRefused(signMessage(RECEIPT_TYPE, { ...stated, ...bent }, { kid, privateKey }));
});
