import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { createRecent } from '../../src/bounds/recent.ts';
import {
  JwkError,
  type PublicJwk,
  parseVerificationKey,
  thumbprintOf,
  type VerificationKey,
} from '../../src/jws/jwk.ts';

const EC = {
  kty: 'EC',
  crv: 'P-256',
  x: 'l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs',
  y: '9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA',
};
const ED = { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' };

const refuses = (value: unknown) => assert.throws(() => parseVerificationKey(value), JwkError);

describe('A thumbprint names one key', () => {
  test('RFC 9449 §6.1: the thumbprint of the P-256 key is the published one', () => {
    assert.equal(parseVerificationKey(EC).thumbprint, '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I');
  });

  test('RFC 8037 A.3: the thumbprint of the Ed25519 key is the published one', () => {
    assert.equal(parseVerificationKey(ED).thumbprint, 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
  });

  test('extra and reordered members change neither the thumbprint nor what is kept of the key', () => {
    const { x, y } = EC;
    const decorated = {
      y,
      extra: { a: 1 },
      kid: 'other',
      use: 'sig',
      key_ops: ['verify'],
      alg: 'ES256',
      x,
      crv: 'P-256',
      kty: 'EC',
    };
    const key = parseVerificationKey(decorated);
    assert.equal(key.thumbprint, parseVerificationKey(EC).thumbprint);
    assert.deepEqual(key.jwk, EC);
  });

  test('thumbprintOf agrees with the parsed key', () => {
    assert.equal(thumbprintOf(ED as PublicJwk), parseVerificationKey(ED).thumbprint);
  });

  test('a cache hands out the same key and checks everything but the curve anew', () => {
    const cache = createRecent<VerificationKey>(4);
    const first = parseVerificationKey(EC, cache);
    assert.equal(parseVerificationKey({ ...EC, kid: 'x' }, cache), first);
    assert.throws(() => parseVerificationKey({ ...EC, d: 'AA' }, cache), JwkError);
    assert.throws(() => parseVerificationKey({ ...EC, use: 'enc' }, cache), JwkError);
    assert.equal(parseVerificationKey(ED, cache).thumbprint, parseVerificationKey(ED).thumbprint);
  });
});

describe('What is not one public P-256 or Ed25519 key in its one spelling is refused', () => {
  const base64url = (hex: string) => Buffer.from(hex, 'hex').toString('base64url');
  const cases: [string, unknown][] = [
    ['nothing', undefined],
    ['null', null],
    ['a string', JSON.stringify(EC)],
    ['an array', [EC]],
    ['an empty object', {}],
    ['an unknown kty', { ...EC, kty: 'AKP' }],
    ['a kty with a space', { ...EC, kty: 'EC ' }],
    ['a kty in lower case', { ...EC, kty: 'ec' }],
    ['P-384', { ...EC, crv: 'P-384' }],
    ['secp256k1', { ...EC, crv: 'secp256k1' }],
    ['Ed448', { ...ED, crv: 'Ed448' }],
    ['X25519', { ...ED, crv: 'X25519' }],
    ['an RSA key', { kty: 'RSA', n: 'AQAB', e: 'AQAB' }],
    ['a symmetric key', { kty: 'oct', k: 'AAAA' }],
    ['a private P-256 key', { ...EC, d: EC.x }],
    ['a private Ed25519 key', { ...ED, d: ED.x }],
    ['a public key with a symmetric member', { ...EC, k: 'AAAA' }],
    ['no y', { kty: 'EC', crv: 'P-256', x: EC.x }],
    ['a coordinate as a number', { ...EC, x: 1 }],
    ['a coordinate as an array', { ...EC, x: [EC.x] }],
    ['31 bytes', { ...EC, x: EC.x.slice(0, 42) }],
    ['33 bytes', { ...EC, x: base64url(`00${Buffer.from(EC.x, 'base64url').toString('hex')}`) }],
    ['padding', { ...EC, x: `${EC.x}=` }],
    ['unused bits that are not zero', { ...EC, x: `${EC.x.slice(0, -1)}t` }],
    ['a trailing line feed', { ...ED, x: `${ED.x}\n` }],
    ['a point off the curve', { ...EC, y: EC.x }],
    ['the point (0, 0)', { ...EC, x: base64url('00'.repeat(32)), y: base64url('00'.repeat(32)) }],
    [
      'a coordinate past the prime',
      {
        ...EC,
        x: base64url('ffffffff00000001000000000000000000000000ffffffffffffffffffffffff'),
        y: zeroPointY(),
      },
    ],
    ['an alg of another kind of key', { ...EC, alg: 'Ed25519' }],
    ['alg RS256', { ...EC, alg: 'RS256' }],
    ['use enc', { ...EC, use: 'enc' }],
    ['key_ops without verify', { ...EC, key_ops: ['sign'] }],
    ['key_ops as a string', { ...EC, key_ops: 'verify' }],
    ['an Ed25519 coordinate of 31 bytes', { ...ED, x: ED.x.slice(0, 42) }],
  ];
  for (const [name, value] of cases) {
    test(`${name} is refused`, () => refuses(value));
  }

  test('a key with y flipped is another key, not the same', () => {
    const prime = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
    const y = BigInt(`0x${Buffer.from(EC.y, 'base64url').toString('hex')}`);
    const flipped = parseVerificationKey({ ...EC, y: base64url((prime - y).toString(16).padStart(64, '0')) });
    assert.notEqual(flipped.thumbprint, parseVerificationKey(EC).thumbprint);
  });

  test('x = 0 is a point; x = p, its other spelling, is refused', () => {
    assert.doesNotThrow(() =>
      parseVerificationKey({ ...EC, x: base64url('00'.repeat(32)), y: zeroPointY() }),
    );
  });

  /** y of the point with x = 0: the square root of b. */
  function zeroPointY(): string {
    return base64url('66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4');
  }
});

describe('Ed25519 keys that verify too much, or under two names, are refused', () => {
  const smallOrder = [
    '0100000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000080',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0000000000000000000000000000000000000000000000000000000000000080',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  ];
  for (const hex of smallOrder) {
    test(`the point ${hex.slice(0, 8)}…${hex.slice(-2)} of small order is refused`, () => {
      refuses({ ...ED, x: Buffer.from(hex, 'hex').toString('base64url') });
    });
  }

  for (const low of ['f0', 'f1', 'f2', 'f3', 'ff']) {
    test(`y = 2^255 − 19 + ${Number.parseInt(low, 16) - 0xed}, the second spelling of a small y, is refused`, () => {
      refuses({ ...ED, x: Buffer.from(`${low}${'ff'.repeat(30)}7f`, 'hex').toString('base64url') });
    });
  }

  test('a y just below the prime is accepted', () => {
    const x = Buffer.from(`e4${'ff'.repeat(30)}7f`, 'hex').toString('base64url');
    assert.doesNotThrow(() => parseVerificationKey({ ...ED, x }));
  });
});

describe('Wycheproof json_web_key', () => {
  type Jwks = { keys: object[] };
  type Group = { comment: string; public?: Jwks; private?: Jwks; tests: { tcId: number; comment: string }[] };
  const { testGroups } = JSON.parse(
    readFileSync(new URL('../vectors/wycheproof/json_web_key_test.json', import.meta.url), 'utf8'),
  ) as { testGroups: Group[] };
  const accepted: string[] = [];
  for (const group of testGroups) {
    for (const jwk of (group.public ?? group.private)?.keys ?? []) {
      try {
        parseVerificationKey(jwk);
        accepted.push(group.comment);
      } catch (error) {
        assert.ok(error instanceof JwkError, `${group.comment}: ${error}`);
      }
    }
  }

  test('the one sound key is accepted, and none that is symmetric, RSA, contradicts itself or is off the curve', () => {
    assert.equal(testGroups.length, 25);
    assert.deepEqual(accepted, ['jws_mixedSymmetryKeyset']); // its P-256 key; the symmetric one beside it is refused
  });
});

test('a key accepts the two names of its one algorithm and no other', () => {
  const edwards = parseVerificationKey({ ...ED, alg: 'EdDSA' });
  assert.ok(edwards.accepts('Ed25519') && edwards.accepts('EdDSA'));
  const curve = parseVerificationKey({ ...EC, alg: 'ES256' });
  assert.ok(curve.accepts('ES256'));
  for (const algorithm of ['none', 'HS256', 'es256', 'ES256 ', 'RS256', '', 'toString']) {
    assert.ok(!curve.accepts(algorithm) && !edwards.accepts(algorithm));
  }
});
