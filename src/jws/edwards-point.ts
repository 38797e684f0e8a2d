/**
 * Whether 32 bytes are a public key of Ed25519 as its signers make them: the one spelling of a point of the curve
 * (RFC 8032 §5.1.3) in the group of prime order L. Eight times as many points are on the curve. Under the eight
 * small ones among them anything verifies on some runtimes (RFC 8725 §3.4); and one secret key plus each of those is
 * a public key with a thumbprint of its own, whose signatures some verifiers take and others do not (RFC 8032 §5.1.7
 * lets them differ). OpenSSL does not look.
 *
 * A point P is in the group when L·P is the neutral element. That costs about a millisecond, so the answer for a key
 * is to be remembered. Public values only: nothing here need take the same time for every input.
 */

const PRIME = 2n ** 255n - 19n;
/** L, the order of the group. */
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const ORDER_BITS = ORDER.toString(2);
const SIGN_BIT = 255n;
const Y_BITS = (1n << SIGN_BIT) - 1n;

/** d of the curve −x² + y² = 1 + d·x²·y², and a square root of −1. */
const D = modulo(-121665n * power(121666n, PRIME - 2n));
const ROOT_OF_MINUS_ONE = power(2n, (PRIME - 1n) / 4n);

/** Extended coordinates (RFC 8032 §5.1.4): x = X/Z, y = Y/Z, x·y = T/Z. */
type Point = readonly [X: bigint, Y: bigint, Z: bigint, T: bigint];

/** @param encoded 32 bytes: y, little-endian, with the sign of x in the last bit */
export function isPrimeOrderPoint(encoded: Uint8Array): boolean {
  const point = decodePoint(encoded);
  if (point === null || isNeutral(point)) return false;
  let multiple = point;
  for (const bit of ORDER_BITS.slice(1)) {
    multiple = double(multiple);
    if (bit === '1') multiple = add(multiple, point);
  }
  return isNeutral(multiple);
}

/** RFC 8032 §5.1.3; null when no point is spelled so. */
function decodePoint(encoded: Uint8Array): Point | null {
  const number = BigInt(`0x${Buffer.from(encoded).reverse().toString('hex')}`);
  const sign = number >> SIGN_BIT;
  const y = number & Y_BITS;
  if (y >= PRIME) return null;
  const u = modulo(y * y - 1n);
  const v = modulo(D * y * y + 1n);
  const x = rootOfRatio(u, v);
  if (x === null || (x === 0n && sign === 1n)) return null;
  const signed = (x & 1n) === sign ? x : PRIME - x;
  return [signed, y, 1n, modulo(signed * y)];
}

/** A square root of u/v. */
function rootOfRatio(u: bigint, v: bigint): bigint | null {
  const v3 = modulo(v * v * v);
  const candidate = modulo(u * v3 * power(u * v3 * v3 * v, (PRIME - 5n) / 8n));
  const square = modulo(v * candidate * candidate);
  if (square === u) return candidate;
  return square === modulo(-u) ? modulo(candidate * ROOT_OF_MINUS_ONE) : null;
}

function isNeutral([x, y, z]: Point): boolean {
  return modulo(x) === 0n && modulo(y - z) === 0n;
}

/** RFC 8032 §5.1.4. */
function add([x1, y1, z1, t1]: Point, [x2, y2, z2, t2]: Point): Point {
  const a = ((y1 - x1) * (y2 - x2)) % PRIME;
  const b = ((y1 + x1) * (y2 + x2)) % PRIME;
  const c = (((t1 * t2) % PRIME) * 2n * D) % PRIME;
  const d = (z1 * 2n * z2) % PRIME;
  return fromSums(b - a, d - c, d + c, b + a);
}

/** RFC 8032 §5.1.4. */
function double([x, y, z]: Point): Point {
  const a = (x * x) % PRIME;
  const b = (y * y) % PRIME;
  const c = (2n * z * z) % PRIME;
  const h = a + b;
  const e = h - (x + y) * (x + y);
  const g = a - b;
  return fromSums(e, c + g, g, h);
}

function fromSums(e: bigint, f: bigint, g: bigint, h: bigint): Point {
  return [(e * f) % PRIME, (g * h) % PRIME, (f * g) % PRIME, (e * h) % PRIME];
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  let square = modulo(base);
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = (result * square) % PRIME;
    square = (square * square) % PRIME;
  }
  return result;
}

/** Between 0 and the prime; the remainder of a negative number is negative. */
function modulo(number: bigint): bigint {
  const rest = number % PRIME;
  return rest < 0n ? rest + PRIME : rest;
}
