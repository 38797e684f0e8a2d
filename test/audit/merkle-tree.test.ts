import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import {
  planConsistency,
  planInclusion,
  verifyConsistency,
  verifyInclusion,
} from '../../src/audit/merkle-proof.ts';
import {
  appendLeaves,
  EMPTY_FRONTIER,
  EMPTY_ROOT,
  frontierOf,
  leafHash,
  nodeHash,
  rootOf,
  rootOfLeaves,
} from '../../src/audit/merkle-tree.ts';
import { fc } from '../properties.ts';
import { createMemoryTree } from './memory-tree.ts';

const hex = (hash: Uint8Array) => Buffer.from(hash).toString('hex');
const bytes = (text: string) => Buffer.from(text, 'hex');

/** The inputs and roots that the transparency-dev/merkle project publishes (Apache-2.0). */
const LEAVES: readonly [data: string, hash: string][] = [
  ['', '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d'],
  ['00', '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7'],
  ['10', '0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7'],
  ['2021', '07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7'],
  ['3031', 'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b'],
  ['40414243', '4271a26be0d8a84f0bd54c8c302e7cb3a3b5d1fa6780a40bcce2873477dab658'],
  ['5051525354555657', 'b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f'],
  ['606162636465666768696a6b6c6d6e6f', '46f6ffadd3d06a09ff3c5860d2755c8b9819db7df44251788c7d8e3180de8eb1'],
];
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];
const INCLUSIONS: readonly [index: number, size: number, proof: readonly string[]][] = [
  [
    0,
    8,
    [
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ],
  ],
  [
    5,
    8,
    [
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  ],
  [2, 3, ['fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125']],
  [
    1,
    5,
    [
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    ],
  ],
];
const CONSISTENCIES: readonly [first: number, second: number, proof: readonly string[]][] = [
  [
    1,
    8,
    [
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ],
  ],
  [
    6,
    8,
    [
      '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  ],
  [
    2,
    5,
    [
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    ],
  ],
  [
    6,
    7,
    [
      '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
      'b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  ],
];

const published = createMemoryTree(LEAVES.map(([data]) => leafHash(bytes(data))));

describe('The published tree', () => {
  test('has the published leaves', () => {
    assert.deepEqual(
      LEAVES.map(([data]) => hex(leafHash(bytes(data)))),
      LEAVES.map(([, hash]) => hash),
    );
  });

  test('has the published root at every size', () => {
    assert.deepEqual(
      ROOTS.map((_, size) => hex(published.rootAt(size))),
      ROOTS,
    );
  });

  for (const [index, size, proof] of INCLUSIONS) {
    test(`has the published proof that leaf ${index} is among ${size}`, () => {
      assert.deepEqual(published.inclusion(index, size).map(hex), proof);
    });
  }

  for (const [first, second, proof] of CONSISTENCIES) {
    test(`has the published proof that ${second} leaves continue ${first}`, () => {
      assert.deepEqual(published.consistency(first, second).map(hex), proof);
    });
  }
});

const LARGEST = 65;
const leaves = Array.from({ length: LARGEST }, (_, index) => leafHash(Buffer.from(`leaf ${index}`)));
const tree = createMemoryTree(leaves);
const roots = Array.from({ length: LARGEST + 1 }, (_, size) => tree.rootAt(size));
const rootAt = (size: number) => roots[size] ?? EMPTY_ROOT;
const leafAt = (index: number) => leaves[index] ?? EMPTY_ROOT;
const stranger = createHash('sha256').update('stranger').digest();

function flipped(hash: Buffer, bit: number): Buffer {
  const copy = Buffer.from(hash);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
}

/** What is like the proof and not the proof: hashes changed, swapped, left out, doubled, added. */
function* forgeriesOf(proof: readonly Buffer[], bits: readonly number[]): Generator<readonly Buffer[]> {
  for (const [at, hash] of proof.entries()) {
    for (const bit of bits) yield proof.with(at, flipped(hash, bit));
    yield proof.with(at, stranger);
    yield proof.with(at, hash.subarray(1));
    yield proof.with(at, Buffer.concat([hash, Buffer.of(0)]));
    yield proof.toSpliced(at, 1);
    yield proof.toSpliced(at, 0, hash);
    const next = proof[at + 1];
    if (next !== undefined) yield proof.with(at, next).with(at + 1, hash);
  }
  yield [...proof, stranger];
  yield [stranger, ...proof];
  if (proof.length > 1) yield proof.toReversed();
}

const EVERY_BIT = Array.from({ length: 256 }, (_, bit) => bit);

describe('Every inclusion proof of every tree of up to 65 leaves', () => {
  for (const [name, sizes, bitsOf] of [
    ['with every single bit of it', [1, 2, 3, 4, 5, 6, 7, 8], () => EVERY_BIT],
    ['with one bit of each hash', EVERY_BIT.slice(9, LARGEST + 1), (seed: number) => [(seed * 37) % 256]],
  ] as const) {
    test(`is accepted, and refused ${name} flipped, or misshapen in any way`, () => {
      for (const size of sizes) {
        for (let index = 0; index < size; index += 1) {
          const proof = tree.inclusion(index, size);
          const claim = { index, size, leaf: leafAt(index), proof, root: rootAt(size) };
          assert.equal(verifyInclusion(claim), true);
          for (const forged of forgeriesOf(proof, bitsOf(size + index))) {
            assert.equal(verifyInclusion({ ...claim, proof: forged }), false, `${index} of ${size}`);
          }
        }
      }
    });
  }

  test('AUD-14: proves no other leaf, no other place and no other tree', () => {
    for (let size = 1; size <= LARGEST; size += 1) {
      for (let index = 0; index < size; index += 1) {
        const claim = {
          index,
          size,
          leaf: leafAt(index),
          proof: tree.inclusion(index, size),
          root: rootAt(size),
        };
        for (let other = 0; other <= LARGEST; other += 1) {
          if (other !== index) {
            assert.equal(verifyInclusion({ ...claim, index: other }), false);
            assert.equal(verifyInclusion({ ...claim, leaf: leafAt(other) }), false);
          }
          if (other !== size) {
            assert.equal(verifyInclusion({ ...claim, root: rootAt(other) }), false);
            assert.equal(verifyInclusion({ ...claim, size: other, root: rootAt(other) }), false);
          }
        }
      }
    }
  });

  test('is refused at an index that is the size, beyond it, negative or no whole number', () => {
    const claim = { size: 8, leaf: leafAt(7), proof: tree.inclusion(7, 8), root: rootAt(8) };
    for (const index of [8, 9, -1, 0.5, Number.NaN, 2 ** 53]) {
      assert.equal(verifyInclusion({ ...claim, index }), false);
      assert.throws(() => planInclusion({ index, size: 8 }), RangeError);
    }
    assert.equal(
      verifyInclusion({ index: 0, size: 0, leaf: EMPTY_ROOT, proof: [], root: EMPTY_ROOT }),
      false,
    );
  });
});

describe('Every consistency proof between trees of up to 65 leaves', () => {
  for (const [name, sizes, bitsOf] of [
    ['with every single bit of it', [1, 2, 3, 4, 5, 6, 7, 8], () => EVERY_BIT],
    ['with one bit of each hash', EVERY_BIT.slice(9, LARGEST + 1), (seed: number) => [(seed * 37) % 256]],
  ] as const) {
    test(`is accepted, and refused ${name} flipped, or misshapen in any way`, () => {
      for (const second of sizes) {
        for (let first = 0; first <= second; first += 1) {
          const proof = tree.consistency(first, second);
          const claim = { first, second, firstRoot: rootAt(first), secondRoot: rootAt(second), proof };
          assert.equal(verifyConsistency(claim), true, `${first} to ${second}`);
          for (const forged of forgeriesOf(proof, bitsOf(first + second))) {
            assert.equal(verifyConsistency({ ...claim, proof: forged }), false, `${first} to ${second}`);
          }
        }
      }
    });
  }

  test('shows nothing about any other two trees', () => {
    for (let second = 1; second <= LARGEST; second += 1) {
      for (let first = 1; first < second; first += 1) {
        const proof = tree.consistency(first, second);
        const claim = { first, second, firstRoot: rootAt(first), secondRoot: rootAt(second), proof };
        for (const other of [first - 1, first + 1, second - 1, second + 1].filter(
          (size) => size <= LARGEST,
        )) {
          if (other !== first) {
            assert.equal(verifyConsistency({ ...claim, firstRoot: rootAt(other) }), false);
            assert.equal(verifyConsistency({ ...claim, first: other, firstRoot: rootAt(other) }), false);
          }
          if (other !== second) {
            assert.equal(verifyConsistency({ ...claim, secondRoot: rootAt(other) }), false);
            assert.equal(verifyConsistency({ ...claim, second: other, secondRoot: rootAt(other) }), false);
          }
        }
        assert.equal(verifyConsistency({ ...claim, first: second, second: first }), false);
      }
    }
  });

  test('reaches the root of the larger tree, not only of a part of it', () => {
    const claim = { first: 2, firstRoot: rootAt(2), secondRoot: rootAt(3), proof: tree.consistency(2, 3) };
    assert.equal(verifyConsistency({ ...claim, second: 3 }), true);
    for (let second = 5; second <= LARGEST; second += 1) {
      assert.equal(verifyConsistency({ ...claim, second }), false);
    }
  });

  test('is empty from nothing, and from a tree to itself, which has one root', () => {
    const same = { first: 5, second: 5, firstRoot: rootAt(5), secondRoot: rootAt(5), proof: [] };
    const fromNothing = { first: 0, second: 5, firstRoot: EMPTY_ROOT, secondRoot: rootAt(5), proof: [] };
    assert.equal(verifyConsistency(same), true);
    assert.equal(verifyConsistency(fromNothing), true);
    assert.equal(verifyConsistency({ ...same, secondRoot: stranger }), false);
    assert.equal(verifyConsistency({ ...same, proof: [rootAt(5)] }), false);
    assert.equal(verifyConsistency({ ...fromNothing, proof: [rootAt(5)] }), false);
    assert.equal(verifyConsistency({ ...fromNothing, firstRoot: stranger }), false);
    assert.throws(() => planConsistency({ first: 6, second: 5 }), RangeError);
  });
});

describe('Appending', () => {
  test('leads to the same tree in whatever batches the leaves come', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 40 }), { maxLength: 20 }), (batches) => {
        let frontier = EMPTY_FRONTIER;
        const all: Buffer[] = [];
        for (const [at, count] of batches.entries()) {
          const batch = Array.from({ length: count }, (_, index) => leafHash(Buffer.from(`${at}.${index}`)));
          const before = frontier;
          frontier = appendLeaves(frontierOf(before.size, before.roots), batch);
          assert.equal(before.size, all.length, 'the frontier before stays as it was');
          all.push(...batch);
        }
        assert.deepEqual(rootOf(frontier), recursiveRoot(all));
        assert.equal(frontier.size, all.length);
      }),
      { numRuns: 100 },
    );
  });

  test('tells of every subtree once, as soon as it is complete', () => {
    const seen: string[] = [];
    appendLeaves(EMPTY_FRONTIER, leaves.slice(0, 5), ({ level, index }) => seen.push(`${level}/${index}`));
    assert.deepEqual(seen, ['0/0', '0/1', '1/0', '0/2', '0/3', '1/1', '2/0', '0/4']);
  });

  test('refuses a frontier that cannot be one of so many leaves', () => {
    assert.throws(() => frontierOf(3, [stranger]), RangeError);
    assert.throws(() => frontierOf(4, [stranger, stranger]), RangeError);
    assert.throws(() => frontierOf(1, [stranger.subarray(1)]), RangeError);
  });

  test('no two neighbouring hashes are another leaf or another node', () => {
    const [left, right] = [leafAt(0), leafAt(1)];
    assert.notDeepEqual(nodeHash(left, right), leafHash(Buffer.concat([left, right])));
    assert.throws(() => nodeHash(left.subarray(1), Buffer.concat([left.subarray(0, 1), right])), RangeError);
  });

  test('plans proofs in trees that no machine can hold', () => {
    const size = 2 ** 53 - 1;
    const plan = planInclusion({ index: size - 1, size });
    assert.equal(plan.length, 52);
    assert.deepEqual(plan.at(-1), [{ level: 52, index: 0 }]);
    assert.deepEqual(planConsistency({ first: 2 ** 52, second: size }).at(-1)?.length, 52);
  });
});

/** RFC 9162 §2.1.1 word for word. */
function recursiveRoot(leaves: readonly Buffer[]): Buffer {
  const [only] = leaves;
  if (only === undefined) return EMPTY_ROOT;
  if (leaves.length === 1) return only;
  const middle = 2 ** Math.ceil(Math.log2(leaves.length) - 1);
  return nodeHash(recursiveRoot(leaves.slice(0, middle)), recursiveRoot(leaves.slice(middle)));
}

test('the root of leaf hashes is the recursive definition of the standard', () => {
  for (let size = 0; size <= LARGEST; size += 1) {
    assert.deepEqual(rootOfLeaves(leaves.slice(0, size)), recursiveRoot(leaves.slice(0, size)));
  }
});
