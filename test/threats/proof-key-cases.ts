/** The key in a proof: what is no key, what is a key of another kind, and points that are none. */
import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  verify,
} from 'node:crypto';
import { newSessionKey, nowSeconds, type SessionKey } from '../test-agent.ts';
import { TEST_ISSUER } from '../test-broker.ts';
import type { Case, Stage } from './oracle.ts';
import type { Outcome } from './outcomes.ts';
import { base64url, bytesOf, partsOf, signRawJws } from './raw-jws.ts';

/** The primes of the two curves, and b of P-256 (SEC 2 §2.4.2; RFC 8032 §5.1). */
const P256_PRIME = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
const P256_B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;
const EDWARDS_PRIME = 2n ** 255n - 19n;
const EDWARDS_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

type Jwk = Record<string, unknown>;

export function proofKeyCases(stage: Stage): Case[] {
  const { agent, session } = stage;
  const ec = session.publicJwk as Jwk;
  const edwards = newSessionKey('ed25519');
  const okp = edwards.publicJwk as Jwk;

  const withJwk =
    (jwk: unknown, key: SessionKey = session) =>
    () =>
      stage.tokenRequest({ dpop: agent.proof(key, { header: { jwk } }) });
  const table = (
    id: string,
    entries: readonly (readonly [string, unknown, Outcome?, SessionKey?])[],
  ): Case[] =>
    entries.map(([name, jwk, expected = 'DP', key = session]) => ({
      id,
      name: `jwk: ${name}`,
      ask: withJwk(jwk, key),
      expected,
    }));

  return [
    ...table('DPP-10', [
      ['missing', undefined],
      ['null', null],
      ['a string', JSON.stringify(ec)],
      ['an array', [ec]],
      ['empty', {}],
      ['a set of keys', { keys: [ec] }],
      ['kty missing', { ...ec, kty: undefined }],
      ['kty unknown', { ...ec, kty: 'AKP' }],
      ['kty "EC "', { ...ec, kty: 'EC ' }],
      ['kty "ec"', { ...ec, kty: 'ec' }],
      ['kty an array', { ...ec, kty: ['EC'] }],
      ['crv missing', { ...ec, crv: undefined }],
      ['crv "p-256"', { ...ec, crv: 'p-256' }],
      ['crv "P-384" over a point of P-256', { ...ec, crv: 'P-384' }],
      ['crv "Ed25519" in an EC key', { ...ec, crv: 'Ed25519' }],
      ['kty "OKP" in a P-256 key', { ...ec, kty: 'OKP' }],
      ['a symmetric key', { kty: 'oct', k: 'AAAA' }],
      ['the members of a symmetric key beside those of a good one', { ...ec, k: 'AAAA' }],
      ['a private member', session.privateKey.export({ format: 'jwk' })],
      ['a private member that is null', { ...ec, d: null }],
      ['alg of another kind', { ...ec, alg: 'EdDSA' }],
      ['alg RS256', { ...ec, alg: 'RS256' }],
      ['alg none', { ...ec, alg: 'none' }],
      ['use enc', { ...ec, use: 'enc' }],
      ['key_ops without verify', { ...ec, key_ops: ['sign'] }],
      ['key_ops a string', { ...ec, key_ops: 'verify' }],
      ['key_ops empty', { ...ec, key_ops: [] }],
      ['another key than the one that signed', newSessionKey().publicJwk],
      ['an Edwards key over a signature of P-256', okp],
      ['a P-256 key over a signature of Ed25519', ec, 'DP', edwards],
      ['only x', { kty: 'EC', crv: 'P-256', x: ec.x }],
      ['an address of a key in it', { ...ec, x5u: 'https://evil.test', jku: 'https://evil.test' }, 'OK'],
      ['a kid that names another key', { ...ec, kid: '../../etc/passwd' }, 'OK'],
      ['members called like those of every object', { ...ec, constructor: 1, toString: 'x' }, 'OK'],
    ]),
    ...table('DPP-12', p256Points(ec)),
    ...table('DPP-14', rsaKeys()),
    ...otherCurves(stage),
    ...table(
      'DPP-16',
      edwardsPoints(okp).map(([name, jwk]) => [name, jwk, 'DP', edwards] as const),
    ),
    ...edwardsSignatures(stage, edwards),
    ...smallOrderForgeries(stage),
    mixedOrderProof(stage),
  ];
}

function coordinate(number: bigint, length = 32): string {
  return bytesOf(number, length).toString('base64url');
}

function numberOf(text: unknown): bigint {
  return BigInt(`0x${Buffer.from(String(text), 'base64url').toString('hex')}`);
}

function p256Points(ec: Jwk): (readonly [string, unknown])[] {
  const x = String(ec.x);
  const y = String(ec.y);
  const bytes = Buffer.from(x, 'base64url');
  const rootOfB = power(P256_B, (P256_PRIME + 1n) / 4n, P256_PRIME);
  return [
    ['a point off the curve', { ...ec, y: coordinate(numberOf(y) ^ 1n) }],
    ['x and y swapped', { ...ec, x: y, y: x }],
    ['the other point with the same x', { ...ec, y: coordinate(P256_PRIME - numberOf(y)) }],
    ['the point at infinity', { ...ec, x: coordinate(0n), y: coordinate(0n) }],
    ['x = p, which is 0', { ...ec, x: coordinate(P256_PRIME), y: coordinate(rootOfB) }],
    ['x = 0, a point of the curve that signed nothing', { ...ec, x: coordinate(0n), y: coordinate(rootOfB) }],
    ['y = p', { ...ec, y: coordinate(P256_PRIME) }],
    ['all bits set', { ...ec, x: coordinate(2n ** 256n - 1n), y: coordinate(2n ** 256n - 1n) }],
    ['x of 31 bytes', { ...ec, x: bytes.subarray(1).toString('base64url') }],
    [
      'x of 33 bytes with a zero before',
      { ...ec, x: Buffer.concat([Buffer.from([0]), bytes]).toString('base64url') },
    ],
    [
      'x of 33 bytes with a zero after',
      { ...ec, x: Buffer.concat([bytes, Buffer.from([0])]).toString('base64url') },
    ],
    ['y of 31 bytes', { ...ec, y: Buffer.from(y, 'base64url').subarray(1).toString('base64url') }],
    ['x empty', { ...ec, x: '' }],
    ['x of 10 kB', { ...ec, x: 'A'.repeat(5_000) }],
    ['x a number', { ...ec, x: 7 }],
    ['x an array', { ...ec, x: [x] }],
    ['x null', { ...ec, x: null }],
    ['x with padding', { ...ec, x: `${x}=` }],
    ['x with a line feed', { ...ec, x: `${x}\n` }],
    ['x with unused bits', { ...ec, x: withUnusedBits(x) }],
    ['x in hexadecimal', { ...ec, x: bytes.toString('hex') }],
    ['x in the base64 alphabet', { ...ec, x: `${'+/'.repeat(21)}A` }],
    ['compressed: the sign in place of y', { ...ec, y: true }],
  ];
}

/** 43 characters hold 258 bits: the last two mean nothing. */
function withUnusedBits(text: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return `${text.slice(0, -1)}${alphabet[alphabet.indexOf(text.at(-1) ?? 'A') + 1] ?? 'B'}`;
}

function rsaKeys(): (readonly [string, unknown])[] {
  const n = (bits: number) => Buffer.alloc(bits / 8, 0xc5).toString('base64url');
  const key = (modulus: string, e: unknown) => ({ kty: 'RSA', n: modulus, e });
  return [
    ['RSA of 1,024 bits', key(n(1_024), 'AQAB')],
    ['RSA of 2,048 bits', key(n(2_048), 'AQAB')],
    ['RSA of 16,384 bits', key(n(16_384), 'AQAB')],
    ['RSA with e = 1', key(n(2_048), 'AQ')],
    ['RSA with e = 2', key(n(2_048), 'Ag')],
    ['RSA with e a number', key(n(2_048), 65_537)],
    ['RSA with e of 1,000 bytes', key(n(2_048), n(8_000))],
    ['RSA with an even n', key(Buffer.alloc(256, 0xc4).toString('base64url'), 'AQAB')],
    ['RSA with zeros before n', key(`AAAA${n(2_048)}`, 'AQAB')],
    ['RSA with the members of a good key', { ...key(n(2_048), 'AQAB'), crv: 'P-256', x: 'AA', y: 'AA' }],
  ];
}

/** Good proofs of good keys on curves that are not spoken here. */
function otherCurves(stage: Stage): Case[] {
  const made: [string, string, { privateKey: KeyObject; publicKey: KeyObject }][] = [
    ['P-384', 'ES384', generateKeyPairSync('ec', { namedCurve: 'P-384' })],
    ['P-521', 'ES512', generateKeyPairSync('ec', { namedCurve: 'P-521' })],
    ['secp256k1', 'ES256K', generateKeyPairSync('ec', { namedCurve: 'secp256k1' })],
    ['secp256k1 called ES256', 'ES256', generateKeyPairSync('ec', { namedCurve: 'secp256k1' })],
    ['P-384 called P-256', 'ES256', generateKeyPairSync('ec', { namedCurve: 'P-384' })],
  ];
  return made.map(([name, alg, { privateKey, publicKey }]) => ({
    id: 'DPP-14',
    name: `a good proof of a key on ${name}`,
    ask: () => {
      const jwk = publicKey.export({ format: 'jwk' });
      const header = {
        typ: 'dpop+jwt',
        alg,
        jwk: name.includes('called P') ? { ...jwk, crv: 'P-256' } : jwk,
      };
      const dpop = signRawJws(JSON.stringify(header), JSON.stringify(goodClaims()), privateKey);
      return stage.tokenRequest({ dpop });
    },
    expected: 'DP',
  }));
}

function goodClaims() {
  return { htm: 'POST', htu: `${TEST_ISSUER}/oauth/token`, iat: nowSeconds(), jti: randomUUID() };
}

const littleEndian = (number: bigint) => Buffer.from(bytesOf(number).reverse());
const SIGN_BIT = 2n ** 255n;

/** y of the points of order 1, 2, 4 and 8 (RFC 8032 §5.1.7; the usual list). */
const SMALL_ORDER_Y: readonly bigint[] = [
  1n,
  EDWARDS_PRIME - 1n,
  0n,
  littleToNumber('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05'),
  littleToNumber('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'),
];

function littleToNumber(hex: string): bigint {
  return BigInt(`0x${Buffer.from(hex, 'hex').reverse().toString('hex')}`);
}

function edwardsPoints(okp: Jwk): (readonly [string, unknown])[] {
  const x = String(okp.x);
  const bytes = Buffer.from(x, 'base64url');
  const withY = (y: bigint) => ({ ...okp, x: littleEndian(y).toString('base64url') });
  return [
    ...SMALL_ORDER_Y.flatMap((y, index): (readonly [string, unknown])[] => [
      [`small order ${index}`, withY(y)],
      [`small order ${index}, the other sign`, withY(y + SIGN_BIT)],
    ]),
    ['y = p, which is 0', withY(EDWARDS_PRIME)],
    ['y = p + 1, which is 1', withY(EDWARDS_PRIME + 1n)],
    ['y = p + 1, the other sign', withY(EDWARDS_PRIME + 1n + SIGN_BIT)],
    ['y = 2^255 − 1', withY(SIGN_BIT - 1n)],
    ['all bits set', withY(2n ** 256n - 1n)],
    ['y = 2, no point of the curve', withY(2n)],
    ['the other sign of the key that signed', { ...okp, x: flipSign(bytes).toString('base64url') }],
    ['31 bytes', { ...okp, x: bytes.subarray(1).toString('base64url') }],
    ['33 bytes', { ...okp, x: Buffer.concat([bytes, Buffer.from([0])]).toString('base64url') }],
    ['empty', { ...okp, x: '' }],
    ['padding', { ...okp, x: `${x}=` }],
    ['unused bits', { ...okp, x: withUnusedBits(x) }],
    ['X25519', { ...okp, crv: 'X25519' }],
    ['Ed448', { ...okp, crv: 'Ed448' }],
    [
      'the SPKI bytes in place of the point',
      { ...okp, x: Buffer.concat([Buffer.alloc(12, 0x30), bytes]).toString('base64url') },
    ],
    ['alg ES256', { ...okp, alg: 'ES256' }],
    ['alg Ed448', { ...okp, alg: 'Ed448' }],
  ];
}

function flipSign(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(31) ^ 0x80, 31);
  return copy;
}

/** S + L is the same scalar, and verifies where nobody looks at its range (RFC 8032 §5.1.7). */
function edwardsSignatures(stage: Stage, edwards: SessionKey): Case[] {
  const withSignature = (change: (r: Buffer, s: bigint) => Buffer) => () => {
    const { header, payload, signature } = partsOf(stage.agent.proof(edwards));
    const bytes = Buffer.from(signature, 'base64url');
    const s = BigInt(`0x${Buffer.from(bytes.subarray(32)).reverse().toString('hex')}`);
    const changed = change(bytes.subarray(0, 32), s).toString('base64url');
    return stage.tokenRequest({ dpop: `${header}.${payload}.${changed}` });
  };
  const entries: [string, (r: Buffer, s: bigint) => Buffer][] = [
    ['S + L', (r, s) => Buffer.concat([r, littleEndian(s + EDWARDS_ORDER)])],
    ['S = L', (r) => Buffer.concat([r, littleEndian(EDWARDS_ORDER)])],
    ['S = 0', (r) => Buffer.concat([r, Buffer.alloc(32)])],
    ['S with the highest bits set', (r, s) => Buffer.concat([r, littleEndian(s + 7n * 2n ** 253n)])],
    ['R the identity and S = 0', () => Buffer.concat([littleEndian(1n), Buffer.alloc(32)])],
    ['R not reduced', (_, s) => Buffer.concat([littleEndian(EDWARDS_PRIME + 1n), littleEndian(s)])],
    ['the sign of R flipped', (r, s) => Buffer.concat([flipSign(r), littleEndian(s)])],
  ];
  return entries.map(([name, change]) => ({
    id: 'DPP-16',
    name: `an Ed25519 signature: ${name}`,
    ask: withSignature(change),
    expected: 'DP',
  }));
}

/** Under a key of small order (R = identity, S = 0) is a signature of any message, where nobody looks at the key. */
function smallOrderForgeries(stage: Stage): Case[] {
  return SMALL_ORDER_Y.flatMap((y) => [y, y + SIGN_BIT]).map((y, index) => ({
    id: 'DPP-16',
    name: `a forgery for everybody, small order ${index}`,
    ask: () => {
      const jwk = { kty: 'OKP', crv: 'Ed25519', x: littleEndian(y).toString('base64url') };
      const header = Buffer.from(JSON.stringify({ typ: 'dpop+jwt', alg: 'EdDSA', jwk })).toString(
        'base64url',
      );
      const payload = Buffer.from(JSON.stringify(goodClaims())).toString('base64url');
      const signature = Buffer.concat([littleEndian(1n), Buffer.alloc(32)]).toString('base64url');
      return stage.tokenRequest({ dpop: `${header}.${payload}.${signature}` });
    },
    expected: 'DP',
  }));
}

/**
 * A good signature under the public key plus the point of order two: verifiers that do not multiply by the cofactor,
 * and do not look at the key, take it (the mixed-order keys of "Taming the many EdDSAs", CCTV and speccheck).
 */
function mixedOrderProof(stage: Stage): Case {
  return {
    id: 'DPP-16',
    name: 'a proof that verifies under a key of mixed order',
    ask: () => {
      const { d = '', x = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
      const secret = scalarOf(d);
      // (x, y) + (0, −1) = (−x, −y), and −x is odd where x is even
      const bytes = flipSign(Buffer.from(x, 'base64url'));
      const sign = bytes.readUInt8(31) & 0x80;
      const y = littleToNumber(bytes.toString('hex')) & (SIGN_BIT - 1n);
      const shifted = littleEndian(EDWARDS_PRIME - y);
      shifted.writeUInt8(shifted.readUInt8(31) | sign, 31);
      const jwk = { kty: 'OKP', crv: 'Ed25519', x: shifted.toString('base64url') };
      const dpop = signedUntil(jwk, { secret, encoded: shifted });
      return stage.tokenRequest({ dpop });
    },
    expected: 'DP',
    reason: 'proof_key',
  };
}

/** RFC 8032 §5.1.5: the scalar of a seed. */
function scalarOf(seed: string): bigint {
  const half = createHash('sha512').update(Buffer.from(seed, 'base64url')).digest().subarray(0, 32);
  half.writeUInt8(half.readUInt8(0) & 248, 0);
  half.writeUInt8((half.readUInt8(31) & 127) | 64, 31);
  return littleToNumber(half.toString('hex'));
}

/** Signs new proofs until one verifies: the point of order two falls out of every second signature. */
function signedUntil(jwk: object, { secret, encoded }: { secret: bigint; encoded: Buffer }): string {
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  const header = base64url(JSON.stringify({ typ: 'dpop+jwt', alg: 'EdDSA', jwk }));
  for (let tries = 0; tries < 200; tries += 1) {
    const input = `${header}.${base64url(JSON.stringify(goodClaims()))}`;
    const ephemeral = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
    const r = Buffer.from(ephemeral.x ?? '', 'base64url');
    const hash = createHash('sha512').update(r).update(encoded).update(input).digest();
    const k = littleToNumber(hash.toString('hex')) % EDWARDS_ORDER;
    const s = (scalarOf(ephemeral.d ?? '') + k * secret) % EDWARDS_ORDER;
    const signature = Buffer.concat([r, littleEndian(s)]);
    if (verify(null, Buffer.from(input), key, signature))
      return `${input}.${signature.toString('base64url')}`;
  }
  throw new Error('this runtime takes no such signature');
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (let b = base % modulus, e = exponent; e > 0n; e >>= 1n, b = (b * b) % modulus) {
    if (e & 1n) result = (result * b) % modulus;
  }
  return result;
}
