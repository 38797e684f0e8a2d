import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCosignatureStore } from '../../src/audit/cosignature-store.ts';
import { createLogWorld } from './log-world.ts';

const NAMES = ['one', 'two', 'three'];
const HEADS = 80;

/** Each subset of the names. */
const SUBSETS = Array.from({ length: 2 ** NAMES.length }, (_, bits) =>
  NAMES.filter((_name, at) => ((bits >> at) & 1) === 1),
);

test('the newest head that so many witnesses cosigned is the one that looking at all of them finds', async (t) => {
  const { owner, pool } = await createLogWorld(t);
  const store = createCosignatureStore(pool);
  const cosigned: { size: number; witnesses: string[] }[] = [];
  await owner.query(
    `insert into audit_checkpoints (size, root, note, kid) select n, sha256(''), 'head ' || n || ' ', 'k' from generate_series(1, ${HEADS}) n`,
  );
  for (let size = 1; size <= HEADS; size += 1) {
    // The third one was lost on the way; the newest nobody has cosigned yet.
    const share = [0.4, 0.6, size > HEADS / 2 ? 0 : 0.2];
    const witnesses = size > HEADS - 3 ? [] : NAMES.filter((_, at) => Math.random() < (share[at] ?? 0));
    for (const witness of witnesses) await store.keep({ size, witness, line: `${witness} ` });
    cosigned.push({ size, witnesses });
  }
  for (const witnesses of SUBSETS) {
    for (let count = 1; count <= NAMES.length; count += 1) {
      const expected = cosigned.findLast(
        (head) => head.witnesses.filter((name) => witnesses.includes(name)).length >= count,
      );
      const found = await store.newestCosignedBy({ witnesses, count });
      assert.equal(found?.size, expected?.size, JSON.stringify({ witnesses, count, cosigned }));
      const all = expected?.witnesses.toSorted().map((name) => `${name} `);
      assert.equal(found?.note, all && `head ${found?.size} ${all.join('')}`, 'with every cosignature of it');
    }
  }
});
