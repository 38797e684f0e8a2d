import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatEntryBundle, parseEntryBundle } from '../../src/audit/entry-bundle.ts';
import { AuditFormatError } from '../../src/audit/format-error.ts';
import { planConsistency, planInclusion, proofOf } from '../../src/audit/merkle-proof.ts';
import { leafHash } from '../../src/audit/merkle-tree.ts';
import {
  createTileReader,
  formatTilePath,
  parseTilePath,
  rootOfTiles,
  type Tile,
  tilesOfGrowth,
  tilesOfPlan,
  widthOfTile,
} from '../../src/audit/tiles.ts';
import { fc } from '../properties.ts';
import { createMemoryTree } from './memory-tree.ts';

describe('The path of a tile', () => {
  const paths: readonly [string, Tile<number | 'entries'>][] = [
    ['tile/0/x001/x234/067', { level: 0, index: 1_234_067, width: 256 }],
    ['tile/0/000', { level: 0, index: 0, width: 256 }],
    ['tile/1/x001/000.p/17', { level: 1, index: 1_000, width: 17 }],
    ['tile/63/999.p/1', { level: 63, index: 999, width: 1 }],
    ['tile/entries/273.p/112', { level: 'entries', index: 273, width: 112 }],
  ];
  for (const [path, tile] of paths) {
    test(`${path} is read and written`, () => {
      assert.deepEqual(parseTilePath(path), tile);
      assert.equal(formatTilePath(tile), path);
    });
  }

  const others = [
    'tile/0/x1/067',
    'tile/0/67',
    'tile/0/x000/067',
    'tile/0/001/067',
    'tile/0/x001/x067',
    'tile/00/067',
    'tile/01/067',
    'tile/64/067',
    'tile/-1/067',
    'tile/0/067.p/0',
    'tile/0/067.p/256',
    'tile/0/067.p/08',
    'tile/0/067.p/',
    'tile/0/067.p',
    'tile/0/067/',
    '/tile/0/067',
    'tile//067',
    'tile/0/067\n',
    'tile/0/x009/x999/x999/x999/x999/999',
    'tile/0/x001/x000/x000/x000/x000/x000/000',
    'tile/entry/067',
    'tile/0/../067',
    'tile/0/٠٠١',
    '',
  ];
  for (const path of others) {
    test(`${JSON.stringify(path)} is none`, () => assert.equal(parseTilePath(path), null));
  }

  test('has one spelling for every tile', () => {
    const tile = fc.record({
      level: fc.oneof(fc.nat({ max: 63 }), fc.constant('entries' as const)),
      index: fc.maxSafeNat(),
      width: fc.integer({ min: 1, max: 256 }),
    });
    fc.assert(
      fc.property(tile, (value) => assert.deepEqual(parseTilePath(formatTilePath(value)), { ...value })),
      { numRuns: 200 },
    );
  });
});

const spelled = (tiles: readonly Tile[]) => tiles.map(formatTilePath);

describe('The tiles of a tree', () => {
  test('of 70,000 leaves are those of the standard', () => {
    const tiles = tilesOfGrowth({ from: 0, to: 70_000 });
    const full = (level: number) => tiles.filter((tile) => tile.level === level && tile.width === 256).length;
    assert.deepEqual([full(0), full(1), full(2)], [273, 1, 0]);
    assert.deepEqual(spelled(tiles.filter(({ width }) => width < 256)), [
      'tile/0/273.p/112',
      'tile/1/001.p/17',
      'tile/2/000.p/1',
    ]);
  });

  test('of 256 leaves are one full tile and one above it with a single hash', () => {
    assert.deepEqual(spelled(tilesOfGrowth({ from: 0, to: 256 })), ['tile/0/000', 'tile/1/000.p/1']);
  });

  test('that growth makes are the new ones and the wider ones', () => {
    assert.deepEqual(spelled(tilesOfGrowth({ from: 255, to: 257 })), [
      'tile/0/000',
      'tile/0/001.p/1',
      'tile/1/000.p/1',
    ]);
    assert.deepEqual(spelled(tilesOfGrowth({ from: 256, to: 300 })), ['tile/0/001.p/44']);
    assert.deepEqual(spelled(tilesOfGrowth({ from: 300, to: 300 })), []);
    assert.deepEqual(spelled(tilesOfGrowth({ from: 0, to: 0 })), []);
  });

  test('step by step are those that the tree has at once', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 700 }), { maxLength: 8 }), (steps) => {
        const widths = new Map<string, number>();
        let size = 0;
        for (const step of steps) {
          for (const { level, index, width } of tilesOfGrowth({ from: size, to: size + step })) {
            widths.set(`${level}/${index}`, width);
          }
          size += step;
        }
        const atOnce = tilesOfGrowth({ from: 0, to: size });
        assert.deepEqual(
          widths,
          new Map(atOnce.map(({ level, index, width }) => [`${level}/${index}`, width])),
        );
      }),
      { numRuns: 100 },
    );
  });

  test('are never wider than 256 and never empty', () => {
    assert.equal(widthOfTile({ level: 0, index: 0 }, 257), 256);
    assert.equal(widthOfTile({ level: 0, index: 2 }, 257), 0);
    assert.equal(widthOfTile({ level: 63, index: 0 }, 2 ** 53 - 1), 0);
    assert.equal(widthOfTile({ level: 'entries', index: 1 }, 257), 1);
  });
});

describe('Proofs out of tiles', () => {
  const tree = createMemoryTree(
    Array.from({ length: 66_000 }, (_, index) => leafHash(Buffer.from(`${index}`))),
  );
  const sizes = [1, 2, 255, 256, 257, 511, 512, 5_000, 65_535, 65_536, 65_537, 66_000];

  /** As a store would hold them: hash behind hash. */
  const read = ({ level, index, width }: Tile): Uint8Array =>
    Buffer.concat(
      Array.from({ length: width }, (_, at) => tree.read({ level: level * 8, index: index * 256 + at })),
    );

  for (const size of sizes) {
    test(`are those of the tree of ${size} leaves`, () => {
      const reader = createTileReader({ size, read });
      assert.deepEqual(rootOfTiles({ size, read }), tree.rootAt(size));
      for (const other of [0, 1, 254, 255, 256, 4_999, 65_535, size - 1].filter((index) => index < size)) {
        const inclusion = planInclusion({ index: other, size });
        assert.deepEqual(proofOf(inclusion, reader), tree.inclusion(other, size));
        const consistency = planConsistency({ first: other, second: size });
        assert.deepEqual(proofOf(consistency, reader), tree.consistency(other, size));
      }
    });
  }

  test('need only the tiles that are named beforehand, each of which the tree has', () => {
    for (const size of sizes) {
      const plan = planInclusion({ index: Math.floor(size / 3), size });
      const unread = new Set(spelled(tilesOfPlan(plan, size)));
      const ofTree = new Set(spelled(tilesOfGrowth({ from: 0, to: size })));
      const noting = (tile: Tile) => {
        unread.delete(formatTilePath(tile));
        return read(tile);
      };
      proofOf(plan, createTileReader({ size, read: noting }));
      assert.deepEqual([...unread], [], 'none was named in vain');
      assert.ok(spelled(tilesOfPlan(plan, size)).every((path) => ofTree.has(path)));
    }
  });

  test('can use the full tile where the partial one is gone', () => {
    const wider = (tile: Tile) => read({ ...tile, width: 256 });
    assert.deepEqual(rootOfTiles({ size: 257, read: wider }), tree.rootAt(257));
  });

  test('are not made of a tile that is too short', () => {
    assert.throws(
      () => rootOfTiles({ size: 256, read: (tile) => read(tile).subarray(32) }),
      /tile\/1\/000\.p\/1/,
    );
    assert.throws(() => rootOfTiles({ size: 3, read: (tile) => read(tile).subarray(1) }), RangeError);
  });
});

describe('A bundle of entries', () => {
  test('is read as it was written', () => {
    const entries = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 256 });
    fc.assert(
      fc.property(entries, (values) => {
        const parsed = parseEntryBundle(formatEntryBundle(values), values.length);
        assert.deepEqual(
          parsed.map((entry) => [...entry]),
          values.map((value) => [...value]),
        );
      }),
      { numRuns: 50 },
    );
  });

  test('holds entries of 65,535 bytes and none of 65,536', () => {
    const largest = Buffer.alloc(65_535, 'a');
    assert.deepEqual(parseEntryBundle(formatEntryBundle([largest]), 1), [largest]);
    assert.throws(() => formatEntryBundle([Buffer.alloc(65_536)]), RangeError);
  });

  for (const [name, bytes, width] of [
    ['ends within a length', '00', 1],
    ['ends within an entry', '000261', 1],
    ['has an entry more', '000161000162', 1],
    ['has an entry less', '000161', 2],
    ['has bytes behind its last entry', '00016100', 1],
  ] as const) {
    test(`that ${name} is refused`, () => {
      assert.throws(() => parseEntryBundle(Buffer.from(bytes, 'hex'), width), AuditFormatError);
    });
  }
});
