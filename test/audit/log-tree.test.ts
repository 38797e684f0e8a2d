import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromTiles } from '../../src/audit/log-tree.ts';
import { leafHash } from '../../src/audit/merkle-tree.ts';
import { formatTilePath, TILE_WIDTH, type Tile } from '../../src/audit/tiles.ts';
import { fc } from '../properties.ts';
import { createMemoryTree } from './memory-tree.ts';

const LEAVES = 70_000;
const leaves = Array.from({ length: LEAVES }, (_, index) => leafHash(Buffer.from(String(index))));
const whole = createMemoryTree(leaves);
const fetched: string[] = [];

async function fetchTile(tile: Tile): Promise<Buffer> {
  fetched.push(formatTilePath(tile));
  const level = 8 * tile.level;
  const first = tile.index * TILE_WIDTH;
  return Buffer.concat(
    Array.from({ length: tile.width }, (_, at) => whole.read({ level, index: first + at })),
  );
}

test('proofs out of tiles are those of the tree', async () => {
  const size = fc.integer({ min: 1, max: LEAVES });
  await fc.assert(
    fc.asyncProperty(size, fc.nat(), fc.nat(), async (size, one, other) => {
      const tree = fromTiles({ size, fetchTile });
      const [index, first] = [one % size, other % (size + 1)];
      assert.deepEqual(await tree.inclusion(index), whole.inclusion(index, size));
      assert.deepEqual(await tree.consistency(first), whole.consistency(first, size));
      assert.deepEqual(await tree.leaf(index), leaves[index]);
      assert.deepEqual(await tree.root(), whole.rootAt(size));
    }),
    { numRuns: 100 },
  );
});

test('a log is gone through from one end to the other with each tile fetched about once', async () => {
  fetched.length = 0;
  const tree = fromTiles({ size: LEAVES, fetchTile });
  for (let index = 0; index < LEAVES; index += 5) {
    assert.deepEqual(await tree.inclusion(index), whole.inclusion(index));
  }
  const tiles = new Set(fetched).size;
  assert.ok(fetched.length <= 2 * tiles, `${fetched.length} fetches of ${tiles} tiles`);
});
